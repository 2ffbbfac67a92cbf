from collections import defaultdict
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.artifact import load
from model.explain.contributors import contributors
from model.risk_model import RiskModel
from stream.records import Code, Kind, Scores
from stream.settings import SHIPPED_MODEL
from tests.events import EXPIRE_AFTER_MS, Event, Ward, columns, small_model

MODEL, WIDE = small_model(), small_model(wide=6)
MEASURED = st.dictionaries(st.sampled_from(["HR", "Temp", "Lactate", "GCS"]), st.floats(4, 200), max_size=3)
STATICS = st.tuples(
    *[st.sampled_from(row) for row in [(20, 90), (0, 1), (150, 190), (50, 120), (1, 2, 3, 4)]]
)
TWO_DAYS = st.integers(0, 3000)


def logs(minutes: st.SearchStrategy[int]) -> st.SearchStrategy[list[Event]]:
    event = st.builds(
        Event,
        patient=st.sampled_from(["a", "b", "c", "d"]),
        minute=minutes,
        values=MEASURED,
        kind=st.sampled_from([Kind.OBSERVATION] * 6 + [Kind.ADMISSION, Kind.DISCHARGE]),
        statics=STATICS,
        partition=st.integers(0, 1),
    )
    return st.lists(event, max_size=40)


LOG = logs(TWO_DAYS | st.sampled_from([6000, 9000, 14_000]))
CUTS = st.lists(st.integers(1, 39), max_size=10)


def one_by_one(model: RiskModel, log: list[Event]) -> dict[int, float]:
    """The plain meaning of the events: each patient alone, one call of the cell an event."""
    state: dict[tuple[int, str], tuple[torch.Tensor, int, int, bool]] = {}
    seen: dict[tuple[int, str], int] = {}
    stream_times: dict[int, int] = defaultdict(int)
    risks = {}
    events = columns(log)
    for offset, event in enumerate(log):
        who = event.partition, event.patient
        fresh = model.initial_state()[None], event.minute, event.minute, False
        now = stream_times[event.partition] = max(stream_times[event.partition], event.minute)
        if now - seen.get(who, now) > EXPIRE_AFTER_MS / 60_000:
            state.pop(who, None)
        seen[who] = now
        row, start, latest, admitted = state.get(who, fresh)
        if event.kind == Kind.DISCHARGE:
            state.pop(who, None)
            continue
        if event.kind == Kind.ADMISSION:
            if admitted:
                row, start, latest, _ = fresh
            row, admitted = model.admit(row, torch.tensor([event.statics])), True
        elapsed = torch.tensor([max(event.minute - latest, 0) / 60])
        latest = max(event.minute, latest)
        hours = torch.tensor([(latest - start) / 60])
        row, risk = model.step(row, torch.from_numpy(events.values[offset : offset + 1]), elapsed, hours)
        state[who] = row, start, latest, admitted
        risks[offset] = risk.item()
    return risks


@given(LOG, CUTS)
@settings(max_examples=60, deadline=None)
def test_batches_slots_and_reuse_do_not_change_a_score(log: list[Event], cuts: list[int]) -> None:
    assert Ward(MODEL).risks(log, *cuts) == pytest.approx(one_by_one(MODEL, log), abs=1e-5)


def told_alone(model: RiskModel, log: list[Event], threshold: float) -> dict[int, list[object]]:
    """What each event's explanation says where it comes in a batch of its own."""
    ward = Ward(model, explain=partial(contributors, model), explain_from=threshold)
    return {offset: told for event in log for offset, told in told_in(ward.feed([event])[0]).items()}


def told_in(scores: Scores) -> dict[int, list[object]]:
    given_ = scores.contributions
    if given_ is None:
        return {}
    columns_ = (given_.variables, given_.effects, given_.values, given_.previous, given_.gaps, given_.ages)
    return {
        int(scores.events.offsets[row]): [column[place].tolist() for column in columns_]
        for place, row in enumerate(given_.rows)
    }


