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
from model.shown import shown
from stream.columns.events import Kind
from stream.columns.scores import Scores
from stream.settings import SHIPPED_MODEL
from stream.stays.record import VITALS
from tests.support.events import EXPIRE_AFTER_MS, GRACE_MS, Event, Ward, columns, small_model
from tests.support.examples import tries
from tests.support.logs import CUTS, LOG, MEASURED, STATICS, TWO_DAYS, logs, one_by_one

MODEL, WIDE = small_model(), small_model(wide=6)


@given(LOG, CUTS)
@settings(max_examples=tries(60), deadline=None)
def test_batches_slots_and_reuse_do_not_change_a_score(log: list[Event], cuts: list[int]) -> None:
    assert Ward(MODEL).risks(log, *cuts) == pytest.approx(one_by_one(MODEL, log), abs=1e-5)


def told_alone(model: RiskModel, log: list[Event], threshold: float) -> dict[int, list[object]]:
    """What each event's explanation says where it comes in a batch of its own."""
    ward = Ward(model, explain=partial(contributors, model), explain_from=threshold)
    return {offset: told for event in log for offset, told in told_in(ward.feed([event])).items()}


def told_in(parts: list[Scores]) -> dict[int, list[object]]:
    return {offset: told for scores in parts for offset, told in _told(scores).items()}


def _told(scores: Scores) -> dict[int, list[object]]:
    given_ = scores.contributions
    if given_ is None:
        return {}
    columns_ = (given_.variables, given_.effects, given_.values, given_.previous, given_.gaps, given_.ages)
    return {
        int(scores.events.offsets[row]): [column[place].tolist() for column in columns_]
        for place, row in enumerate(given_.rows)
    }


@given(LOG, CUTS, st.sampled_from([0.0, 0.5]))
@settings(max_examples=tries(30), deadline=None)
def test_explanations_do_not_depend_on_the_batch(log: list[Event], cuts: list[int], threshold: float) -> None:
    ward = Ward(WIDE, explain=partial(contributors, WIDE), explain_from=threshold)
    told: dict[int, list[object]] = {}
    risks: dict[int, float] = {}
    for start, end in pairwise([0, *sorted(set(cuts) & set(range(1, len(log)))), len(log)]):
        parts = ward.feed(log[start:end])
        told |= told_in(parts)
        for scores in parts:
            risks |= dict(zip(scores.events.offsets.tolist(), scores.risk.tolist(), strict=True))
    sure = {offset for offset, risk in risks.items() if abs(risk - threshold) > 1e-5}
    assert told.keys() & sure == {offset for offset in sure if risks[offset] >= threshold}
    alone = told_alone(WIDE, log, threshold)
    for offset in told.keys() & sure:
        for column, expected in zip(told[offset][1:], alone[offset][1:], strict=True):
            assert column == pytest.approx(expected, abs=1e-3, nan_ok=True)


@given(LOG, CUTS)
@settings(max_examples=tries(60), deadline=None)
def test_eviction_does_not_change_a_score(log: list[Event], cuts: list[int]) -> None:
    distinct = max((len({(e.partition, e.patient) for e in log}), 1))
    edges = [*range(3, len(log), 3), *cuts]
    small = Ward(MODEL, initial=1, maximum=min(3, distinct))
    assert small.risks(log, *edges) == pytest.approx(one_by_one(MODEL, log), abs=1e-5)
    assert small.store.resident <= 3


@given(logs(TWO_DAYS), CUTS)
@settings(max_examples=tries(40), deadline=None)
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
@settings(max_examples=tries(40), deadline=None)
def test_the_stream_equals_the_whole_sequence_forward_pass(stay, statics, cuts) -> None:
    minutes = np.cumsum([gap for gap, _ in stay])
    log = [Event("a", int(minutes[0]), kind=Kind.ADMISSION, statics=statics)]
    log += [Event("a", int(minute), values) for minute, (_, values) in zip(minutes, stay, strict=True)]
    events = columns(log)
    elapsed = np.diff(events.observed_at, prepend=events.observed_at[0]) / 3_600_000
    logits = MODEL(
        torch.from_numpy(shown(events.values)[0])[None],
        torch.tensor([statics], dtype=torch.float32),
        torch.from_numpy(elapsed.astype(np.float32))[None],
    )
    hours = torch.from_numpy((events.observed_at - events.observed_at[0]) / 3_600_000).float()[None]
    expected = MODEL.risk(logits, hours)[0].tolist()
    assert list(Ward(MODEL).risks(log, *cuts).values()) == pytest.approx(expected, abs=1e-5)


