"""What a worker needs to be allowed, found by trying what it does; no reader ever sees anything of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial

from stream.columns.records import Outgoing
from stream.errors import TopicError
from stream.kafka.admin import Admin, missing, partition_count
from stream.kafka.clients import make_source, make_transactional_sink
from stream.kafka.refusals import Refusal
from stream.kafka.sink import TransactionalSink
from stream.settings import Settings
from stream.state.replica import EARLIEST

POLL_S = 0.5
MOST_POLLS = 10
FLUSH_TIMEOUT_S = 10.0
INSTANCE = "doctor"
Check = tuple[str, Callable[[], str]]


def rights(settings: Settings, admin: Admin) -> Iterator[Check]:
    """What is tried, and the function that tries it: it returns what it found, or raises `BrokerError`."""
    for topic in (settings.observations_topic, settings.changelog_topic):
        yield "reading", partial(_read, settings, topic)
    outputs = (settings.scores_topic, settings.dead_letters_topic, settings.changelog_topic)
    if settings.processing_guarantee == "at_least_once":
        for topic in outputs:
            yield "writing", partial(_may_write, admin, topic)
        return
    own = settings.model_copy(update={"instance_id": f"{INSTANCE}-{settings.instance_id or 'any'}"})
    with closing(make_transactional_sink(own)) as sink:
        begun: list[str] = []
        yield "writing", partial(_begin, sink, settings.application_id, begun)
        for topic in outputs if begun else ():
            yield "writing", partial(_write, sink, admin, topic)


def _read(settings: Settings, topic: str) -> str:
    """A fetch needs other rights than describing does, and finds them even in an empty topic."""
    with closing(make_source(settings, settings.application_id, to_end=True)) as source:
        if not source.partition_count(topic):
            raise TopicError(f"{topic}: there is no such topic, or the user may not see it")
        source.assign(topic, {0: EARLIEST})
        for polls in range(MOST_POLLS):
            if len(source.poll(1, POLL_S)) or (polls and 0 in source.ended()):
                break
    return f"{topic} can be read"


def _begin(sink: TransactionalSink, application_id: str, begun: list[str]) -> str:
    """Adds to `begun` if it succeeds; otherwise nothing can be written either."""
    sink.reset()
    begun.append(application_id)
    return f"transactions as {application_id}-… can be begun"


def _write(sink: TransactionalSink, admin: Admin, topic: str) -> str:
    """In a transaction that is aborted. A client would wait for a topic that is missing."""
    partition_count(admin, topic)
    sink.reset()
    sink.send(Outgoing(topic, [b""], [INSTANCE.encode()]))
    sink.flush(FLUSH_TIMEOUT_S)
    sink.abort()
    return f"{topic} can be written"


def _may_write(admin: Admin, topic: str) -> str:
    """Without a transaction nothing can be tried that would not be seen: the cluster is asked."""
    if (described := admin.topics([topic]).get(topic)) is None:
        raise TopicError(missing(topic))
    if "WRITE" not in described.allowed:
        raise Refusal.TOPIC.error(f"writing {topic}", "WRITE is not among what the user may do")
    return f"{topic} can be written"