@given(LOG, CUTS, st.sampled_from([0.0, 0.5]))
@settings(max_examples=30, deadline=None)
def test_explanations_do_not_depend_on_the_batch(log: list[Event], cuts: list[int], threshold: float) -> None:
    ward = Ward(WIDE, explain=partial(contributors, WIDE), explain_from=threshold)
    told: dict[int, list[object]] = {}
    risks: dict[int, float] = {}
    for start, end in pairwise([0, *sorted(set(cuts) & set(range(1, len(log)))), len(log)]):
        scores, _ = ward.feed(log[start:end])
        told |= told_in(scores)
        risks |= dict(zip(scores.events.offsets.tolist(), scores.risk.tolist(), strict=True))
    sure = {offset for offset, risk in risks.items() if abs(risk - threshold) > 1e-5}
    assert told.keys() & sure == {offset for offset in sure if risks[offset] >= threshold}
    alone = told_alone(WIDE, log, threshold)
    for offset in told.keys() & sure:
        for column, expected in zip(told[offset][1:], alone[offset][1:], strict=True):
            assert column == pytest.approx(expected, abs=1e-3, nan_ok=True)


@given(LOG, CUTS)
@settings(max_examples=60, deadline=None)
def test_eviction_does_not_change_a_score(log: list[Event], cuts: list[int]) -> None:
    distinct = max((len({(e.partition, e.patient) for e in log}), 1))
    edges = [*range(3, len(log), 3), *cuts]
    small = Ward(MODEL, initial=1, maximum=min(3, distinct))
    assert small.risks(log, *edges) == pytest.approx(one_by_one(MODEL, log), abs=1e-5)
    assert small.store.resident <= 3


@given(logs(TWO_DAYS), CUTS)
@settings(max_examples=40, deadline=None)
def test_a_patients_scores_are_the_same_with_and_without_the_others(
    log: list[Event], cuts: list[int]
) -> None:
    """But for expiry: of a silent patient only the others can tell that time goes by."""
    together = Ward(MODEL).risks(log, *cuts)
    alone = [offset for offset, event in enumerate(log) if event.patient == "a"]
    apart = Ward(MODEL).risks([log[offset] for offset in alone])
    expected = {alone[index]: risk for index, risk in apart.items()}
    assert {offset: together[offset] for offset in together if offset in alone} == pytest.approx(
        expected, abs=1e-5
    )


@given(st.lists(st.tuples(st.integers(0, 300), MEASURED), min_size=1, max_size=30), STATICS, CUTS)
@settings(max_examples=40, deadline=None)
def test_the_stream_equals_the_whole_sequence_forward_pass(stay, statics, cuts) -> None:
    minutes = np.cumsum([gap for gap, _ in stay])
    log = [Event("a", int(minutes[0]), kind=Kind.ADMISSION, statics=statics)]
    log += [Event("a", int(minute), values) for minute, (_, values) in zip(minutes, stay, strict=True)]
    events = columns(log)
    elapsed = np.diff(events.observed_at, prepend=events.observed_at[0]) / 3_600_000
    logits = MODEL(
        torch.from_numpy(events.values)[None],
        torch.tensor([statics], dtype=torch.float32),
        torch.from_numpy(elapsed.astype(np.float32))[None],
    )
    hours = torch.from_numpy((events.observed_at - events.observed_at[0]) / 3_600_000).float()[None]
    expected = MODEL.risk(logits, hours)[0].tolist()
    assert list(Ward(MODEL).risks(log, *cuts).values()) == pytest.approx(expected, abs=1e-5)


def test_an_event_out_of_order_is_late_and_takes_no_negative_time() -> None:
    ward = Ward(MODEL)
    log = [Event("a", 60, {"HR": 80}), Event("a", 30, {"HR": 90}), Event("a", 60, {"HR": 85})]
    scores, _ = ward.feed(log)
    assert scores.late.tolist() == [False, True, False]
    assert scores.counts.tolist() == [1, 2, 3]
    in_order = [Event("a", 60, {"HR": 80}), Event("a", 60, {"HR": 90}), Event("a", 60, {"HR": 85})]
    assert Ward(MODEL).risks(in_order)[2] == pytest.approx(scores.risk[2], abs=1e-6)


