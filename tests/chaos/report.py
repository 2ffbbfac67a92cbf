"""What was done to the workers, and what came of it, as a table."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

VARIABLE = "VITALSTREAM_CHAOS_REPORT"


@dataclass
class Injection:
    """committed: of each partition the group's offset when it was done."""

    name: str
    committed: dict[int, int]


@dataclass
class Report:
    """One run. injected, found: counts by name. outcomes: by failpoint and act, what became of the worker."""

    title: str
    story: list[Injection] = field(default_factory=list)
    injected: Counter[str] = field(default_factory=Counter)
    found: dict[str, float] = field(default_factory=dict)
    outcomes: dict[tuple[str, str], str] = field(default_factory=dict)

    def note(self, kind: str, name: str, committed: dict[int, int]) -> None:
        self.injected[kind] += 1
        self.story.append(Injection(f"{len(self.story) + 1}. {name}", committed))

    def before(self, partition: int, offset: int) -> str:
        """The last injection that was done while this event was not committed."""
        done = [one for one in self.story if one.committed.get(partition, 0) <= offset]
        return done[-1].name if done else "nothing"

    def markdown(self) -> str:
        width = max(map(len, [*self.injected, *self.found]), default=0)
        lines = [f"### {self.title}", "", f"| {'injected':{width}} | times |", f"| {'-' * width} | ----: |"]
        lines += [f"| {name:{width}} | {count:5,} |" for name, count in sorted(self.injected.items())]
        lines += ["", f"| {'found':{width}} | |", f"| {'-' * width} | ---: |"]
        lines += [f"| {name:{width}} | {count:,} |" for name, count in self.found.items()]
        return "\n".join(lines) + "\n"


def write(reports: list[Report]) -> str:
    """All tables; also to the file that `VITALSTREAM_CHAOS_REPORT` names, if any."""
    text = "\n".join([*(report.markdown() for report in reports), _outcomes(reports)])
    if path := os.environ.get(VARIABLE):
        Path(path).write_text(text, "utf-8")
    return text


def _outcomes(reports: list[Report]) -> str:
    """What became of the worker at each failpoint, a column for each run and act."""
    columns = sorted({(number, act) for number, one in enumerate(reports) for _, act in one.outcomes})
    names = sorted({name for one in reports for name, _ in one.outcomes})
    if not names:
        return ""
    heads = [f"{reports[number].title}: {act}" for number, act in columns]
    rows = [["failpoint", *heads], ["---"] * (len(heads) + 1)]
    rows += [
        [name, *(reports[number].outcomes.get((name, act), "") for number, act in columns)] for name in names
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"
