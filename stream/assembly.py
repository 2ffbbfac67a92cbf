"""The only wiring: builds the rooms from the settings."""

from __future__ import annotations

import gc
import logging
import math
import threading
import time
from collections.abc import Set
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import torch

from model.artifact import load
from model.errors import ArtifactError
from model.explain.contributors import contributors
from model.risk_model import RiskModel
from stream import topics
from stream.admin.admin import UNKNOWN, Admin, partition_count
from stream.admin.identity import Identity
from stream.alert.vitals import SIGNS, VitalSigns
from stream.background import Threads
from stream.batch.batcher import Batcher
from stream.batch.waves import pack
from stream.clients import make_admin, make_sink, make_source, make_transactional_sink
from stream.commit.committer import AtLeastOnce, Committer, ExactlyOnce, Guarantee
from stream.consume.behind import Behind, Leader
from stream.consume.source import Source
from stream.consume.watchdog import Blindness, Ownership, Watchdog
from stream.decode.decoder import Decoder
from stream.decode.leaving_out import LeavingOut
from stream.drift.watch import Blind, Watch
from stream.errors import (
    BrokerError,
    BrokerUnavailable,
    ConnectionRefused,
    GapError,
    ModelError,
    RefusalError,
    SettingsError,
    ThreadError,
    describe,
)
from stream.failpoints import watched
from stream.health import Health
from stream.idle import JOIN_TIMEOUT_S, Backlog, UntilIdle
from stream.metrics import Metrics, total
from stream.pipeline import Pipeline
from stream.publish.scores import ScoreEncoder
from stream.publish.sink import Sink
from stream.publish.state_only import StateOnly
from stream.scoring import Encoder, Rooms
from stream.settings import Settings
from stream.state.changelog import Changelog, TopicIds
from stream.state.names import Names
from stream.state.placement import Placement
from stream.state.restore import Restorer, Rules
from stream.state.standby import Standby
from stream.state.stays import VITALS, Periods
from stream.state.store import StateStore
from stream.step.stepper import Stepper
from stream.web.health import HealthServer

log = logging.getLogger(__name__)

RETRY_S = 1.0

BLIND_AFTER_S = 10.0
TURNS_WITHIN_S = 2.0


def choose_device(device: str) -> torch.device:
    """`auto` is CUDA where there is one. Raises `SettingsError` where a CUDA that is asked for is not."""
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise SettingsError("device: cuda is asked for, but torch finds no CUDA device")
    return torch.device("cuda" if available and device != "cpu" else "cpu")


def load_model(settings: Settings) -> RiskModel:
    """The model on its device. Raises `ModelError`, `SettingsError`."""
    try:
        return load(settings.model, choose_device(settings.device))
    except ArtifactError as error:
        raise ModelError(str(error)) from error


class Worker:
    """One member of the consumer group: the pipeline, its metrics and its health server."""

    def __init__(self, settings: Settings) -> None:
        torch.set_num_threads(settings.threads)
        self._settings = settings
        self.metrics = Metrics()
        model = load_model(settings)
        self.model_hash = model.hash
        self.threads = Threads(self.metrics.count_thread_failure)
        self.ids = TopicIds()
        self.pipeline = _pipeline(settings, model, self.metrics, self.threads, self.ids)
        self._ended: BrokerError | None = None

    @cached_property
    def watchdog(self) -> Watchdog:
        return _watchdog(self._settings, self.pipeline, self.threads)

    @cached_property
    def health(self) -> Health:
        reads = not isinstance(self.pipeline.rooms.source, Behind)
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
                self.pipeline.rooms.standby.open()
            listener = watched("rebalance", self.pipeline)
            self.pipeline.rooms.source.subscribe(settings.observations_topic, listener, held=True)
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
            found = admin.topics(logs)
            ids.input, ids.changelog = (found[one].id if one in found else UNKNOWN for one in logs)
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


def build_worker(settings: Settings) -> Worker:
    """Raises `SettingsError`, `ModelError`, `BrokerError`."""
    return Worker(settings)


def build_follower(
    settings: Settings, leader: Leader, encoder: Encoder, refused: Set[tuple[int, int]]
) -> Worker:
    """A worker that never runs ahead of the group whose committed offsets `leader` tells, and makes states
    alone: `encoder` sees its scores, and nothing but the changelog is written. refused: partition and offset
    of records to pass over. Raises as `build_worker`."""
    worker = build_worker(settings)
    rooms = worker.pipeline.rooms
    worker.pipeline = Pipeline(
        replace(
            rooms,
            source=Behind(rooms.source, leader),
            decoder=LeavingOut(settings.max_event_bytes, settings.max_future, refused),
            sink=StateOnly(rooms.sink),
            encoder=encoder,
        )
    )
    return worker


