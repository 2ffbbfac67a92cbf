"""What a stream of simulated events says of each patient, for the tests."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import defaultdict

from model.variables import VITAL_SIGNS
from stream.assess.news2 import BANDS, OXYGEN

SIGN_OF = {variable: sign.name for sign in VITAL_SIGNS for variable in sign.variables}


def read(batch):
    """The events of each patient as objects, in the order in which they were given."""
    lives = defaultdict(list)
    for key, value in zip(batch.keys, batch.values, strict=True):
        lives[key].append(json.loads(value))
    return lives


def stays(events):
    """The events of each stay of one patient."""
    found = defaultdict(list)
    for event in events:
        found[event["encounter_id"]].append(event)
    return found


def news2(events):
    """NEWS2 after each observation, by the last of each vital sign."""
    last = {"FiO2": 0.21}
    for event in events:
        for name, value in event.get("values", {}).items():
            if name in SIGN_OF or name == "FiO2":
                last[SIGN_OF.get(name, name)] = value
        if event["type"] == "observation":
            bands = ((OXYGEN if name == "FiO2" else BANDS[name], value) for name, value in last.items())
            yield sum(band.points[bisect_left(band.edges, value)] for band, value in bands)


def arrests(events):
    """Observations in which the heart stands still."""
    return [event for event in events if event.get("values", {}).get("HR") == 0]
