"""A cluster with TLS, SCRAM and an authorizer: the rights that docs/security.md lists are enough and needed,
and what is refused ends in one line that names it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count

import numpy as np
import pytest

from stream.columns.records import Outgoing
from stream.connection import Connection
from stream.kafka.librdkafka.sink import LibrdkafkaSink
from stream.synthetic.simulator import Ward
from tests.broker.secured import MAX_TRANSACTION_S, UNRESOLVABLE, Right, Secured, secured_broker
from tests.broker.server import NoBroker
from tests.flow.cli.conftest import Ended, Vitalstream

CLIENTS = ("librdkafka", "kafka-python")
PARTITIONS = 2
numbers = count()

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def short(cases: list[str]) -> list[object]:
    """Each case with either client, by turns; with the other one it is slow."""
    return [
        pytest.param(client, case, marks=[pytest.mark.slow] if (turn + place) % 2 else [])
        for turn, case in enumerate(cases)
        for place, client in enumerate(CLIENTS)
    ]


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    try:
        with secured_broker(tmp_path_factory.mktemp("secured")) as broker:
            yield broker
    except NoBroker as error:
        pytest.skip(str(error))


@dataclass
class Hospital:
    """Topics, an application and users of one test's own."""

    broker: Secured
    vitalstream: Vitalstream
    name: str = field(default_factory=lambda: f"sec-{time.time_ns()}-{next(numbers)}")

    def __post_init__(self) -> None:
        self.topics = {
            kind: f"{self.name}.{kind}" for kind in ("observations", "scores", "alerts", "dead-letters")
        }
        self.changelog = f"{self.name}-patient-state-changelog"
        self.flags = [f"--{kind}-topic={topic}" for kind, topic in self.topics.items()]
        self.flags += ["--application-id", self.name]
        plain = ["--bootstrap-servers", self.broker.servers, *self.flags]
        created = self.vitalstream("topics", "create", "--partitions", str(PARTITIONS), *plain)
        assert created.code == 0, created.err
        self.send()

    def send(self) -> None:
        """Five events, and one that is refused."""
        now = int(time.time() * 1000)
        ward = Ward(5, seed=1, start_ms=now - 60_000, interval=60).tick(now - 60_000)
        assert ward.keys is not None
        with closing(LibrdkafkaSink(Connection(self.broker.servers))) as sink:
            partitions = np.arange(len(ward), dtype=np.int32) % PARTITIONS
            sink.send(Outgoing(self.topics["observations"], ward.values, ward.keys, partitions))
            sink.send(Outgoing(self.topics["observations"], [b"{"], [b"p"]))
            sink.flush(20)
        self.events = len(ward) + 1

    def worker_rights(self, guarantee: str = "exactly_once") -> dict[str, Right]:
        """The table of docs/security.md."""
        rights = {
            "read observations": Right("topic", self.topics["observations"], "read"),
            "write scores": Right("topic", self.topics["scores"], "write"),
            "write dead letters": Right("topic", self.topics["dead-letters"], "write"),
            "read changelog": Right("topic", self.changelog, "read"),
            "write changelog": Right("topic", self.changelog, "write"),
            "read group": Right("group", self.name, "read"),
        }
        if guarantee == "exactly_once":
            rights["write transactional id"] = Right("transactional_id", self.name, "write", prefixed=True)
        return rights

    def doctor_rights(self) -> list[Right]:
        """What `doctor` needs beyond a worker."""
        every = [*self.topics.values(), self.changelog]
        described = [Right("topic", topic, "describe_configs") for topic in every]
        return [*described, Right("topic", self.topics["alerts"], "describe")]

    def as_user(self, client: str, rights: list[Right], *arguments: str) -> Ended:
        user = f"user-{next(numbers)}"
        self.broker.add_user(user, rights)
        return self.run(arguments[0], client, self.broker.flags(user), *arguments[1:])

    def run(self, command: str, client: str, reach: dict[str, object], *arguments: str) -> Ended:
        """reach: settings with which the cluster is reached."""
        flags = [
            f"--{name.replace('_', '-')}={value}" for name, value in reach.items() if "password" not in name
        ]
        secret = (
            {"VITALSTREAM_SASL_PASSWORD": str(reach["sasl_password"])} if "sasl_password" in reach else {}
        )
        if command == "run":
            arguments = ("--until-idle", "1", "--metrics-port", "0", "--json", *arguments)
        return self.vitalstream(
            command, "--client", client, "--device", "cpu", *arguments, *self.flags, *flags, **secret
        )


@pytest.fixture
def hospital(secured: Secured, vitalstream: Vitalstream) -> Hospital:
    return Hospital(secured, vitalstream)


WORKER_RIGHTS = [
    "read observations",
    "write scores",
    "write dead letters",
    "read changelog",
    "write changelog",
    "read group",
    "write transactional id",
]


def refusal(ended: Ended) -> str:
    """The one line in which a command ended."""
    assert "Traceback" not in ended.err
    (line,) = [line for line in ended.err.splitlines() if line.startswith("vitalstream: ")]
    print(line)
    return line


