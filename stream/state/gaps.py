"""Finds the offset at which a partition is resumed: compares its checkpoint in the changelog, the group's
committed offset and what of the input is retained. Pure.

What is missing is reported in a sentence, and each case has its own: the topic was deleted and made again,
its end was cut off, its beginning was deleted unread, the changelog is not what was committed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from stream.state.changelog import Checkpoint, TopicIds
from stream.state.replica import EARLIEST


@dataclass(frozen=True, slots=True)
class Place:
    """The place at which the input is resumed. offset: of the next event. gap: what is missing, in a
    sentence, empty if nothing is. skipped: how many events are known to be missing. rewound: offsets that
    were remembered before may lie beyond this one, and say nothing of the events there. unread: events that
    were deleted before this application read the partition for the first time."""

    offset: int
    gap: str = ""
    skipped: int = 0
    rewound: bool = False
    unread: int = 0


def made_again(then: str, now: str) -> bool:
    """Whether the ids are of two topics. An id that is unknown may be any."""
    return bool(then and now) and then != now


def next_place(
    checkpoint: Checkpoint | None, committed: int | None, ids: TopicIds, *, exactly_once: bool, patient: bool
) -> Place | None:
    """The place that checkpoint and committed offset agree on; None if the changelog is to be read on.

        checkpoint                committed   while patient          then
        none                      none        the earliest           the earliest
        none                      C           read on                C, a gap: no state
        of a topic made again     none        the earliest, a gap    the earliest, a gap
        of a topic made again     C           read on                the earliest, a gap
        C, or ahead if it may be  C           the checkpoint         the checkpoint
        another                   none        read on                the checkpoint
        another                   C           read on                C, a gap: they differ

    ids: of the topics as they are now. exactly_once: the two must be equal; else the checkpoint may be ahead.
    patient: it is too early to call a difference a gap.
    """
    if checkpoint is None and committed is None:
        return Place(EARLIEST)
    if checkpoint is None:
        return None if patient else Place(committed or 0, _NO_STATE.format(committed))
    if made_again(checkpoint.ids.input, ids.input):
        if patient and committed is not None:
            return None
        return Place(EARLIEST, _MADE_AGAIN.format(checkpoint.next_offset), rewound=True)
    agreed = checkpoint.next_offset == committed or (
        not exactly_once and checkpoint.next_offset > (committed or 0)
    )
    if not agreed and patient:
        return None
    gap = _STATES_MADE_AGAIN if made_again(checkpoint.ids.changelog, ids.changelog) else ""
    if agreed or committed is None:  # the group's offsets have expired
        return Place(checkpoint.next_offset, gap)
    return Place(committed, gap or _DIFFER.format(committed, checkpoint.next_offset))


def retained(place: Place, first: int, end: int, *, same_topic: bool) -> Place:
    """The place at or after `place` that there is in a log from `first` to `end`. same_topic: the log is
    known to be the one that `place` is of."""
    at = place.offset
    if at == EARLIEST:
        unread = 0 if place.gap else first
        return replace(place, offset=first, skipped=first - unread, unread=unread)
    if first <= at <= end:
        return place
    if at < first:
        gap = _DELETED.format(at, first, end, first - at)
        return replace(place, offset=first, gap=gap, skipped=first - at)
    if same_topic:
        return replace(place, offset=end, gap=_CUT.format(at, end), rewound=True)
    return replace(place, offset=first, gap=_CUT_OR_MADE_AGAIN.format(at, first, end), rewound=True)


_MADE_AGAIN = (
    "the topic was deleted and made again: if the old one held events from offset {0} on, they were not "
    "scored and are gone; the new one is to be read from its first event"
)
_CUT = (
    "the next event to score has offset {0}, but the log ends at {1}: its end was lost (an unclean leader "
    "election, or a copy that was brought back); see what the producers have to send again"
)
_CUT_OR_MADE_AGAIN = (
    "the next event to score has offset {0}, but only {1} to {2} are retained: the topic was deleted and "
    "made again, or its end was lost; the log is to be read from its first event"
)
_DELETED = (
    "the next event to score has offset {0}, but only {1} to {2} are retained: {3} events were deleted "
    "before they were scored; lengthen retention.ms"
)
_NO_STATE = "the group's committed offset is {0}, but the changelog has nothing: the states are lost"
_DIFFER = "the group's committed offset is {0}, but the changelog has the state at {1}"
_STATES_MADE_AGAIN = (
    "the changelog was deleted and made again: the states of patients without an event since then are lost"
)