def test_an_event_that_is_older_than_the_stays_first_is_late() -> None:
    log = [Event("a", 60, {"HR": 80}), Event("a", 30, {"Lactate": 90}), Event("a", 60, {"HR": 85})]
    (scores,) = Ward(MODEL).feed(log)
    assert scores.late.tolist() == [False, True, False]
    assert scores.counts.tolist() == [1, 2, 3]
    assert np.isfinite(scores.risk).all()
    assert scores.risk[1] == pytest.approx(one_by_one(MODEL, log)[1], abs=1e-6)


def test_a_late_value_replaces_no_newer_one() -> None:
    """Neither in the vital signs nor in what the model carries: as if the event had measured nothing."""
    log = [Event("a", 60, {"HR": 140, "Lactate": 9}), Event("a", 30, {"HR": 80, "Lactate": 1})]
    then = Event("a", 61, {"Temp": 39})
    ward, without = Ward(MODEL), Ward(MODEL)
    ward.feed(log)
    without.feed([log[0], Event("a", 30)])
    (scores,), (expected,) = ward.feed([then]), without.feed([then])
    assert scores.risk == pytest.approx(expected.risk, abs=1e-7)
    assert scores.vitals[0].tolist() == pytest.approx(expected.vitals[0].tolist(), nan_ok=True)
    assert scores.vitals[0][VITALS.index("HR")] == 140


def test_a_late_value_counts_if_none_is_newer() -> None:
    ward, without = Ward(MODEL), Ward(MODEL)
    (scores,) = ward.feed([Event("a", 60, {"HR": 140}), Event("a", 30, {"GCS": 9})])
    (expected,) = without.feed([Event("a", 60, {"HR": 140}), Event("a", 30)])
    column = VITALS.index("GCS")
    assert scores.vitals[1][column] == 9
    assert scores.ages[1][column] == pytest.approx(0.5)
    assert abs(scores.risk[1] - expected.risk[1]) > 1e-6


def test_a_discharged_patient_is_known_for_the_grace_and_then_forgotten() -> None:
    ward, grace = Ward(MODEL), GRACE_MS // 60_000
    ward.feed([Event("a", 0, {"HR": 190, "Lactate": 20}), Event("a", 10, kind=Kind.DISCHARGE)])
    (late,) = ward.feed([Event("a", 9, {"Lactate": 2})])
    assert (late.closed.tolist(), late.counts.tolist()) == ([True], [2])
    ward.feed([Event("c", 10 + grace, {"HR": 80})])
    assert ward.store.expire(EXPIRE_AFTER_MS) == 0
    ward.feed([Event("c", 11 + grace, {"HR": 80})])
    assert ward.store.expire(EXPIRE_AFTER_MS) == 1
    assert ward.store.resident == 1
    (scores,) = ward.feed([Event("a", 12 + grace, {"HR": 80}), Event("b", 12 + grace, {"HR": 80})])
    assert scores.counts.tolist() == [1, 1]
    assert scores.closed.tolist() == [False, False]
    assert scores.risk[0] == pytest.approx(scores.risk[1], abs=1e-6)


@pytest.mark.parametrize("again", [True, False])
def test_an_admission_begins_a_cold_stay_unless_it_is_of_the_same_encounter(again: bool) -> None:
    first = Event("a", 0, {"HR": 190}, Kind.ADMISSION, (60, 1, 170, 80, 3), encounter="e1")
    second = Event("a", 30, {"HR": 80}, Kind.ADMISSION, encounter="e2" if again else "e1")
    (scores,) = Ward(MODEL).feed([first, second, Event("b", 30, {"HR": 80}, Kind.ADMISSION)])
    assert scores.counts.tolist() == ([1, 1, 1] if again else [1, 2, 1])
    assert (abs(scores.risk[1] - scores.risk[2]) < 1e-6) == again


def test_an_update_of_an_admission_changes_what_it_names() -> None:
    """Weight alone; the age and the rest stay."""
    nan = np.nan
    known, heavier = (60.0, 1.0, 170.0, 80.0, 3.0), (60.0, 1.0, 170.0, 180.0, 3.0)
    log = [Event("a", 0, kind=Kind.ADMISSION, statics=known, encounter="e")]
    update = Event("a", 0, kind=Kind.ADMISSION, statics=(nan, nan, nan, 180.0, nan), encounter="e")
    whole = Event("a", 0, kind=Kind.ADMISSION, statics=heavier, encounter="e")
    assert Ward(MODEL).risks([*log, update])[1] == pytest.approx(
        Ward(MODEL).risks([*log, whole])[1], abs=1e-7
    )


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
