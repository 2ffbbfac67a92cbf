"""A worker: one member of the consumer group."""

from __future__ import annotations

import gc
import logging
import math
import threading
import time
from collections.abc import Set
from contextlib import ExitStack, closing
from functools import cached_property, partial

import torch

from stream.background import Threads
from stream.errors import (
    BrokerError,
    BrokerUnavailable,
    ConnectionRefused,
    GapError,
    RefusalError,
    ThreadError,
    describe,
)
from stream.failpoints import watched
from stream.kafka import topics
from stream.kafka.admin import UNKNOWN, Admin, partition_count
from stream.kafka.clients import make_admin, make_source
from stream.kafka.identity import Identity
from stream.kafka.rebalance_watchdog import Blindness, Ownership, Watchdog
from stream.metrics import Metrics, total
from stream.settings import Settings
from stream.state.changelog import TopicIds
from stream.worker import assembly
from stream.worker.health import Health
from stream.worker.http import HealthServer
from stream.worker.idle import JOIN_TIMEOUT_S, Backlog, UntilIdle
from stream.worker.pipeline import Pipeline

log = logging.getLogger(__name__)

RETRY_S = 1.0

BLIND_AFTER_S = 10.0
TURNS_WITHIN_S = 2.0


class Worker:
    """One member of the consumer group: the pipeline, its metrics and its health server."""

    def __init__(self, settings: Settings, variant: assembly.Variant = assembly.AS_SET) -> None:
        """Raises `SettingsError`, `ModelError`, `BrokerError`."""
        torch.set_num_threads(settings.threads)
        self._settings = settings
        self.metrics = Metrics()
        model = assembly.load_model(settings)
        self.model_hash = model.hash
        self.threads = Threads(self.metrics.count_thread_failure)
        self.ids = TopicIds()
        self.pipeline = assembly.make_pipeline(settings, model, self.metrics, self.threads, self.ids, variant)
        self._ended: BrokerError | None = None

    @cached_property
    def watchdog(self) -> Watchdog:
        return _watchdog(self._settings, self.pipeline, self.threads)

    @cached_property
    def health(self) -> Health:
        reads = not self.pipeline.follows
        timeout = self._settings.health_timeout
        return Health(self.pipeline, self.threads, self.watchdog, timeout, reads=reads)

    def run(
        self, stop: threading.Event, until_idle: float | None = None, *, check_topics: bool = False
    ) -> None:
        """Join the group and score until `stop` is set, or until nothing came for `until_idle` seconds and
        the group has scored the whole topic; then finish, commit and leave. check_topics: refuse topics that
        lose records, and notice if one is deleted and made again. Raises `VitalstreamError`."""
        _calm_garbage_collector()
        settings = self._settings
        log.info("joining group %s at %s", settings.application_id, settings.bootstrap_servers)
        with ExitStack() as closed_last, self.pipeline, closing(self.watchdog):
            self._serve(closed_last)
            if check_topics:
                self._check_topics(stop, math.inf if until_idle is None else JOIN_TIMEOUT_S)
                if stop.is_set():
                    return
                closed_last.enter_context(closing(self._identity(stop)))
            self.watchdog.open(partial(self._end, stop))
            if settings.standby_replicas == "all":
                self.pipeline.partitions.standby.open()
            listener = watched("rebalance", self.pipeline)
            self.pipeline.source.subscribe(settings.observations_topic, listener, held=True)
            self._loop(stop, None if until_idle is None else self._until_idle(until_idle))

    def _loop(self, stop: threading.Event, until_idle: UntilIdle | None) -> None:
        try:
            self.pipeline.run(stop, until_idle)
        except ThreadError as error:
            self.threads.fail(error)
            raise
        except BrokerError as error:
            if self._ended:
                raise self._ended from error
            raise
        if self._ended:
            raise self._ended

    def _end(self, stop: threading.Event, error: BrokerError) -> None:
        """A gap says more than what follows from it; else the first cause counts."""
        if self._ended is None or isinstance(error, GapError):
            self._ended = error
        stop.set()

    def _check_topics(self, stop: threading.Event, patience: float) -> None:
        """Waits for a broker until `stop` is set, `patience` seconds at most."""
        began = time.monotonic()
        while not stop.is_set():
            try:
                with closing(make_admin(self._settings)) as admin:
                    self._look_at_topics(admin)
                return
            except BrokerUnavailable as error:
                if time.monotonic() - began > patience:
                    raise
                log.warning("waiting for the broker: %s", describe(error))
                self.pipeline.progressed = time.monotonic()
                stop.wait(RETRY_S)

    def _look_at_topics(self, admin: Admin) -> None:
        settings, ids = self._settings, self.ids
        logs = [settings.observations_topic, settings.changelog_topic]
        try:
            descriptions = admin.topics(logs)
            ids.input, ids.changelog = (
                descriptions[topic].id if topic in descriptions else UNKNOWN for topic in logs
            )
            faults = topics.examine(settings, admin)
        except ConnectionRefused:
            raise
        except RefusalError as error:
            log.warning("the topics are not checked: %s", describe(error))
            return
        topics.refuse(faults)
        for fault in faults:
            log.warning("%s", fault)

    def _identity(self, stop: threading.Event) -> Identity:
        settings, ids = self._settings, self.ids
        known = {settings.observations_topic: ids.input, settings.changelog_topic: ids.changelog}

        watching = Identity(known, partial(make_admin, settings), self.threads)
        watching.open(partial(self._end, stop))
        return watching

    def _until_idle(self, quiet: float) -> UntilIdle:
        reader = partial(make_source, self._settings, self._settings.application_id, to_end=True)
        return UntilIdle(quiet, Backlog(reader, self._settings.observations_topic))

    def _serve(self, closed_last: ExitStack) -> None:
        host, port = self._settings.metrics_host, self._settings.metrics_port
        if port:
            server = HealthServer(
                host, port, self.metrics.registry, self.health.unhealthy, self.health.unready
            )
            closed_last.callback(server.close)
            log.info("metrics and health at %s:%d", host, server.port)


def _watchdog(settings: Settings, pipeline: Pipeline, threads: Threads) -> Watchdog:
    group, topic = settings.application_id, settings.observations_topic

    def look() -> Ownership:
        with closing(make_admin(settings)) as admin:
            state = admin.group(group)
            members = [owned.get(topic, set()) for owned in state.members]
            return Ownership(partition_count(admin, topic), members, state.stable)

    return Watchdog(
        topic,
        look,
        lambda: pipeline.assigned,
        Blindness(
            partial(_reading, pipeline),
            lambda: total(pipeline.metrics.consumed),
            Backlog(partial(make_source, settings, group, to_end=True), topic).unread,
            patience=settings.commit_interval + BLIND_AFTER_S,
        ),
        partial(make_source, settings, group),
        threads,
        static=settings.instance_id is not None,
    )


def _reading(pipeline: Pipeline) -> Set[int]:
    """The partitions whose records the loop asks for now; none if it does something else for long, or waits
    for another group."""
    turns = time.monotonic() - pipeline.progressed < TURNS_WITHIN_S
    return pipeline.running if turns and not pipeline.follows else frozenset()


def _calm_garbage_collector() -> None:
    """A micro-batch makes tens of thousands of short-lived objects and no cycles: look for cycles seldom,
    and never among what is here to stay."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 20, 20)