def _pipeline(
    settings: Settings, model: RiskModel, metrics: Metrics, threads: Threads, ids: TopicIds
) -> Pipeline:
    fresh = model.initial_state()
    store = watched(
        "store", StateStore(fresh, settings.initial_resident_patients, settings.max_resident_patients)
    )
    group = settings.application_id
    source = watched(
        "source",
        make_source(
            settings, group, instance_id=settings.instance_id, auto_offset_reset="error", with_headers=True
        ),
    )
    changelog = watched("changelog", make_changelog(settings, model, ids))
    standby = watched(
        "standby",
        Standby(partial(_reader, "replica", settings, auto_offset_reset="error"), changelog.topic, threads),
    )
    sink, guarantee = make_outputs(settings, source)
    periods = make_periods(settings)
    metrics.describe_model(model.name, model.hash, model.target)
    metrics.slot_bytes.set(store.bytes_per_patient)
    log.info("model %s %s on %s", model.name, model.hash[:16], fresh.device)
    rooms = Rooms(
        source=source,
        batcher=watched("batch", Batcher(settings.max_batch, settings.max_wait)),
        decoder=watched("decode", Decoder(settings.max_event_bytes, settings.max_future)),
        placement=Placement(refuse=settings.misplaced_records == "refuse"),
        store=store,
        restorer=watched("restorer", _restorer(settings, changelog, standby)),
        standby=standby,
        stepper=Stepper(
            watched("model", model),
            store,
            fresh,
            pack,
            periods,
            partial(contributors, model) if settings.contributors != "off" else None,
            model.alert_threshold if settings.contributors == "alerts" else 0.0,
        ),
        drift=watched("drift", Watch(model.reference) if model.reference else Blind()),
        vitals=watched("assess", VitalSigns(VITALS)),
        encoder=watched("encode", _encoder(settings, model, ids, store.names)),
        dead_letters_topic=settings.dead_letters_topic,
        max_dead_letter_bytes=settings.max_dead_letter_bytes,
        sink=sink,
        committer=watched(
            "commit", Committer(guarantee, store, changelog, settings.commit_interval, settings.commit_events)
        ),
        expire_after_ms=periods.expire_after,
        max_past_ms=int(settings.max_past * 1000),
        metrics=metrics,
    )
    return Pipeline(rooms)


def _reader(role: str, settings: Settings, **options: Any) -> Source:
    """A source outside of group management that knows the group's committed offsets."""
    return watched(role, make_source(settings, settings.application_id, **options))


def _restorer(settings: Settings, changelog: Changelog, standby: Standby) -> Restorer:
    rules = Rules(
        settings.observations_topic,
        exactly_once=settings.processing_guarantee == "exactly_once",
        skip_gaps=settings.on_gap == "skip",
        patience=2 * settings.transaction_timeout,
    )
    return Restorer(partial(_reader, "restore", settings, to_end=True), changelog, rules, standby)


def _encoder(settings: Settings, model: RiskModel, ids: TopicIds, names: Names) -> ScoreEncoder:
    return ScoreEncoder(
        settings.scores_topic,
        source=settings.observations_topic,
        ids=ids,
        model_name=model.name,
        model_hash=model.hash,
        target=model.target,
        signs=SIGNS,
        warm_up=settings.warm_up_events or model.warm_after,
        names=names,
    )


def make_periods(settings: Settings) -> Periods:
    return Periods(int(settings.expire_after * 1000), int(settings.discharge_grace * 1000))


def _watchdog(settings: Settings, pipeline: Pipeline, threads: Threads) -> Watchdog:
    group, topic = settings.application_id, settings.observations_topic

    def look() -> Ownership:
        with closing(make_admin(settings)) as admin:
            found = admin.group(group)
            members = [owned.get(topic, set()) for owned in found.members]
            return Ownership(partition_count(admin, topic), members, found.stable)

    return Watchdog(
        topic,
        look,
        lambda: pipeline.assigned,
        Blindness(
            partial(_reading, pipeline),
            lambda: total(pipeline.rooms.metrics.consumed),
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
    return pipeline.running if turns and not isinstance(pipeline.rooms.source, Behind) else frozenset()


def make_changelog(settings: Settings, model: RiskModel, ids: TopicIds | None = None) -> Changelog:
    """The format of the model's states in the settings' changelog topic. ids: as `Changelog`."""
    return Changelog(settings.changelog_topic, model.hash, model.state_size, ids)


def make_outputs(settings: Settings, source: Source) -> tuple[Sink, Guarantee]:
    """The sink of the guarantee that the settings choose, and how it ends an epoch of `source`."""
    if settings.processing_guarantee == "at_least_once":
        sink = watched("sink", make_sink(settings))
        return sink, AtLeastOnce(sink, source.commit, source.committed)
    transactional = watched("sink", make_transactional_sink(settings))
    return transactional, ExactlyOnce(transactional, settings.observations_topic, source.group_metadata)


def _calm_garbage_collector() -> None:
    """A micro-batch makes tens of thousands of short-lived objects and no cycles: look for cycles seldom,
    and never among what is here to stay."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 20, 20)
