import json
from dataclasses import replace

import numpy as np
import pytest

from model import artifact
from model.datasets.padding import step_starts
from model.datasets.stays import Outcomes, Stays
from model.errors import DatasetError, RecipeError
from model.evaluate.offline import step_logits, step_risks
from model.train.calibration import calibrate, centre, fit_platt
from model.train.examples import Examples
from model.train.private import PrivacyPlan
from model.train.recipe import Recipe
from model.train.run import RecordedSet, train
from model.train.teacher import out_of_fold_targets
from tests.unit.model import synthetic

RECIPE = Recipe(
    hidden_size=8,
    wide_size=4,
    epochs=8,
    batch_size=4,
    learning_rate=0.01,
    average_decay=0.9,
    folds=2,
    calibration_folds=2,
)


def recorded(name, patients, seed):
    """Sets of different seeds share no patient."""
    examples = synthetic.learnable(patients, seed)
    ids = examples.stays.record_ids + np.int32(10_000 * seed)
    return RecordedSet(name, replace(examples.stays, record_ids=ids), Outcomes(ids, examples.died))


def test_the_teacher_knows_only_other_patients() -> None:
    """A patient's target must not depend on its own outcome, and follow from the others'."""
    examples = synthetic.learnable()
    targets = out_of_fold_targets(RECIPE, examples)
    starts = step_starts(examples.stays)
    assert targets.shape == (starts[-1],)
    assert ((targets > 0) & (targets < 1)).all()
    last = targets[starts[1:] - 1]
    assert last[examples.died].mean() - last[~examples.died].mean() > 0.2


def test_a_lie_about_one_patient_is_not_believed() -> None:
    """With its outcome turned around (and another's, so that the folds stay), it is scored by its peers."""
    examples = synthetic.learnable()
    dead, alive = int(np.flatnonzero(examples.died)[1]), int(np.flatnonzero(~examples.died)[1])
    lied = examples.died.copy()
    lied[[dead, alive]] = lied[[alive, dead]]
    targets = out_of_fold_targets(RECIPE, Examples(examples.stays, lied))
    last = step_starts(examples.stays)[1:] - 1
    assert targets[last[dead]] > targets[last[alive]]


def test_folds_that_are_stored_are_not_taught_again(tmp_path):
    examples, told = synthetic.learnable(), []
    first = out_of_fold_targets(RECIPE, examples, checkpoints=tmp_path, report=told.append)
    stored = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = out_of_fold_targets(RECIPE, examples, checkpoints=tmp_path, report=told.append)
    np.testing.assert_array_equal(first, again)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == stored
    assert told == [1, 2, 1, 2]


def test_platt_scaling_recovers_slope_and_offset() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=100_000).astype(np.float32)
    hours = rng.uniform(0, 96, len(logits))
    late = np.minimum(hours / 48, 1)
    log_odds = (0.7 + 0.6 * late) * logits - 1.2 + 0.3 * late
    died = rng.random(len(logits)) < 1 / (1 + np.exp(-log_odds))
    found = fit_platt(logits, hours, died, np.full(len(logits), 1 / len(logits)))
    assert found == pytest.approx((0.7, -1.2, 1.3, -0.9), abs=0.06)


def test_calibration_makes_the_mean_risk_the_base_rate() -> None:
    examples, model = synthetic.learnable(), synthetic.model()
    calibrate(model, examples, step_logits(model, examples.stays), early_weight=1.0)
    starts = step_starts(examples.stays)
    by_patient = np.add.reduceat(step_risks(model, examples.stays), starts[:-1]) / np.diff(starts)
    assert by_patient.mean() == pytest.approx(examples.died.mean(), abs=0.1)


def test_a_model_is_moved_to_the_level_of_the_others() -> None:
    examples, model = synthetic.learnable(), synthetic.model()
    logits = step_logits(model, examples.stays)
    centre(model, examples, logits - 0.75, logits, early_weight=0.5)
    np.testing.assert_allclose(step_logits(model, examples.stays), logits - 0.75, atol=1e-5)


