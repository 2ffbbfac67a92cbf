"""A transaction that is ended on a thread of its own."""

from __future__ import annotations

import threading
import time

import pytest

from stream.errors import CommitError, ThreadError
from stream.kafka.transaction import Transaction
from tests.support.failing import KINDS, PATIENT


def raises(error: BaseException) -> None:
    raise error


@pytest.fixture
def transaction() -> Transaction:
    made = Transaction()
    made.begin(lambda: None)
    return made


def test_what_is_committed_is_told_once(transaction: Transaction) -> None:
    told: list[str] = []
    transaction.on_committed(lambda: told.append("committed"))
    transaction.end(lambda: None, 10)
    assert transaction.ending
    transaction.finish()
    transaction.finish()
    assert (told, transaction.open, transaction.ending) == (["committed"], False, False)


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_the_thread_raises_is_raised_and_nothing_is_told(
    transaction: Transaction, kind: type[BaseException]
) -> None:
    told: list[str] = []
    transaction.on_committed(lambda: told.append("committed"))
    transaction.end(lambda: raises(kind(PATIENT)), 10)
    with pytest.raises(ThreadError, match=f"the commit thread failed: {kind.__name__} at tests") as raised:
        transaction.finish()
    assert PATIENT not in str(raised.value)
    assert (told, transaction.open, transaction.stuck) == ([], True, False)
    transaction.give_up()
    assert not transaction.open


def test_giving_up_passes_over_a_refused_commit_and_over_nothing_else(transaction: Transaction) -> None:
    transaction.end(lambda: raises(CommitError("fenced")), 10)
    transaction.give_up()
    transaction.begin(lambda: None)
    transaction.end(lambda: raises(MemoryError()), 10)
    with pytest.raises(ThreadError):
        transaction.give_up()
    assert not transaction.open


def test_a_client_that_does_not_come_back_is_stuck(transaction: Transaction) -> None:
    end = threading.Event()
    transaction.end(lambda: bool(end.wait(10)), 0.05)  # type: ignore[arg-type, return-value]
    with pytest.raises(CommitError, match="the client does not answer"):
        transaction.finish()
    assert transaction.stuck
    end.set()


def test_an_end_that_hangs_is_noticed_without_a_further_event(transaction: Transaction) -> None:
    end = threading.Event()
    transaction.end(lambda: bool(end.wait(10)), 0.05)  # type: ignore[arg-type, return-value]
    assert not transaction.ended
    time.sleep(0.1)
    assert transaction.ended
    with pytest.raises(CommitError):
        transaction.finish()
    end.set()
