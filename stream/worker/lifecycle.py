"""The states of a worker, and which may follow which."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class WorkerState(StrEnum):
    """As Kafka Streams' `Task.State`, for the worker as a whole.

           ┌───────────────────────┐
           │                       ▼
        CREATED ──▶ RUNNING ──▶ CLOSING ──▶ CLOSED
           │         │   ▲         │           ▲
           │   epoch lost│recovered│           │
           │         ▼   │         │           │
           │       RECOVERING      │           │
           ▼         ▼             ▼           │
           └──────▶ FAILED ◀───────┘           │
                     └─────────────────────────┘

    RUNNING and CLOSING alone may commit: in every other state the memory does not belong to the open epoch.
    """

    CREATED = "created"
    RUNNING = "running"
    RECOVERING = "recovering"
    CLOSING = "closing"
    FAILED = "failed"
    CLOSED = "closed"


FOLLOWERS: Mapping[WorkerState, frozenset[WorkerState]] = {
    WorkerState.CREATED: frozenset({WorkerState.RUNNING, WorkerState.CLOSING, WorkerState.FAILED}),
    WorkerState.RUNNING: frozenset({WorkerState.RECOVERING, WorkerState.CLOSING, WorkerState.FAILED}),
    WorkerState.RECOVERING: frozenset({WorkerState.RUNNING, WorkerState.FAILED}),
    WorkerState.CLOSING: frozenset({WorkerState.CLOSED, WorkerState.FAILED}),
    WorkerState.FAILED: frozenset({WorkerState.CLOSED}),
    WorkerState.CLOSED: frozenset(),
}


def successor(state: WorkerState, wanted: WorkerState) -> WorkerState:
    """`wanted`. Raises `RuntimeError` if it may not follow `state`."""
    if wanted not in FOLLOWERS[state]:
        raise RuntimeError(f"a worker that is {state} cannot become {wanted}")
    return wanted
