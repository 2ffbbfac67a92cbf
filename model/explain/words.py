"""An explanation in clinical units and words: "oxygen saturation 84 %, down from 91 % 40 min before"."""

from __future__ import annotations

import math

from model.variables import VARIABLES

SPOKEN = {
    "mm[Hg]": "mmHg",
    "Cel": "°C",
    "[pH]": "",
    "{score}": "",
    "1": "",
    "10*3/uL": "×10³/µL",
    "ug/L": "µg/L",
}
"""UCUM units that nobody says as they are written."""


VENTILATED = 0.5
"""Between 0 and 1, as the model carries them: not exact to the last digit."""
AT_ONCE = 1 / 60
"""Hours within which a value is of now: an older one is given with its age."""


def in_words(
    variable: int, effect: float, value: float, previous: float, gap: float, extreme: int, age: float
) -> str:
    """A row of `stream.columns.scores.Contributions`."""
    words = _finding(variable, value, previous, gap, extreme, age)
    return f"{words}; lowers the risk" if effect < 0 else words


def _finding(variable: int, value: float, previous: float, gap: float, extreme: int, age: float) -> str:
    known = VARIABLES[variable]
    since = f" {_time(age)} ago" if age >= AT_ONCE else ""
    if known.name == "MechVent":
        return f"{'' if value >= VENTILATED else 'not '}mechanically ventilated{since}"
    parts = [f"{known.label} {_quantity(value, known.unit)}{since}"]
    now, before = (_quantity(quantity, known.unit) for quantity in (value, previous))
    if math.isfinite(previous) and now != before:
        way = "up" if value > previous else "down"
        parts.append(f"{way} from {before} {_time(gap)} before")
    if extreme:
        parts.append("highest of the stay" if extreme > 0 else "lowest of the stay")
    return ", ".join(parts)


def _quantity(value: float, unit: str) -> str:
    spoken = SPOKEN.get(unit, unit)
    figure = f"{value:.4g}" if abs(value) < 9_999.5 else f"{value:.0f}"
    return f"{figure} {spoken}" if spoken else figure


def _time(hours: float) -> str:
    return f"{hours * 60:.0f} min" if hours < 1.995 else f"{hours:.0f} h"