@pytest.mark.parametrize(
    ("client", "guarantee"),
    [
        ("librdkafka", "exactly_once"),
        ("kafka-python", "exactly_once"),
        ("librdkafka", "at_least_once"),
        pytest.param("kafka-python", "at_least_once", marks=pytest.mark.slow),
    ],
)
def test_a_worker_with_exactly_these_rights_scores(hospital: Hospital, client: str, guarantee: str) -> None:
    rights = list(hospital.worker_rights(guarantee).values())
    ended = hospital.as_user(client, rights, "run", f"--processing-guarantee={guarantee}")
    assert ended.code == 0, ended.err
    figures = json.loads(ended.out.splitlines()[-1])
    assert (figures["events"], figures["scores"], figures["dead_letters"]) == (
        hospital.events,
        hospital.events - 1,
        1,
    )


@pytest.mark.parametrize(("client", "missing"), short(WORKER_RIGHTS))
def test_each_of_these_rights_is_needed_and_its_lack_is_said(
    hospital: Hospital, client: str, missing: str
) -> None:
    rights = hospital.worker_rights()
    lacking = rights.pop(missing)
    given = [*rights.values(), *hospital.doctor_rights()]
    ended = hospital.as_user(client, given, "run")
    assert ended.code == 3
    assert lacking.name in refusal(ended)
    seen = hospital.as_user(client, given, "doctor")
    assert seen.code == 3
    wrong = [line for line in seen.out.splitlines() if line.startswith("WRONG")]
    print(*wrong, sep="\n")
    assert any(lacking.name in line and "docs/security.md" in line for line in wrong)


@pytest.mark.parametrize("client", [CLIENTS[0], pytest.param(CLIENTS[1], marks=pytest.mark.slow)])
def test_the_doctor_finds_all_well_and_leaves_nothing_behind(hospital: Hospital, client: str) -> None:
    for guarantee in ("exactly_once", "at_least_once"):
        rights = [*hospital.worker_rights(guarantee).values(), *hospital.doctor_rights()]
        ended = hospital.as_user(client, rights, "doctor", f"--processing-guarantee={guarantee}")
        assert ended.code == 0, ended.out
        assert [line for line in ended.out.splitlines() if not line.startswith("ok")] == []
    plain = {"bootstrap_servers": hospital.broker.servers}
    ended = hospital.run("run", client, plain)
    assert json.loads(ended.out.splitlines()[-1])["scores"] == hospital.events - 1


Reach = Callable[[Secured], dict[str, object]]
REFUSED: dict[str, tuple[Reach, int, str]] = {
    "wrong password": (lambda broker: broker.flags("known", sasl_password="wrong"), 3, "sasl_password"),
    "unknown mechanism": (lambda broker: broker.flags("known", sasl_mechanism="PLAIN"), 2, "sasl_mechanism"),
    "unknown authority": (
        lambda broker: broker.flags("known", ssl_ca_location=broker.stranger),
        3,
        "ssl_ca_location",
    ),
    "no client certificate": (
        lambda broker: {
            "bootstrap_servers": broker.mutual,
            "security_protocol": "SSL",
            "ssl_ca_location": broker.ca,
        },
        3,
        "ssl_certificate_location",
    ),
    "unresolvable address": (
        lambda broker: {"bootstrap_servers": broker.hidden},
        3,
        f"{UNRESOLVABLE}, the address in a broker's advertised.listeners",
    ),
    "address of nobody": (
        lambda broker: {"bootstrap_servers": broker.closed},
        3,
        "the address in a broker's advertised.listeners",
    ),
    "long transactions": (
        lambda broker: {
            "bootstrap_servers": broker.servers,
            "transaction_timeout": 2 * MAX_TRANSACTION_S,
        },
        3,
        "transaction.max.timeout.ms",
    ),
}


def codes(client: str, case: str) -> set[int]:
    """kafka-python at times drops the answer that ends a connection: then a refused log-in is left."""
    at_times = {3} if (client, case) == ("kafka-python", "unknown mechanism") else set()
    return {REFUSED[case][1], *at_times}


@pytest.mark.parametrize(("client", "case"), short(list(REFUSED)))
def test_a_refused_connection_ends_in_one_line(
    hospital: Hospital, client: str, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.kafka.source.START_TIMEOUT_S", 1.0)
    monkeypatch.setattr("stream.worker.worker.JOIN_TIMEOUT_S", 3.0)
    make, _, said = REFUSED[case]
    hospital.broker.add_user("known")
    reach = make(hospital.broker)
    ended = hospital.run("run", client, reach)
    assert ended.code in codes(client, case)
    line = refusal(ended)
    assert said in line
    if case == "address of nobody":
        assert hospital.broker.closed_at in line


DOCTORED = "unresolvable address", "wrong password"


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    "case",
    [
        *DOCTORED,
        *(pytest.param(case, marks=pytest.mark.slow) for case in REFUSED if case not in DOCTORED),
    ],
)
def test_the_doctor_says_why_a_connection_is_refused(hospital: Hospital, client: str, case: str) -> None:
    make, _, said = REFUSED[case]
    hospital.broker.add_user("known")
    ended = hospital.run("doctor", client, make(hospital.broker))
    print(ended.out)
    assert ended.code in codes(client, case)
    assert any(said in line for line in ended.out.splitlines() if line.startswith("WRONG"))
