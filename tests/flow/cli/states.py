"""`vitalstream state` on the changelog of a real worker, and events for that worker."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stream.columns.records import Outgoing
from stream.synthetic.simulator import Ward
from tests.flow.flow import Flow, outgoing, wait_until

if TYPE_CHECKING:
    from tests.flow.cli.conftest import Ended, Vitalstream

NOW = int(time.time() * 1000)
HOUR = 3_600_000
NAMES = ("ZQ7-ann", "ZQ7-bob", "ZQ7-cat", "ZQ7-Łuk\x1b[1m")
STATE_FLAGS = (
    "bootstrap_servers", "application_id", "client", "observations_topic", "model",
)  # fmt: skip
VERIFY_FLAGS = ("scores_topic", "dead_letters_topic", "transaction_timeout", "processing_guarantee")


@dataclass
class States:
    """`vitalstream state` on a flow's changelog."""

    vitalstream: Vitalstream
    flow: Flow
    fed: int = 0

    def __call__(self, *command: str, **flags: Any) -> Ended:
        known = STATE_FLAGS + (VERIFY_FLAGS if command[0] == "verify" else ())
        if command[0] == "import":
            known += ("processing_guarantee",)
        chosen = {name: value for name, value in self.flow.flags.items() if name in known} | flags
        given = [f"--{name.replace('_', '-')}={value}" for name, value in chosen.items()]
        return self.vitalstream("state", *command, *given)

    def feed(self, *sent: Outgoing) -> None:
        """Send each, and let a worker score it to its end."""
        for one in sent:
            self.flow.send(one)
            self.fed += len(one)
            wait_until(self._scored)

    def _scored(self) -> bool:
        self.flow.run()
        return sum(self.flow.committed().values()) == self.fed

    def json(self, *command: str, **flags: Any) -> Any:
        return json.loads(self(*command, "--json", **flags).out)


def observation(patient: str, at: int, **values: float) -> tuple[str, dict[str, Any]]:
    return patient, {"patient_id": patient, "observed_at": at, "values": values, "event_id": f"{at}"}


def ward(patients: int = 6, minutes: int = 20, seed: int = 1) -> Outgoing:
    return Ward(patients, seed, NOW - minutes * 60_000, interval=60).tick(NOW - 60_000)


def few() -> Outgoing:
    """Four patients, one of whom is discharged and one of whom expires."""
    ann, bob, cat, luk = NAMES
    static = {"age": 71, "sex": "female", "weight": 80.5, "unit_type": "medical"}
    events = [
        observation(cat, NOW - 200 * HOUR, HR=61),
        (ann, {"type": "admission", "patient_id": ann, "observed_at": NOW - 2 * HOUR, "static": static}),
        observation(bob, NOW - 2 * HOUR, HR=70),
        observation(ann, NOW - 2 * HOUR + 1, HR=88, Temp=37.5),
        observation(ann, NOW - HOUR, HR=99),
        observation(ann, NOW - HOUR, HR=99),  # sent twice
        observation(luk, NOW - HOUR, HR=75),
        (bob, {"type": "discharge", "patient_id": bob, "observed_at": NOW - HOUR}),
    ]
    return outgoing(events)


def assert_tells_of_nobody(*ended: Ended) -> None:
    for one in ended:
        for name in ("ZQ7", "sim-0", "Łuk"):
            assert name not in one.out + one.err
