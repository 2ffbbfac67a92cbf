"""Every error that vitalstream raises. Foreign errors are translated into these at the border.

    VitalstreamError
    ├── SettingsError          a setting is unknown, wrong or contradicts another
    ├── BrokerError            the broker answered with an error or not at all
    │   ├── BrokerUnavailable  no broker answered in time
    │   ├── RefusalError       the cluster refuses for good: a right, a limit, a log-in
    │   │   └── ConnectionRefused   it refuses the connection itself
    │   │       └── SettingRefused  because of a setting
    │   ├── TopicError         a topic is missing or has other settings than wanted
    │   ├── GapError           input or state between the last commit and now is gone
    │   └── EpochError         what was done since the last commit is lost, and has to be done again
    │       ├── DeliveryError  a record was not acknowledged
    │       └── CommitError    offsets were not committed
    ├── StateError             the state does not fit, is damaged or of another model
    ├── ModelError             the model cannot be loaded or does not fit
    ├── DataError              recorded data cannot be read
    ├── OutputError            what a command shows cannot be written
    └── ThreadError            a background thread failed of an error that is none of these

A bad event is none of these: it is a value (`stream.columns.events.Refused`) with a route.
Messages never hold a patient id, a name or a measured value.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]


class VitalstreamError(Exception):
    """Base of the tree. `exit_code` is the status with which the command line ends."""

    exit_code = 1


class SettingsError(VitalstreamError):
    exit_code = 2


class BrokerError(VitalstreamError):
    exit_code = 3


class BrokerUnavailable(BrokerError):
    pass


class RefusalError(BrokerError):
    """Asking again would not help. Says what was refused, and what to do."""


class ConnectionRefused(RefusalError):
    pass


class SettingRefused(ConnectionRefused):
    exit_code = SettingsError.exit_code


class TopicError(BrokerError):
    pass


class GapError(BrokerError):
    """The worker must not go on by itself: what is gone was never scored. Says how to go on."""

    exit_code = 7

    def __init__(self, topic: str, partition: int | None = None, what: str = "") -> None:
        place = topic if partition is None else f"{topic}/{partition}"
        what = what or "the next offset to read is no longer retained"
        super().__init__(
            f"{place}: {what}. `--on-gap skip` continues with what is there, and reports and counts the rest"
        )


class EpochError(BrokerError):
    pass


class DeliveryError(EpochError):
    pass


class CommitError(EpochError):
    pass


class StateError(VitalstreamError):
    exit_code = 6


class ModelError(VitalstreamError):
    exit_code = 4


class DataError(VitalstreamError):
    exit_code = 5


class OutputError(VitalstreamError):
    pass


class ThreadError(VitalstreamError):
    """thread: its name. cause: what it raised; the message describes it."""

    def __init__(self, thread: str, cause: BaseException) -> None:
        super().__init__(f"the {thread} thread failed: {describe(cause)}")
        self.thread, self.cause = thread, cause


def describe(error: BaseException) -> str:
    """What happened and where, the causes included, in one line that is safe to log.

    The message of a `VitalstreamError` is shown as it is. A foreign error shows its type, the system's own
    words if it is an `OSError`, and the place in the code, but not its message: that may hold a patient id
    or a measured value.
    """
    return "; caused by ".join(_described(link) for link in _chain(error))


def stack(error: BaseException) -> list[str]:
    """File, line and function of every frame that the error and its causes passed; no message."""
    return [_at(frame) for link in _chain(error) for frame in traceback.extract_tb(link.__traceback__)]


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, then what caused it, each once."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _described(error: BaseException) -> str:
    if isinstance(error, VitalstreamError):
        return str(error) or type(error).__name__
    text = type(error).__qualname__
    if isinstance(error, OSError) and error.strerror:
        text += f" ({error.strerror})"
    return f"{text} at {place}" if (place := _place(error)) else text


def _place(error: BaseException) -> str:
    """File, line and function in which the error was raised; of the project's own code if it passed any."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(PROJECT)]
    if not frames:
        return ""
    return _at((own or frames)[-1])


def _at(frame: traceback.FrameSummary) -> str:
    file = Path(frame.filename)
    name = file.relative_to(PROJECT) if file.is_relative_to(PROJECT) else file.name
    return f"{name}:{frame.lineno} in {frame.name}"
