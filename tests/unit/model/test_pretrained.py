import os
from pathlib import Path

import numpy as np
import pytest

from model import artifact
from model.datasets.padding import step_starts
from model.evaluate.horizons import evaluate_offline
from model.evaluate.offline import step_risks
from model.train.run import RecordedSet

pytestmark = pytest.mark.long

DATA = Path(os.environ.get("VITALSTREAM_DATA", "../shared/data"))
SHIPPED = Path(artifact.__file__).parent / "pretrained"

needs_data = pytest.mark.skipif(
    not (DATA / "physionet2012" / "observations_b.parquet").exists(), reason="PhysioNet 2012 is not there"
)


@needs_data
def test_the_shipped_model_ranks_patients_it_has_seen_no_worse_than_its_card_says_of_unseen_ones():
    recorded = RecordedSet.read(DATA, "b")
    figures = evaluate_offline(artifact.load(SHIPPED), recorded.stays, recorded.outcomes)
    claimed = artifact.read_description(SHIPPED).training.metrics
    for hours, least in ((None, 0.855), (24.0, 0.83)):
        name = f"set a+b in 3 folds, {'last score' if hours is None else f'{hours:g} h'}"
        assert least < claimed[name]["auroc"] < figures.at(hours).auroc


@needs_data
def test_the_shipped_model_is_calibrated() -> None:
    """The mean risk of the last scores is near the death rate; of the upper tenth it is not higher: the model
    was calibrated for patients whom it has not seen, and knows these better than it says."""
    recorded = RecordedSet.read(DATA, "b")
    examples = recorded.examples()
    risks = step_risks(artifact.load(SHIPPED), examples.stays)[step_starts(examples.stays)[1:] - 1]
    assert risks.mean() == pytest.approx(examples.died.mean(), abs=0.02)
    highest = np.argsort(risks)[-400:]
    died = examples.died[highest].mean()
    assert died - 0.15 < risks[highest].mean() < died
