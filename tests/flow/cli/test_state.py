"""`vitalstream state` on a real broker, on the changelog of a real worker."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, OffsetAndMetadata, TopicPartition

from stream.columns.records import Outgoing
from stream.connection import Connection
from stream.kafka.librdkafka.sink import LibrdkafkaSink
from stream.state.changelog import Changes, Patients
from stream.synthetic.simulator import Ward
from stream.worker.assembly import load_model, make_changelog
from stream.worker.worker import Worker
from tests.flow.cli.states import HOUR, NAMES, NOW, States, assert_tells_of_nobody, few, observation, ward
from tests.flow.conftest import SLOW_IN_PYTHON
from tests.flow.flow import CLIENTS, Flow, outgoing, wait_until


def tamper(states: States, key: bytes, value: bytes | None, partition: int = 0) -> None:
    with closing(LibrdkafkaSink(Connection(states.flow.servers))) as sink:
        sink.send(Outgoing(states.flow.changelog, [value], [key], np.array([partition], np.int32)))
        sink.flush(30)


def latest(states: States, key: bytes) -> bytes:
    return [one.value for one in states.flow.written(states.flow.changelog) if one.key == key][-1] or b""


@pytest.mark.parametrize("client", CLIENTS)
def test_partitions_and_on_request_patients_are_listed(states: Any, client: str) -> None:
    state = states(client, partitions=3)
    state.feed(ward(6))
    shown = state.json("ls")
    assert shown["patients"] == 6 == sum(one["patients"] for one in shown["partitions"])
    assert shown["model"] == load_model(state.flow.settings()).hash
    offsets = {one["partition"]: one["next_offset"] for one in shown["partitions"] if one["next_offset"]}
    assert offsets == state.flow.committed()
    assert all(one["committed"] == one["next_offset"] for one in shown["partitions"])
    times = [one["stream_time"] for one in shown["partitions"]]
    assert max(time or 0 for time in times) <= NOW - 60_000
    plain = state("ls")
    assert plain.code == 0
    assert "6 patients" in plain.out
    assert_tells_of_nobody(plain)

    listed = state.json("ls", "--patients")["states"]
    assert sorted(one["patient_id"] for one in listed) == [f"sim-{number:06}" for number in range(6)]
    assert sum(one["events"] for one in listed) == len(ward(6))
    lines = [line.split("\t") for line in state("ls", "--patients").out.splitlines() if "sim-" in line]
    assert sorted(line[0] for line in lines) == [f"sim-{number:06}" for number in range(6)]


def test_a_patients_state_is_shown_in_clinical_terms(states: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    state = states(partitions=1)
    state.feed(few())
    shown = state.json("show", NAMES[0])
    assert shown["model"] == load_model(state.flow.settings()).hash
    (one,) = shown["states"]
    assert (one["partition"], one["events"], one["admitted"], one["next_offset"]) == (0, 3, True, 5)
    assert (one["started_at"], one["observed_at"]) == (NOW - 2 * HOUR, NOW - HOUR)
    assert one["variables"]["HR"] == {"value": 99.0, "unit": "/min", "hours_since": 0.0, "count": 2}
    assert one["variables"]["Temp"]["hours_since"] == pytest.approx(1, abs=1e-3)
    assert set(one["variables"]) == {"HR", "Temp"}
    assert one["static"] == {
        "age": pytest.approx(71), "sex": "female", "height": None,
        "weight": pytest.approx(80.5), "unit_type": "medical",
    }  # fmt: skip
    assert 0 < one["hidden_norm"] < 8
    plain = state("show", NAMES[0])
    assert plain.code == 0
    assert "HR" in plain.out and "female" in plain.out
    assert_tells_of_nobody(plain)

    monkeypatch.setattr("sys.stdin", io.StringIO(NAMES[0] + "\n"))
    assert state.json("show", "-") == shown


def test_of_a_patient_without_state_that_is_said_without_the_id(states: Any) -> None:
    state = states(partitions=1)
    state.feed(few())
    ended = state("show", "ZQ7-nobody")
    assert ended.code == 1
    assert "no state of this patient" in ended.err
    assert_tells_of_nobody(ended)


def test_an_id_cannot_move_the_cursor(states: Any) -> None:
    state = states(partitions=1)
    state.feed(few())
    assert "\nZQ7-Łuk\\x1b[1m\t" in state("ls", "--patients").out
    assert NAMES[3] in [one["patient_id"] for one in state.json("ls", "--patients")["states"]]


def test_a_changelog_that_is_not_there_is_exit_code_3(states: Any) -> None:
    state = states(partitions=1)
    for command in ("ls", "verify"):
        ended = state(command, application_id="nobody")
        assert ended.code == 3
        assert "nobody-patient-state-changelog is missing" in ended.err


@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
@pytest.mark.parametrize("client", SLOW_IN_PYTHON)
def test_a_worker_leaves_what_a_replay_makes(states: Any, client: str, guarantee: str) -> None:
    state = states(client, partitions=3, processing_guarantee=guarantee)
    state.feed(few(), ward(9))
    ended = state("verify")
    assert ended.code == 0, ended
    assert "nothing differs" in ended.out
    assert_tells_of_nobody(ended)
    report = state.json("verify")
    assert report["sound"] and report["faults"] == {}
    assert sum(one["replayed"] or 0 for one in report["partitions"]) == len(few()) + len(ward(9))


def test_input_that_is_not_retained_is_checked_by_checksum_and_said_so(states: Any) -> None:
    state = states(partitions=1)
    state.feed(few())
    with closing(KafkaAdminClient(bootstrap_servers=state.flow.servers)) as admin:
        admin.delete_records({TopicPartition(state.flow.observations, 0): 3})
    ended = state("verify")
    assert ended.code == 0, ended
    assert "checksums only" in ended.out
    value = bytearray(latest(state, NAMES[0].encode()))
    value[90] ^= 1
    tamper(state, NAMES[0].encode(), bytes(value))
    assert state.json("verify")["faults"] == {"checksum": 1}


def test_events_ahead_of_the_workers_clock_are_no_difference_once_the_clock_has_passed(states: Any) -> None:
    state = states(partitions=1)
    state.feed(outgoing([observation(NAMES[0], NOW + at * 60_000, HR=60 + at) for at in (-9, 20, -8)]))
    assert len(state.flow.written(state.flow.letters)) == 1
    assert state("verify", max_future=3000).code == 0


class Fault:
    """Something that is wrong with one of `few`, and what it counts as."""

    @staticmethod
    def flipped(state: States) -> dict[str, int]:
        value = bytearray(latest(state, NAMES[0].encode()))
        value[100] ^= 4
        tamper(state, NAMES[0].encode(), bytes(value))
        return {"checksum": 1}

    @staticmethod
    def row(state: States) -> dict[str, int]:
        rewrite(state, lambda one: one.rows.__setitem__((0, 3), one.rows[0, 3] + 1e-3))
        return {"row": 1}

    @staticmethod
    def stay(state: States) -> dict[str, int]:
        rewrite(state, lambda one: one.stays["events"].__setitem__(0, 77))
        return {"stay": 1}

    @staticmethod
    def ahead(state: States) -> dict[str, int]:
        rewrite(state, lambda one: one.stays["next_offset"].__setitem__(0, 10**6))
        return {"ahead": 1}

    @staticmethod
    def missing(state: States) -> dict[str, int]:
        tamper(state, NAMES[0].encode(), None)
        return {"missing": 1}

    @staticmethod
    def surplus(state: States) -> dict[str, int]:
        rewrite(state, lambda one: None, new_id=b"ZQ7-new")
        return {"surplus": 1}

    @staticmethod
    def foreign(state: States) -> dict[str, int]:
        tamper(state, b"ZQ7-foreign", b"ZQ7 is not a state")
        return {"foreign": 1}

    @staticmethod
    def checkpoint(state: States) -> dict[str, int]:
        where = TopicPartition(state.flow.observations, 0)
        group = KafkaConsumer(
            bootstrap_servers=state.flow.servers, group_id=state.flow.flags["application_id"]
        )
        with closing(group):
            group.commit({where: OffsetAndMetadata(3)})
        return {"mark": 1}


def rewrite(state: States, change: Callable[[Patients], Any], new_id: bytes | None = None) -> None:
    """Change a state and seal it again, as an error in the program would."""
    settings, key = state.flow.settings(), NAMES[0].encode()
    changelog = make_changelog(settings, load_model(settings))
    found = changelog.patients({key: latest(state, key)})
    copied = Patients([new_id or key], found.rows.copy(), found.stays.copy(), list(found.texts))
    change(copied)
    encoded = changelog.encode([Changes(copied, np.zeros(1, np.int32))], {})
    tamper(state, new_id or key, encoded.values[0])


@pytest.mark.parametrize(
    "fault", ["flipped", "row", "stay", "ahead", "missing", "surplus", "foreign", "checkpoint"]
)
def test_what_is_wrong_is_found_and_counted_without_ids(states: Any, fault: str) -> None:
    state = states(partitions=1)
    state.feed(few())
    assert state("verify").code == 0
    wanted = getattr(Fault, fault)(state)
    ended, plain = state("verify", "--json"), state("verify")
    assert (ended.code, plain.code) == (6, 6)
    assert json.loads(ended.out)["faults"] == wanted
    assert not json.loads(ended.out)["sound"]
    assert f"{next(iter(wanted))} 1" in plain.err
    listed = state("ls") if fault in ("flipped", "foreign") else None
    assert_tells_of_nobody(ended, plain, *([listed] if listed else []))
    assert listed is None or listed.code == 6


def test_a_topic_with_another_partition_count_is_found(states: Any, make_topic: Any) -> None:
    state = states(partitions=1)
    state.feed(few())
    assert state.json("verify", scores_topic=make_topic(2))["faults"] == {"partitions": 1}


def test_a_worker_at_work_is_verified_at_one_of_its_commits(states: Any) -> None:
    state, stop = states(partitions=2), threading.Event()
    worker = Worker(state.flow.settings())
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    sending = threading.Thread(target=_keep_sending, args=(state.flow, stop))
    try:
        wait_until(lambda: worker.health.unready() is None)
        sending.start()
        wait_until(lambda: len(state.flow.committed()) == 2)
        ended = state("verify", "--json", transaction_timeout=10)
        assert ended.code == 0, ended
        assert all(one["replayed"] > 0 for one in json.loads(ended.out)["partitions"])
    finally:
        stop.set()
        thread.join(30)
        sending.join(30)


def _keep_sending(flow: Flow, stop: threading.Event) -> None:
    simulated = Ward(20, 5, NOW - 48 * HOUR, interval=60)
    with closing(LibrdkafkaSink(Connection(flow.servers))) as sink:
        until = NOW - 48 * HOUR
        while not stop.wait(0.02):
            until += 60_000
            sent: Sequence[Any] = (made := simulated.tick(until)).values
            sink.send(Outgoing(flow.observations, sent, made.keys, None, made.timestamps))
        sink.flush(30)
