"""Topics, a feed, workers, what is done to them, and the judgement of what they wrote."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests.chaos import crew, reading
from tests.chaos.crew import Crew
from tests.chaos.feed import Feed
from tests.chaos.report import Report
from tests.chaos.verify import Topics, Verdict, written

PARTITIONS = 4
RECOVERY_S = 90.0
REFERENCE_S = 600.0
POLL_S = 0.1
REFERENCE_IDLE_S = "3"
HEALTH_S = "8"
SHORT_SESSION = {"librdkafka": "session.timeout.ms=6000,heartbeat.interval.ms=1000", "kafka-python": ""}


@dataclass
class Scene:
    """servers: where the feed and the verifier connect; worker_servers: where the workers do, if elsewhere.
    replicas: -1 for the broker's default. supervised: as `Crew`'s."""

    servers: str
    folder: Path
    report: Report
    client: str = "librdkafka"
    guarantee: str = "exactly_once"
    worker_servers: str = ""
    replicas: int = -1
    settings: dict[str, str] = field(default_factory=dict)
    supervised: bool = False

    def __post_init__(self) -> None:
        name = f"chaos-{uuid.uuid4().hex[:8]}"
        self.topics = Topics(
            f"{name}-in", f"{name}-scores", f"{name}-letters", f"{name}-patient-state-changelog", name
        )
        self._reference = Topics(
            f"{name}-in", f"{name}-ref-scores", f"{name}-ref-letters",
            f"{name}-ref-patient-state-changelog", f"{name}-ref",
        )  # fmt: skip
        self._admin = AdminClient({"bootstrap.servers": self.servers})
        self.make_all()
        self.crew = Crew(self._environment(self.topics), self.folder, supervised=self.supervised)
        self._committed: dict[int, int] = {}
        self._observer = Consumer(
            {
                "bootstrap.servers": self.servers,
                "group.id": self.topics.group,
                "enable.auto.commit": False,
                "isolation.level": "read_uncommitted",
                "log_level": 0,
            }
        )

    @contextmanager
    def feeding(self, rate: float, patients: int, seed: int, *, judged: bool = True) -> Iterator[Feed]:
        """Events come while this is entered; afterwards, if `judged`, all are committed. What fails shows the
        logs."""
        try:
            with Feed(self.servers, self.topics.observations, rate, patients, seed) as feed:
                yield feed
            if judged:
                self.recover("all that was sent")
        except AssertionError as error:
            story = [one.name for one in self.report.story[-5:]]
            raise AssertionError(f"{error}\nafter {story}\n{self.crew.tails()}") from error

    def note(self, kind: str, name: str) -> None:
        """Something is about to be done, or was just done."""
        self.report.note(kind, name, self.committed())

    def committed(self) -> dict[int, int]:
        """The group's offset of each partition, as known last where no broker answers."""
        asked = [TopicPartition(self.topics.observations, one) for one in range(PARTITIONS)]
        try:
            found = self._observer.committed(asked, timeout=5)
        except KafkaException:
            return self._committed
        self._committed |= {
            one.partition: one.offset for one in found if one.error is None and one.offset >= 0
        }
        return dict(self._committed)

    def ends(self) -> dict[int, int]:
        return reading.ends(self.servers, self.topics.observations, "read_uncommitted")

    def recover(self, what: str = "recovery", seconds: float = RECOVERY_S) -> float:
        """Wait until all that has been sent so far is committed; the seconds it took."""
        begun, ends = time.monotonic(), self.ends()

        def caught_up() -> bool:
            committed = self.committed()
            return all(committed.get(one, 0) >= end for one, end in ends.items())

        self.wait(caught_up, seconds, lambda: f"{what}: committed {self.committed()} of {ends}")
        return time.monotonic() - begun

    def wait(self, done: Callable[[], bool], seconds: float, what: Callable[[], str] | str) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            self.crew.check()
            if time.monotonic() > deadline:
                raise AssertionError(f"not in {seconds:g} s: {what if isinstance(what, str) else what()}")
            time.sleep(POLL_S)

    def finish(self) -> None:
        """The workers end in order; then what they wrote is judged."""
        self.crew.stop(*self.crew.running())
        self.count_turmoil()
        self._verify()
        self._replay()
        reference = self._reference
        for topics in (self.topics, reference):
            reading.settle(self.servers, [topics.scores, topics.letters, topics.changelog])
        read = reading.OTHER[self.client]
        verdict = Verdict(
            self.report,
            written(read, self.servers, self.topics),
            written(read, self.servers, reference),
            exactly_once=self.guarantee == "exactly_once",
        )
        inputs = read(self.servers, self.topics.observations)
        complaints = [*self.crew.complaints, *verdict.judge(inputs, self.ends(), self.committed())]
        assert not complaints, "\n".join([*complaints, f"logs: {self.folder}", self.crew.tails()])

    def close(self) -> None:
        self.crew.close()
        self._observer.close()

    def _verify(self) -> None:
        """`vitalstream state verify` finds the changelog sound and equal to a replay."""
        told = subprocess.run(
            [sys.executable, "-m", "stream", "state", "verify", "--json"],
            env=crew.environment_with(self._environment(self.topics, self.servers)),
            capture_output=True,
            text=True,
            timeout=REFERENCE_S,
        )
        if told.returncode:
            self.crew.complaints.append(f"state verify\n{told.stdout}{told.stderr}")
            return
        found = json.loads(told.stdout)
        self.report.found["states verified (state verify)"] = sum(
            one["patients"] for one in found["partitions"]
        )

    def _replay(self) -> None:
        """One worker, never interrupted, over the same input."""
        with closing(
            Crew(self._environment(self._reference, self.servers), self.folder / "reference")
        ) as lone:
            lone.folder.mkdir()
            member = lone.start(0, arguments=["--until-idle", REFERENCE_IDLE_S])
            code = member.process.wait(REFERENCE_S)
            assert code == 0, f"the reference\n{member.tail()}"
            assert not lone.count(crew.EPOCH_LOST), f"the reference was interrupted\n{member.tail()}"

    def count_turmoil(self) -> None:
        found = self.report.found
        found["processes"] = len(self.crew.past)
        found["started again by the supervisor"] = self.crew.respawned
        found |= {f"ended by itself: {how}": count for how, count in sorted(self.crew.ended.items())}
        found["assignments (logs)"] = self.crew.count(crew.ASSIGNED)
        found["revocations (logs)"] = self.crew.count(crew.REVOKED)
        found["partitions taken away (logs)"] = self.crew.count(crew.LOST)
        found["epochs done again (logs)"] = self.crew.count(crew.EPOCH_LOST)

    def _environment(self, topics: Topics, servers: str = "") -> dict[str, str]:
        stated = {
            "bootstrap_servers": servers or self.worker_servers or self.servers,
            "client": self.client,
            "client_overrides": SHORT_SESSION[self.client],
            "application_id": topics.group,
            "observations_topic": topics.observations,
            "scores_topic": topics.scores,
            "dead_letters_topic": topics.letters,
            "alerts_topic": f"{self.topics.group}-alerts",
            "processing_guarantee": self.guarantee,
            "metrics_port": "0",
            "health_timeout": HEALTH_S,
            "device": "cpu",
        } | self.settings
        return {f"VITALSTREAM_{name.upper()}": value for name, value in stated.items()}

    def delete(self, topic: str) -> None:
        """Returns when no broker knows it any more."""
        self._admin.delete_topics([topic])[topic].result(30)
        self.wait(lambda: topic not in self._admin.list_topics(timeout=10).topics, 60, f"{topic} is deleted")

    def make(self, *topics: str) -> None:
        wanted = [
            NewTopic(
                topic,
                PARTITIONS,
                self.replicas,
                config={"cleanup.policy": "compact"} if topic.endswith("-changelog") else {},
            )
            for topic in topics
        ]
        for made in self._admin.create_topics(wanted).values():
            made.result(30)

    def make_all(self) -> None:
        """Every topic of the workers and of the reference."""
        mine, other = self.topics, self._reference
        topics = {
            mine.observations,
            f"{mine.group}-alerts",
            *(name for one in (mine, other) for name in (one.scores, one.letters, one.changelog)),
        }
        self.make(*sorted(topics))
