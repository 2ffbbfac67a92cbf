import hashlib
import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from model import artifact
from model.cells import CELL_NAMES
from model.errors import ArtifactError
from model.reference import Reference
from model.risk_model import Calibration
from tests.unit.model import synthetic

CARD = artifact.Card(data="made up", recipe={"seed": 0}, metrics={"auroc": 0.5})


def reference():
    rng = np.random.default_rng(0)
    return Reference.fit(synthetic.values(rng, 500).numpy(), rng.random(100, dtype=np.float32))


@pytest.fixture
def folder(tmp_path):
    artifact.save(synthetic.model(), tmp_path / "model", CARD)
    return tmp_path / "model"


def edit(folder, **changes):
    """Change the description and give it the hash that fits, as somebody could who means it."""
    content = json.loads((folder / artifact.DESCRIPTION).read_text()) | changes
    description = artifact.Description.model_validate({**content, "hash": ""})
    content["hash"] = description.content_hash()
    (folder / artifact.DESCRIPTION).write_text(json.dumps(content))


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_a_loaded_model_is_the_saved_one(tmp_path, cell):
    model = synthetic.model(cell, hidden_size=16)
    artifact.save(model, tmp_path, CARD)
    loaded = artifact.load(tmp_path)
    rng = np.random.default_rng(0)
    given = synthetic.values(rng, 3, 5), synthetic.statics(rng, 3), synthetic.elapsed(rng, 3, 5)
    assert torch.equal(loaded.risk(loaded(*given), given[2]), model.risk(model(*given), given[2]))
    assert torch.equal(synthetic.stepped(loaded, *given), synthetic.stepped(model, *given))
    assert (loaded.name, loaded.target, loaded.hash) == (model.name, model.target, model.hash)
    assert len(loaded.hash) == 64
    assert not loaded.training
    assert artifact.read_description(tmp_path).training == CARD


def test_the_hash_depends_on_everything(tmp_path):
    hashes = set()
    for number, model in enumerate([synthetic.model(), synthetic.model(seed=1), synthetic.model()]):
        model.calibrate(Calibration(1.0, number / 2, 1.0, 0.0))
        artifact.save(model, tmp_path / str(number), CARD)
        hashes.add(model.hash)
    artifact.save(model, tmp_path / "again", CARD)
    assert model.hash in hashes
    artifact.save(model, tmp_path / "other", artifact.Card(data="something else"))
    assert model.hash not in hashes
    assert len(hashes) == 3


def test_the_reference_is_kept_with_the_model(tmp_path):
    model = synthetic.model()
    artifact.save(model, tmp_path, CARD)
    without = model.hash
    model.reference = reference()
    artifact.save(model, tmp_path, CARD)
    assert artifact.load(tmp_path).reference == model.reference
    assert model.hash != without


def test_a_wide_model_comes_back_with_its_operating_points(tmp_path):
    model = synthetic.model(wide_size=16)
    model.alert_threshold, model.warm_after = 0.31, 7
    artifact.save(model, tmp_path, CARD)
    loaded = artifact.load(tmp_path)
    assert (loaded.shape, loaded.alert_threshold, loaded.warm_after) == (model.shape, 0.31, 7)
    assert loaded.state_size == model.state_size


def test_a_damaged_reference_is_refused_by_name(tmp_path):
    model = synthetic.model()
    model.reference = reference()
    artifact.save(model, tmp_path, CARD)
    content = json.loads((tmp_path / artifact.DESCRIPTION).read_text())
    content["reference"]["measured"]["HR"] = 1.5
    (tmp_path / artifact.DESCRIPTION).write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match=r"reference\.measured\.HR"):
        artifact.load(tmp_path)


def test_a_changed_description_is_refused(folder):
    content = json.loads((folder / artifact.DESCRIPTION).read_text())
    content["calibration"]["offset"] += 0.01
    (folder / artifact.DESCRIPTION).write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match="hash"):
        artifact.load(folder)


def test_every_flipped_byte_of_the_weights_is_refused(folder):
    weights = bytearray((folder / artifact.WEIGHTS).read_bytes())
    for place in (0, len(weights) // 2, len(weights) - 1):
        flipped = bytearray(weights)
        flipped[place] ^= 1
        (folder / artifact.WEIGHTS).write_bytes(flipped)
        with pytest.raises(ArtifactError, match="not the file"):
            artifact.load(folder)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"hidden_size": 32}, "does not fit"),
        ({"cell": "rnn"}, "does not fit"),
        ({"cell": "transformer"}, "unknown cell"),
        ({"variables": [{"name": "HR", "unit": "/min"}]}, "other variables"),
        ({"statics": ["age"]}, "other variables"),
        ({"normalisation": {"mean": {}, "std": {}}}, "no normalisation"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(folder, changes, reason):
    edit(folder, **changes)
    with pytest.raises(ArtifactError, match=reason):
        artifact.load(folder)


def test_weights_that_are_not_finite_are_refused(folder):
    tensors = load_file(folder / artifact.WEIGHTS)
    tensors["head.bias"][0] = torch.nan
    save_file(tensors, folder / artifact.WEIGHTS)
    edit(folder, weights_sha256=hashlib.sha256((folder / artifact.WEIGHTS).read_bytes()).hexdigest())
    with pytest.raises(ArtifactError, match="not finite"):
        artifact.load(folder)


def test_a_pickle_is_not_loaded(folder, tmp_path):
    """A pickle that would create a file when loaded."""
    trap = b"cpathlib\nPath.touch\n(cpathlib\nPath\n(V" + str(tmp_path / "sprung").encode() + b"\ntRtR."
    (folder / artifact.WEIGHTS).write_bytes(trap)
    edit(folder, weights_sha256=hashlib.sha256(trap).hexdigest())
    with pytest.raises(ArtifactError, match="damaged"):
        artifact.load(folder)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", [artifact.DESCRIPTION, artifact.WEIGHTS])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(ArtifactError, match=name):
        artifact.load(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 3}', "\xff"])
def test_other_json_is_refused(folder, text):
    (folder / artifact.DESCRIPTION).write_text(text, encoding="latin-1")
    with pytest.raises(ArtifactError):
        artifact.load(folder)


def test_the_shipped_model_loads_and_is_small(tmp_path):
    shipped = artifact.__file__.replace("artifact.py", "pretrained")
    copied = tmp_path / "copied"
    shutil.copytree(shipped, copied)
    model = artifact.load(copied)
    assert (model.name, model.target) == ("gru-64-wide-64", "in_hospital_death")
    assert 4 * model.state_size <= 1536
    assert sum(path.stat().st_size for path in copied.iterdir()) < 2_000_000