def test_a_run_writes_an_artifact_that_says_how_it_was_made(tmp_path):
    told: list[object] = []
    model, figures = train(
        RECIPE,
        recorded("a", 120, 0),
        recorded("b", 120, 1),
        tmp_path,
        taught=told.append,
        fitted=lambda progress: told.append(f"epoch {progress.epoch}"),
    )
    loaded = artifact.load(tmp_path)
    assert loaded.hash == model.hash
    card = artifact.read_description(tmp_path).training
    assert card.recipe == RECIPE.to_json()
    assert card.metrics["set b, last score"]["auroc"] == pytest.approx(figures.at(None).auroc, abs=1e-4)
    assert figures.at(None).auroc > 0.9
    assert told[:3] == [1, 2, "epoch 1"]
    json.dumps(figures.to_json())


def twice(given):
    stays, outcomes = Stays.concat([given.stays] * 2), Outcomes.concat([given.outcomes] * 2)
    return RecordedSet("a+a", stays, outcomes)


def alike(given):
    return replace(given, outcomes=replace(given.outcomes, died=np.zeros(120, dtype=np.bool_)))


@pytest.mark.parametrize(
    ("recipe", "learnt", "validation", "error"),
    [
        (RECIPE, recorded("a", 120, 0), recorded("b", 60, 0), "shares patients"),
        (RECIPE, twice(recorded("a", 60, 0)), None, "a patient twice"),
        (RECIPE, alike(recorded("a", 120, 0)), None, "4 who died"),
        (RECIPE, recorded("a", 120, 0), alike(recorded("b", 120, 1)), "set b needs 1 who died"),
        (replace(RECIPE, folds=1), recorded("a", 120, 0), None, "two folds"),
    ],
)
def test_what_cannot_be_trained_is_refused_at_once(tmp_path, recipe, learnt, validation, error):
    with pytest.raises((DatasetError, RecipeError), match=error):
        train(recipe, learnt, validation, tmp_path, fitted=lambda _: pytest.fail("it was trained"))


def test_private_training_without_another_set_is_refused(tmp_path):
    plan = PrivacyPlan(epsilon=8, delta=1e-4, clip=1, noise_multiplier=1, sample_rate=0.1, steps=80)
    with pytest.raises(RecipeError, match="another set"):
        train(replace(RECIPE, folds=0), recorded("a", 120, 0), None, tmp_path, plan=plan)


def test_without_another_set_a_run_is_calibrated_on_patients_unseen_in_their_fold(tmp_path):
    told: list[object] = []
    model, figures = train(
        RECIPE,
        recorded("a", 120, 0),
        None,
        tmp_path,
        taught=told.append,
        fitted=lambda progress: told.append(f"epoch {progress.epoch}"),
    )
    assert (figures.patients, figures.unscored) == (120, 0)
    assert figures.at(None).auroc > 0.9
    assert told == [
        step
        for fit in range(3)
        for step in [2 * fit + 1, 2 * fit + 2, *(f"epoch {8 * fit + epoch + 1}" for epoch in range(8))]
    ]
    loaded = artifact.load(tmp_path)
    assert loaded.alert_threshold == model.alert_threshold
    assert loaded.warm_after == model.warm_after
    assert "set a in 2 folds calibrated" in artifact.read_description(tmp_path).training.data


def test_unseen_means_unseen(tmp_path):
    """Outcomes that are pure chance cannot be told of unseen patients, however well they are learnt."""
    learnt = recorded("a", 120, 0)
    random_outcomes = Outcomes(learnt.outcomes.record_ids, np.random.default_rng(5).random(120) < 0.4)
    _, figures = train(RECIPE, replace(learnt, outcomes=random_outcomes), None, tmp_path)
    assert figures.at(None).auroc < 0.65
