"""Made-up stays for tests: plausible values, irregular times, much missing."""

import numpy as np
import torch
from hypothesis import settings

from model.datasets.stays import Stays
from model.features import Normalisation
from model.risk_model import Calibration, RiskModel, Shape
from model.train.examples import Examples
from model.variables import INDEX, NAMES, STATICS, VARIABLES
from tests.support.examples import tries

PROPERTY = settings(max_examples=tries(40), deadline=None)

LOW, HIGH = np.array([variable.trained for variable in VARIABLES], dtype=np.float32).T


def values(rng: np.random.Generator, *shape: int, measured: float = 0.2) -> torch.Tensor:
    """Clinical values [*shape, V], NaN where not measured."""
    drawn = LOW + rng.random((*shape, len(NAMES)), dtype=np.float32) * (HIGH - LOW) * np.float32(0.3)
    return torch.from_numpy(np.where(rng.random(drawn.shape) < measured, drawn, np.float32(np.nan)))


def statics(rng: np.random.Generator, patients: int, known: float = 0.7) -> torch.Tensor:
    columns = {
        "age": rng.uniform(18, 90, patients),
        "sex": rng.integers(0, 2, patients),
        "height": rng.uniform(150, 200, patients),
        "weight": rng.uniform(50, 120, patients),
        "unit_type": rng.integers(1, 5, patients),
    }
    table = np.stack([columns[name] for name in STATICS], axis=1).astype(np.float32)
    return torch.from_numpy(np.where(rng.random(table.shape) < known, table, np.float32(np.nan)))


def elapsed(rng: np.random.Generator, patients: int, events: int) -> torch.Tensor:
    """Hours since the previous event [patients, events]: 0 at the first, sometimes 0 later."""
    gaps = rng.exponential(0.8, (patients, events)) * (rng.random((patients, events)) < 0.9)
    gaps[:, 0] = 0
    return torch.from_numpy(gaps.astype(np.float32))


def normalisation() -> Normalisation:
    rng = np.random.default_rng(0)
    return Normalisation.fit(values(rng, 2000).numpy(), statics(rng, 500).numpy())


def model(cell: str = "gru", hidden_size: int = 64, wide_size: int = 0, seed: int = 0) -> RiskModel:
    """Random weights, large enough that every input moves the risk."""
    torch.manual_seed(seed)
    made = RiskModel(Shape(cell, hidden_size, wide_size), normalisation()).eval().requires_grad_(False)
    made.head.weight.mul_(5)
    made.calibrate(Calibration(0.9, -0.3, 1.2, 0.1))
    return made


def since_first(gaps: torch.Tensor) -> torch.Tensor:
    """Hours [B, T] since the first event, from the hours [B, T] since the previous one."""
    return gaps.double().cumsum(dim=1).float()


def stepped(made: RiskModel, given: torch.Tensor, known: torch.Tensor, gaps: torch.Tensor) -> torch.Tensor:
    """Risks [B, T] from admission and T single steps."""
    with torch.inference_mode():
        state = made.admit(made.initial_state().repeat(len(given), 1), known)
        risks = []
        hours = since_first(gaps)
        for t in range(given.shape[1]):
            state, risk = made.step(state, given[:, t], gaps[:, t], hours[:, t])
            risks.append(risk)
    return torch.stack(risks, dim=1)


def stays(patients: int = 40, seed: int = 0, measured: float = 0.2) -> Stays:
    """Recorded stays of 0 to 12 observations; the first patient has none."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 13, patients)
    lengths[0] = 0
    starts = np.concatenate(([0], np.cumsum(lengths)))
    minutes = [np.sort(rng.choice(2880, length, replace=False)) for length in lengths]
    return Stays(
        record_ids=np.arange(1000, 1000 + patients, dtype=np.int32),
        statics=statics(rng, patients).numpy(),
        starts=starts,
        minutes=np.concatenate(minutes).astype(np.int32),
        values=values(rng, int(starts[-1]), measured=measured).numpy(),
    )


def tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.asarray(array, dtype=np.float32))


def learnable(patients: int = 120, seed: int = 0) -> Examples:
    """Stays in which a fast heart announces death."""
    made = stays(patients, seed, measured=0.02)
    died = np.random.default_rng(seed).random(patients) < 0.3
    owner = np.repeat(np.arange(patients), np.diff(made.starts))
    made.values[:, INDEX["HR"]] = np.where(died[owner], 130, 20)
    return Examples(made, died)
