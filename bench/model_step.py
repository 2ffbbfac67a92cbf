"""What one step of each cell, and of the shipped model's shape, costs. Prints a table and writes JSON.

    python -m bench.model_step [--device cuda]

One thread, hidden size 64, fresh random patients, 6 of 37 variables measured. The median of the calls and
the fastest: on a machine that does other things too, the fastest is the cell's own.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from model.cells import CELL_NAMES
from model.features import Normalisation
from model.risk_model import RiskModel, Shape
from model.train.recipe import Recipe
from model.variables import NAMES, STATICS, VARIABLES

BATCHES = (1, 64, 512, 4096)
RESULTS = Path(__file__).parent / "results"
SECONDS = 1.0


def events(batch: int, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    low, high = np.array([variable.trained for variable in VARIABLES]).T
    drawn = low + rng.random((batch, len(NAMES))) * (high - low)
    values = np.where(rng.random(drawn.shape) < 6 / len(NAMES), drawn, np.nan).astype(np.float32)
    elapsed = rng.random(batch, dtype=np.float32)
    return torch.from_numpy(values).to(device), torch.from_numpy(elapsed).to(device)


def made(shape: Shape, device: str) -> RiskModel:
    values, _ = events(1000, "cpu")
    statics = np.full((1, len(STATICS)), np.nan, dtype=np.float32)
    return RiskModel(shape, Normalisation.fit(values.numpy(), statics)).to(device).eval()


def measure(models: list[RiskModel], batch: int, device: str) -> list[dict[str, float]]:
    """Microseconds a call and a patient of each model, of calls during `SECONDS` for each. The models take
    turns, so that the machine's other work affects all alike."""
    values, elapsed = events(batch, device)
    states = [model.initial_state().repeat(batch, 1) for model in models]
    seconds: list[list[float]] = [[] for _ in models]
    with torch.inference_mode():
        until = time.perf_counter() + SECONDS * len(models)
        while time.perf_counter() < until or len(seconds[0]) < 10:
            for model, state, taken in zip(models, states, seconds, strict=True):
                begin = time.perf_counter()
                model.step(state, values, elapsed, elapsed)
                if device == "cuda":
                    torch.cuda.synchronize()
                taken.append(time.perf_counter() - begin)
    return [figures(taken, batch) for taken in seconds]


def figures(seconds: list[float], batch: int) -> dict[str, float]:
    median, least = float(np.median(seconds)) * 1e6, min(seconds) * 1e6
    return {
        "batch": batch,
        "call_us": median,
        "patient_us": median / batch,
        "least_patient_us": least / batch,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    device = parser.parse_args().device
    torch.set_num_threads(1)
    shapes = [*(Shape(cell) for cell in CELL_NAMES), Recipe().shape]
    models = [made(shape, device) for shape in shapes]
    measured = [measure(models, batch, device) for batch in BATCHES]
    results = {model.name: [rows[place] for rows in measured] for place, model in enumerate(models)}
    table = Table("cell", *(f"{batch:,}" for batch in BATCHES), title="µs a call, a patient (fastest)")
    for cell, rows in results.items():
        table.add_row(
            cell,
            *(
                f"{row['call_us']:.0f}, {row['patient_us']:.2f} ({row['least_patient_us']:.2f})"
                for row in rows
            ),
        )
    Console(width=110).print(table)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"model_step_{device}.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
