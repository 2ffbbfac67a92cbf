"""Administration by each client, on the real Kafka."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import count

import pytest
from confluent_kafka import Uuid

from stream.connection import Connection
from stream.errors import BrokerUnavailable, SettingsError, TopicError
from stream.kafka.admin import UNKNOWN, Admin, ConsumerGroup, TopicSpec, missing, partition_count
from stream.kafka.clients import ADMINS, SOURCES
from stream.kafka.embedded import EmbeddedBroker
from stream.kafka.librdkafka.admin import _id
from tests.broker.clients.polling import Remembering, poll_until
from tests.broker.server import free_ports
from tests.unit.state.cluster import wait as until

numbers = count()


@pytest.fixture(params=ADMINS)
def client(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def admin(client: str, kafka: str) -> Iterator[Admin]:
    with closing(ADMINS[client](Connection(kafka))) as made:
        yield made


@pytest.fixture
def spec() -> TopicSpec:
    return TopicSpec(f"admin-{time.time_ns()}-{next(numbers)}", 3, 1, {"retention.ms": "123456789"})


def test_a_topic_is_made_as_wanted_and_described(admin: Admin, spec: TopicSpec) -> None:
    assert admin.topics([spec.name]) == {}
    assert admin.create([spec]) == ([spec.name], [])
    found = admin.topics([spec.name, "there-is-no-such-topic"])
    assert found.keys() == {spec.name}
    assert (found[spec.name].partitions, found[spec.name].replication_factor) == (3, 1)
    settings = admin.configs([spec.name])[spec.name]
    assert (settings["retention.ms"], settings["cleanup.policy"]) == ("123456789", "delete")


def test_a_topic_that_exists_stays_as_it_is(admin: Admin, spec: TopicSpec) -> None:
    admin.create([replace(spec, partitions=2)])
    other = replace(spec, name=f"{spec.name}-other")
    assert admin.create([spec, other]) == ([other.name], [spec.name])
    assert partition_count(admin, spec.name) == 2


def test_a_topic_made_again_has_another_id(admin: Admin, spec: TopicSpec) -> None:
    admin.create([spec])
    first = admin.topics([spec.name])[spec.name].id
    assert admin.topics([spec.name])[spec.name].id == first != UNKNOWN
    admin.delete([spec.name])
    until(lambda: not admin.topics([spec.name]))
    admin.create([spec])
    assert admin.topics([spec.name])[spec.name].id not in (first, UNKNOWN)


def test_all_clients_tell_the_same_id(kafka: str, spec: TopicSpec) -> None:
    ids = set()
    for make in ADMINS.values():
        with closing(make(Connection(kafka))) as each:
            each.create([spec])
            ids.add(each.topics([spec.name])[spec.name].id)
    assert len(ids) == 1 and len(ids.pop()) == 22


def test_librdkafkas_ids_are_written_as_kafkas_own() -> None:
    assert _id(Uuid(-1, -1)) == "_____________________w"
    assert _id(Uuid(0, 0)) == UNKNOWN


def test_a_missing_topic_is_an_error_when_its_count_or_settings_are_asked_for(
    admin: Admin, spec: TopicSpec
) -> None:
    with pytest.raises(TopicError) as error:
        partition_count(admin, spec.name)
    assert str(error.value) == missing(spec.name)
    with pytest.raises(TopicError, match=spec.name):
        admin.configs([spec.name])
    with pytest.raises(TopicError):
        admin.delete([spec.name])


def test_what_the_cluster_refuses_is_an_error_with_its_cause(admin: Admin, spec: TopicSpec) -> None:
    with pytest.raises(TopicError, match=f"{spec.name}: not created"):
        admin.create([replace(spec, replication_factor=99)])
    with pytest.raises(TopicError, match="not created"):
        admin.create([replace(spec, config={"cleanup.policy": "nonsense"})])


def test_a_brokers_settings_can_be_read(admin: Admin) -> None:
    assert admin.broker_config()["default.replication.factor"] == "1"


def test_a_group_has_its_members_and_what_they_own(
    admin: Admin, client: str, kafka: str, spec: TopicSpec
) -> None:
    until(lambda: group_of(admin, spec.name) == ConsumerGroup(False, []))
    admin.create([spec])
    listener = Remembering()
    with closing(SOURCES[client](Connection(kafka), spec.name)) as member:
        member.subscribe(spec.name, listener)
        poll_until(member, lambda: listener.owned == {0, 1, 2} and admin.group(spec.name).stable)
        assert admin.group(spec.name) == ConsumerGroup(True, [{spec.name: {0, 1, 2}}])
    until(lambda: admin.group(spec.name) == ConsumerGroup(False, []))


def group_of(admin: Admin, name: str) -> ConsumerGroup | None:
    """None while a new broker looks for a coordinator."""
    try:
        return admin.group(name)
    except BrokerUnavailable:
        return None


@pytest.mark.parametrize(
    ("client", "overrides"),
    [("librdkafka", {"fetch.wait.max.ms": "5"}), ("kafka-python", {"fetch_max_wait_ms": "5"})],
)
def test_overrides_that_only_a_consumer_knows_do_not_disturb(
    kafka: str, client: str, overrides: dict[str, str]
) -> None:
    with closing(ADMINS[client](Connection(kafka, overrides=overrides))) as made:
        assert made.topics(["there-is-no-such-topic"]) == {}


def test_overrides_of_the_client_reach_its_administration() -> None:
    with pytest.raises(SettingsError, match="keystore"):
        ADMINS["librdkafka"](
            Connection("nowhere:1", security_protocol="SSL", overrides={"ssl.keystore.location": "/absent"})
        ).topics(["any"])


def test_a_broker_that_is_away_is_said_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.kafka.librdkafka.admin.REQUEST_TIMEOUT_S", 0.5)
    with closing(ADMINS["librdkafka"](Connection(f"127.0.0.1:{free_ports(1)}"))) as made:
        questions: list[Callable[[list[str]], object]] = [made.topics, made.configs, made.delete]
        for ask in questions:
            with pytest.raises(BrokerUnavailable):
                ask(["any"])
        with pytest.raises(BrokerUnavailable):
            made.create([TopicSpec("any", 1)])


def test_the_embedded_broker_has_no_topic_ids(embedded: EmbeddedBroker) -> None:
    embedded.create("any")
    connection = Connection(embedded.bootstrap_servers, overrides={"api_version": "2.3"})
    with closing(ADMINS["kafka-python"](connection)) as made:
        assert made.topics(["any"])["any"].id == UNKNOWN
