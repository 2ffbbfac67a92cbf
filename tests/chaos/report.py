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
    """One run. injected, found: counts by name."""

    title: str
    story: list[Injection] = field(default_factory=list)
    injected: Counter[str] = field(default_factory=Counter)
    found: dict[str, float] = field(default_factory=dict)

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
    text = "\n".join(report.markdown() for report in reports)
    if path := os.environ.get(VARIABLE):
        Path(path).write_text(text, "utf-8")
    return text
