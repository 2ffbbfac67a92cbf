"""Whatever bytes arrive, each record is scored, discharged or a dead letter, exactly once, and none ends
the worker."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice

import pytest

from stream.columns.records import Outgoing
from stream.contracts.scores import RiskScore
from stream.metrics import total
from stream.synthetic.simulator import Ward
from tests.support.memory import Record, as_log, run_through
from tests.unit.fuzz.payloads import mutated, structures

NOW_MS = int(time.time() * 1000)
CHECKED_EVERY = 97


class Accounts:
    """Where each offset went. Holds what was sent until it comes back, to compare it."""

    def __init__(self, log: Iterator[Record]) -> None:
        self.sent: dict[int, Record] = {}
        self.letters: Counter[str] = Counter()
        self.scores = 0
        self._log = log

    def log(self) -> Iterator[Record]:
        for offset, record in enumerate(self._log):
            self.sent[offset] = record
            yield record

    def take(self, outgoing: Outgoing) -> None:
        if outgoing.headers is None:
            for value, key in zip(outgoing.values, outgoing.keys, strict=True):
                self.take_score(value or b"", key)
            return
        for value, key, headers in zip(outgoing.values, outgoing.keys, outgoing.headers, strict=True):
            told = dict(headers)
            assert (key, value) == self.sent.pop(int(told["vitalstream.error.offset"]))
            self.letters[told["vitalstream.error.code"].decode()] += 1

    def take_score(self, value: bytes, key: bytes | None) -> None:
        score = json.loads(value)
        assert self.sent.pop(score["source"]["offset"])[0] == key
        assert score["patient_id"].encode() == key
        assert 0 <= score["risk"] <= 1
        self.scores += 1
        if self.scores % CHECKED_EVERY == 0:
            RiskScore.model_validate_json(value)


def fuzz(count: int, made: int, seed: int) -> Accounts:
    ward = Ward(300, seed, NOW_MS - 3_600_000, interval=60)
    real = as_log(ward.tick(NOW_MS - 600_000))
    accounts = Accounts(mutated(real, structures(made, NOW_MS), count, seed))
    limits = {"max_batch": 512, "max_resident_patients": 512, "initial_resident_patients": 16}
    worker, committed = run_through(accounts.log(), accounts.take, max_event_bytes=1000, **limits)
    assert committed == count
    assert len(accounts.sent) == total(worker.metrics.discharged)
    assert all(b"discharge" in (value or b"") for _, value in islice(accounts.sent.values(), 1000))
    assert accounts.scores == total(worker.metrics.scored)
    assert accounts.letters.total() == total(worker.metrics.refused)
    assert accounts.scores + accounts.letters.total() + len(accounts.sent) == count
    codes = " ".join(f"{code} {n:,}" for code, n in accounts.letters.most_common())
    print(
        f"\n{count:,} payloads: {accounts.scores:,} scored, {len(accounts.sent):,} discharged, "
        f"{accounts.letters.total():,} dead letters ({codes})"
    )
    return accounts


@pytest.mark.long
def test_50_000_mutated_payloads_are_each_accounted_for() -> None:
    accounts = fuzz(50_000, made=1_500, seed=1)
    assert accounts.scores > 5_000
    assert accounts.sent
    assert len(accounts.letters) >= 12


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_1_000_000_mutated_payloads_are_each_accounted_for() -> None:
    fuzz(1_000_000, made=5_000, seed=2)
