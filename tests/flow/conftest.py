from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from model.datasets.physionet2012 import read
from model.datasets.stays import Stays
from tests.flow.flow import CLIENTS, Flow

DATA = Path(os.environ.get("VITALSTREAM_DATA", "../shared/data"))
PATIENTS = 150

SLOW_IN_PYTHON = ["librdkafka", pytest.param("kafka-python", marks=pytest.mark.slow)]
"""Both clients, of a test that would take the suite over its quarter of an hour: kafka-python's is slow."""

MakeFlow = Callable[..., Flow]


@pytest.fixture(scope="session")
def everyone() -> Stays:
    """The 4,000 real stays of set b of PhysioNet 2012."""
    if not (DATA / "physionet2012").is_dir():
        reason = "PhysioNet 2012 is not under VITALSTREAM_DATA"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return read(DATA, "b")


@pytest.fixture(scope="session")
def stays(everyone: Stays) -> Stays:
    """150 of them, from all over the set."""
    return everyone.select(np.linspace(0, len(everyone) - 1, PATIENTS).astype(np.int64))


@pytest.fixture
def make_flow(kafka: str, make_topic: Callable[..., str]) -> MakeFlow:
    """Makes a flow on the real Kafka, read by the client that its worker does not use."""

    def make(client: str = "librdkafka", partitions: int = 4, **flags: object) -> Flow:
        (reader,) = set(CLIENTS) - {client}
        return Flow(kafka, client, reader, partial(make_topic, partitions), flags)

    return make
