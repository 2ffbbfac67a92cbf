"""What happens to the patients of a synthetic ward: the shares and lengths that fates are drawn by."""

from __future__ import annotations

from dataclasses import dataclass

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Scenario:
    """Hours, but `code`, are drawn evenly from the ranges; shares are met exactly, spread evenly over the
    patients in the order in which they come, so that a short run has its share of everything.

    stay: from the admission to the discharge; a patient who falls ill does not leave before recovering.
    deteriorating: share of the patients who fall ill. onset: from the admission to the first sign.
    course: from the first sign to the worst.
    arresting: share of those whose heart stops then; the others are seen to after `wait`.
    code: minutes of resuscitation. surviving: share of those who live.
    recovery: from the first help to well.
    returning: share of those discharged alive who are admitted again at once, for another stay.
    arterial: share of the patients with an arterial line; the others have a cuff.
    silent: share of the patients of whom one sensor falls silent for good, at an hour of `silence`.
    """

    stay: Range = (8.0, 120.0)
    deteriorating: float = 0.15
    onset: Range = (1.0, 24.0)
    course: Range = (2.0, 8.0)
    wait: Range = (0.2, 1.5)
    arresting: float = 0.25
    code: Range = (3.0, 12.0)
    surviving: float = 0.5
    recovery: Range = (4.0, 16.0)
    returning: float = 0.1
    arterial: float = 0.3
    silent: float = 0.03
    silence: Range = (0.5, 24.0)

    def lengths(self) -> dict[str, Range]:
        """The ranges of which every patient has a number, whether it comes to that or not."""
        return {
            "onset": self.onset,
            "course": self.course,
            "wait": self.wait,
            "code": self.code,
            "recovery": self.recovery,
            "silence": self.silence,
        }