def test_a_discharge_frees_the_slot_and_the_next_stay_starts_cold() -> None:
    ward = Ward(MODEL)
    ward.feed([Event("a", 0, {"HR": 190, "Lactate": 20}), Event("a", 10, kind=Kind.DISCHARGE)])
    assert ward.store.resident == 0
    scores, _ = ward.feed([Event("a", 20, {"HR": 80}), Event("b", 20, {"HR": 80})])
    assert scores.counts.tolist() == [1, 1]
    assert scores.risk[0] == pytest.approx(scores.risk[1], abs=1e-6)


def test_an_event_after_long_silence_begins_a_cold_stay_in_any_batch() -> None:
    hour, silent = 60, EXPIRE_AFTER_MS // 60_000
    log = [
        Event("a", 0, {"HR": 190, "Lactate": 20}),
        Event("b", hour, {"HR": 70}),
        Event("b", hour + silent, {"HR": 70}),
        Event("a", hour, {"HR": 80}),
        Event("c", hour, {"HR": 80}),
    ]
    for cuts in ([], [1], [2, 3]):
        risks = Ward(MODEL).risks(log, *cuts)
        assert risks[3] == pytest.approx(risks[4], abs=1e-6)


class Poisoned:
    """The model, but it brings NaN into the state of whoever has a temperature of exactly 44."""

    initial_state, admit, vitals = MODEL.initial_state, MODEL.admit, MODEL.vitals

    def scan(self, state, values, elapsed, hours, sizes):
        after, risk = MODEL.scan(state, values, elapsed, hours, sizes)
        return torch.where((values == 44).any(1)[:, None], torch.nan, after), risk


@given(logs(TWO_DAYS), CUTS, st.sets(st.integers(0, 39), min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_what_would_poison_a_slot_is_refused_and_leaves_no_trace(log, cuts, bad) -> None:
    bad = {row for row in bad if row < len(log) and log[row].kind == Kind.OBSERVATION}
    poisoned = [
        Event(e.patient, e.minute, {"Temp": 44}, e.kind, e.statics, e.partition) if row in bad else e
        for row, e in enumerate(log)
    ]
    ward, risks, refused = Ward(Poisoned()), {}, []
    edges = [0, *sorted({cut for cut in cuts if cut < len(log)}), len(log)]
    for start, end in pairwise(edges):
        scores, quarantined = ward.feed(poisoned[start:end])
        risks |= dict(zip(scores.events.offsets.tolist(), scores.risk.tolist(), strict=True))
        refused += quarantined.records.offsets[list(quarantined.rows)].tolist()
        assert set(quarantined.codes) <= {Code.QUARANTINED}
    assert refused == sorted(bad)
    clean = [row for row in range(len(log)) if row not in bad]
    expected = one_by_one(MODEL, [log[row] for row in clean])
    assert risks == pytest.approx({clean[row]: risk for row, risk in expected.items()}, abs=1e-5)


def test_a_slot_of_the_shipped_model_takes_at_most_one_and_a_half_kibibytes() -> None:
    ward = Ward(load(SHIPPED_MODEL))
    assert ward.store.bytes_per_patient <= 1536


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_gives_the_scores_of_the_cpu() -> None:
    log = [
        Event(
            "ab"[row % 2],
            row,
            {"HR": 60.0 + row},
            Kind.ADMISSION if row < 2 else Kind.OBSERVATION,
            (60, 1, 170, 80, 3),
        )
        for row in range(40)
    ]
    on_device = small_model().to("cuda")
    assert Ward(on_device).risks(log, 7, 20) == pytest.approx(Ward(MODEL).risks(log), abs=1e-5)
