"""The only wiring: builds the stages from the settings."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import torch

from model.artifact import load
from model.errors import ArtifactError
from model.explain.contributors import contributors
from model.risk_model import RiskModel
from stream.assess.news2 import SIGNS, VitalSigns
from stream.background import Threads
from stream.batch.batcher import Batcher
from stream.batch.waves import pack
from stream.commit.committer import AtLeastOnce, Committer, ExactlyOnce, Guarantee
from stream.decode.decoder import Decoder
from stream.drift.monitor import DriftMonitor, NullDriftMonitor
from stream.encode.scores import ScoreEncoder
from stream.errors import (
    ModelError,
    SettingsError,
)
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
from stream.worker.pipeline import Pipeline
from stream.worker.scoring import Stages

log = logging.getLogger(__name__)


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


def make_pipeline(
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
    stages = Stages(
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
        drift=watched("drift", DriftMonitor(model.reference) if model.reference else NullDriftMonitor()),
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
    return Pipeline(stages)


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
