"""The scores that `bench.encode` writes, as columns, and the fragments of JSON that every way shares."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec
import numpy as np

from bench.messages import START_MS, patient_key
from stream.contracts.scores import RiskScore

N = 4096
PARTITIONS = 4
TOPIC, TARGET, MODEL, HASH = "vitals.observations.v1", "in_hospital_death", "gru-64", "0123456789abcdef" * 4
SIGNS = ("HR", "RespRate", "SaO2", "Temp", "SysABP", "GCS")
SCORED_AT = START_MS + 5
ESCAPES = re.compile(rb'["\\\x00-\x1f]')


class Columns(NamedTuple):
    patients: list[bytes]
    partitions: np.ndarray
    offsets: np.ndarray
    observed_at: np.ndarray
    risk: np.ndarray  # float32
    counts: np.ndarray
    warm: np.ndarray
    late: np.ndarray
    stale: np.ndarray  # bit mask of SIGNS
    news2: np.ndarray
    complete: np.ndarray


def columns() -> Columns:
    random = np.random.default_rng(0)
    return Columns(
        [patient_key(number) for number in random.integers(50_000, size=N).tolist()],
        random.integers(PARTITIONS, size=N),
        random.integers(990_000, 1_010_000, size=N),
        START_MS + np.arange(N),
        random.beta(0.3, 2.0, N).astype(np.float32),
        random.integers(1, 500, size=N),
        random.random(N) < 0.9,
        random.random(N) < 0.02,
        random.integers(64, size=N),
        random.integers(21, size=N),
        random.random(N) < 0.3,
    )


def stale_names(mask: int) -> list[str]:
    return [name for bit, name in enumerate(SIGNS) if mask >> bit & 1]


def coverage(stale: int) -> float:
    return round(1 - stale.bit_count() / len(SIGNS), 2)


BOOL = ("false", "true")
FLAGS = [
    f',"warm":{BOOL[mask & 1]},"coverage":{coverage(mask >> 2)}'
    f',"late":{BOOL[mask >> 1 & 1]},"closed":false,"stale":'
    f'{msgspec.json.encode(stale_names(mask >> 2)).decode()}}},"news2":{{"score":'
    for mask in range(256)
]
NEWS2 = [f'{mask >> 1},"complete":{BOOL[mask & 1]}' for mask in range(42)]
TAIL = [  # by partition and NEWS2
    f'{news2}}},"source":{{"topic":"{TOPIC}","partition":{partition},"offset":'.encode()
    for partition in range(PARTITIONS)
    for news2 in NEWS2
]
HEAD = [f'{{"id":"{TOPIC}/{partition}/'.encode() for partition in range(PARTITIONS)]
MIDDLE = f',"target":"{TARGET}","model":{{"name":"{MODEL}","hash":"{HASH}"}},"state":{{"events":'


def flags(c: Columns) -> np.ndarray:
    return c.warm | c.late.astype(np.int64) << 1 | c.stale << 2


def news2(c: Columns) -> np.ndarray:
    return c.news2 << 1 | c.complete


def tails(c: Columns) -> np.ndarray:
    return c.partitions * len(NEWS2) + news2(c)


def refuse_escapes(c: Columns) -> None:
    if ESCAPES.search(b"".join(c.patients)):
        raise NotImplementedError("such a batch takes another way; it is rare")


def check(c: Columns, ways: Mapping[str, Callable[[Columns], list[bytes]]]) -> None:
    """Every way must say the same, or its time means nothing."""
    for name, way in ways.items():
        lines = way(c)
        assert len(lines) == N, name
        for row, line in enumerate(lines[:512]):
            score = RiskScore.model_validate_json(line)
            partition, offset = int(c.partitions[row]), int(c.offsets[row])
            assert score.id == f"{TOPIC}/{partition}/{offset}/{HASH[:12]}", name
            assert (score.source.partition, score.source.offset) == (partition, offset), name
            assert score.patient_id.encode() == c.patients[row], name
            assert abs(score.risk - float(c.risk[row])) <= 1e-6, name
            assert (score.observed_at, score.scored_at) == (int(c.observed_at[row]), SCORED_AT), name
            assert score.state.events == c.counts[row] and score.state.stale == stale_names(c.stale[row]), (
                name
            )
            assert (score.state.warm, score.state.late) == (c.warm[row], c.late[row]), name
            assert (score.news2.score, score.news2.complete) == (c.news2[row], c.complete[row]), name
