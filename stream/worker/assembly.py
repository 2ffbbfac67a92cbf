"""Wires a worker's pipeline from the settings."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch

from model.artifact import load
from model.errors import ArtifactError
from model.explain.contributors import contributors
from model.risk_model import RiskModel
from stream.assess.news2 import SIGNS, VitalSigns
from stream.background import Threads
from stream.batch.batcher import Batcher
from stream.commit.committer import AtLeastOnce, Committer, ExactlyOnce, Guarantee
from stream.decode.decoder import Decoder
from stream.drift.monitor import DriftMonitor, NullDriftMonitor
from stream.encode.scores import ScoreEncoder
from stream.errors import ModelError, SettingsError
from stream.failpoints import watched
from stream.kafka.clients import make_sink, make_source, make_transactional_sink
from stream.kafka.sink import Sink
from stream.kafka.source import Source
from stream.metrics import Metrics
from stream.settings import Settings
from stream.state.changelog import Changelog, TopicIds
from stream.state.names import Names
from stream.state.placement import Placement
from stream.state.restore import Restorer, Rules
from stream.state.standby import Standby
from stream.state.store import StateStore
from stream.stays.record import VITALS, Periods
from stream.step.stepper import Stepper
from stream.worker.intake import Decoding, Intake
from stream.worker.partitions import Partitions
from stream.worker.pipeline import Pipeline
from stream.worker.publishing import DeadLetters, Encoder, Publisher
from stream.worker.scoring import Scoring
from stream.worker.stepping import Stepping

log = logging.getLogger(__name__)

Part = TypeVar("Part")


def _unchanged(part: Part) -> Part:
    return part


def choose_device(device: str) -> torch.device:
    """`auto` is CUDA if there is a device. Raises `SettingsError` if CUDA is asked for and there is none."""
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


@dataclass(frozen=True)
class Variant:
    """What differs from the settings. Each callable takes the part that the settings would give, and returns
    its replacement; `follows` as in `Pipeline`."""

    source: Callable[[Source], Source] = _unchanged
    decoder: Callable[[Decoding], Decoding] = _unchanged
    encoder: Callable[[Encoder], Encoder] = _unchanged
    sink: Callable[[Sink], Sink] = _unchanged
    follows: bool = False


AS_SET = Variant()


def make_pipeline(
    settings: Settings,
    model: RiskModel,
    metrics: Metrics,
    threads: Threads,
    ids: TopicIds,
    variant: Variant = AS_SET,
) -> Pipeline:
    fresh = model.initial_state()
    store = watched(
        "store", StateStore(fresh, settings.initial_resident_patients, settings.max_resident_patients)
    )
    member = watched("source", _member(settings))
    sink, guarantee = make_outputs(settings, member)
    source, sink = variant.source(member), variant.sink(sink)
    changelog = watched("changelog", make_changelog(settings, model, ids))
    committer = watched(
        "commit", Committer(guarantee, store, changelog, settings.commit_interval, settings.commit_events)
    )
    placement = Placement(refuse=settings.misplaced_records == "refuse")
    drift = watched("drift", DriftMonitor(model.reference) if model.reference else NullDriftMonitor())
    decoder = variant.decoder(watched("decode", Decoder(settings.max_event_bytes, settings.max_future)))
    encoder = variant.encoder(watched("encode", _encoder(settings, model, ids, store.names)))
    dead_letters = DeadLetters(settings.dead_letters_topic, settings.max_dead_letter_bytes)
    scoring = Scoring(
        Intake(decoder, placement, metrics),
        make_stepping(settings, model, store),
        drift,
        Publisher(watched("assess", VitalSigns(VITALS)), encoder, dead_letters, sink, metrics),
        committer,
        metrics,
    )
    partitions = _partitions(settings, source, store, changelog, committer, placement, metrics, threads)
    metrics.describe_model(model.name, model.hash, model.target)
    metrics.slot_bytes.set(store.bytes_per_patient)
    log.info("model %s %s on %s", model.name, model.hash[:16], fresh.device)
    return Pipeline(
        source,
        watched("batch", Batcher(settings.max_batch, settings.max_wait)),
        scoring,
        sink,
        committer,
        partitions,
        metrics,
        partial(_tidy, store, make_periods(settings).expire_after, partitions, drift, metrics),
        follows=variant.follows,
    )


def _member(settings: Settings) -> Source:
    """The member of the consumer group."""
    return make_source(
        settings,
        settings.application_id,
        instance_id=settings.instance_id,
        auto_offset_reset="error",
        with_headers=True,
    )


def make_stepping(settings: Settings, model: RiskModel, store: StateStore) -> Stepping:
    explain = partial(contributors, model) if settings.contributors != "off" else None
    explain_from = model.alert_threshold if settings.contributors == "alerts" else 0.0
    stepper = Stepper(watched("model", model), model.initial_state(), explain, explain_from)
    return Stepping(store, stepper, make_periods(settings), int(settings.max_past * 1000))


def _partitions(
    settings: Settings,
    source: Source,
    store: StateStore,
    changelog: Changelog,
    committer: Committer,
    placement: Placement,
    metrics: Metrics,
    threads: Threads,
) -> Partitions:
    standby = watched(
        "standby",
        Standby(partial(_reader, "replica", settings, auto_offset_reset="error"), changelog.topic, threads),
    )
    restorer = watched("restorer", _restorer(settings, changelog, standby))
    return Partitions(source, store, restorer, standby, committer, placement, metrics)


def _tidy(
    store: StateStore,
    expire_after_ms: int,
    partitions: Partitions,
    drift: DriftMonitor | NullDriftMonitor,
    metrics: Metrics,
) -> None:
    """What is done about once a second: whoever has expired is forgotten, and the gauges are set."""
    metrics.expired.inc(store.expire(expire_after_ms))
    partitions.show_gauges()
    metrics.show_drift(drift.drift())


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
