"""Recorded stays as a stream: events of all patients, interleaved in order of time, values as recorded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.datasets.stays import Stays
from model.variables import NAMES, STATICS, Sex, UnitType
from stream.columns.records import Outgoing

MINUTE_MS = 60_000
CHUNK = 8192

_MEMBERS = [b'"%s":' % name.encode() for name in NAMES]
_CODED = {"sex": Sex, "unit_type": UnitType}


class RecordedFeed:
    """Every stay begins with an admission; patient `p` is admitted `p * stagger_ms` after `start_ms`.

    An implausible value is sent as it was recorded: the stream decides. A static whose code has no
    meaning (a sex of −1) is left out, as the contract has no word for it. If two events are of the
    same moment, the patients' order in `stays` decides, and an admission comes before the observation.
    """

    def __init__(
        self, stays: Stays, start_ms: int, stagger_ms: int = 0, topic: str = "vitals.observations.v1"
    ) -> None:
        self._stays, self._topic, self._sent = stays, topic, 0
        patients = np.arange(len(stays))
        owner = np.concatenate((patients, np.repeat(patients, np.diff(stays.starts))))
        minutes = np.concatenate((np.zeros(len(stays), np.int64), stays.minutes.astype(np.int64)))
        times = start_ms + owner * stagger_ms + minutes * MINUTE_MS
        order = np.lexsort((np.arange(len(owner)), owner, times))
        self._owners, self._times = owner[order], times[order]
        self._rows = order - len(stays)
        self._keys = [b"%d" % record for record in stays.record_ids.tolist()]

    def __len__(self) -> int:
        """Events in all, sent or not."""
        return len(self._times)

    @property
    def end_ms(self) -> int:
        """When the last event happens; 0 if there is none."""
        return int(self._times[-1]) if len(self._times) else 0

    def due(self, until_ms: int) -> int:
        """Events between the last one given and `until_ms`, inclusive."""
        return max(0, int(np.searchsorted(self._times, until_ms, side="right")) - self._sent)

    def tick(self, until_ms: int, limit: int = CHUNK) -> Outgoing:
        """The next events that happen until `until_ms`, in order of time; no more than `limit`."""
        taken = slice(self._sent, self._sent + min(self.due(until_ms), limit))
        rows, times = self._rows[taken], self._times[taken]
        keys = [self._keys[owner] for owner in self._owners[taken].tolist()]
        observed = iter(_values(self._stays.values[rows[rows >= 0]]))
        values = [
            b'{"type":"observation","patient_id":"%s","observed_at":%d,"values":{%s}}'
            % (key, at, next(observed))
            if row >= 0
            else b'{"type":"admission","patient_id":"%s","observed_at":%d,"static":{%s}}'
            % (key, at, _statics(self._stays.statics[row + len(self._stays)]))
            for key, at, row in zip(keys, times.tolist(), rows.tolist(), strict=True)
        ]
        self._sent += len(values)
        return Outgoing(self._topic, values, keys, timestamps=times)


def _values(values: NDArray[np.float32]) -> list[bytes]:
    """The members of each row's `values`, in the order of the variables; numbers as short as they can be."""
    rows, columns = np.nonzero(np.isfinite(values))
    distinct, which = np.unique(values[rows, columns], return_inverse=True)
    numbers = [spell(number) for number in distinct]
    names = map(_MEMBERS.__getitem__, columns.tolist())
    members = [name + numbers[number] for name, number in zip(names, which.tolist(), strict=True)]
    ends = np.cumsum(np.bincount(rows, minlength=len(values))).tolist()
    return [b",".join(members[begin:end]) for begin, end in zip([0, *ends], ends, strict=False)]


def _statics(statics: NDArray[np.float32]) -> bytes:
    members = []
    for name, number in zip(STATICS, statics, strict=True):
        if name in _CODED:
            words = {float(code.value): code.name.lower() for code in _CODED[name]}
            members += (
                [b'"%s":"%s"' % (name.encode(), words[float(number)].encode())] if number in words else []
            )
        elif np.isfinite(number):
            members.append(b'"%s":%s' % (name.encode(), spell(number)))
    return b",".join(members)


def spell(number: np.float32) -> bytes:
    """The shortest decimal that reads back as the same float32: 80, 37.1, 0.35."""
    return str(number).removesuffix(".0").encode()
