"""Every error that vitalstream raises. Foreign errors are translated into these at the border.

    VitalstreamError
    ├── SettingsError          a setting is unknown, wrong or contradicts another
    ├── BrokerError            the broker answered with an error or not at all
    │   ├── BrokerUnavailable  no broker answered in time
    │   ├── TopicError         a topic is missing or has other settings than wanted
    │   ├── GapError           input or state between the last commit and now is gone
    │   └── EpochError         what was done since the last commit is lost, and has to be done again
    │       ├── DeliveryError  a record was not acknowledged
    │       └── CommitError    offsets were not committed
    ├── StateError             the state does not fit, is damaged or of another model
    ├── ModelError             the model cannot be loaded or does not fit
    └── DataError              recorded data cannot be read

A bad event is none of these: it is a value (`stream.records.Refused`) with a route.
Messages never hold a patient id, a name or a measured value.
"""

from __future__ import annotations


class VitalstreamError(Exception):
    """Base of the tree. `exit_code` is the status with which the command line ends."""

    exit_code = 1


class SettingsError(VitalstreamError):
    exit_code = 2


class BrokerError(VitalstreamError):
    exit_code = 3


class BrokerUnavailable(BrokerError):
    pass


class TopicError(BrokerError):
    pass


class GapError(BrokerError):
    """The worker must not go on by itself: what is gone was never scored. Says how to go on."""

    exit_code = 7

    def __init__(self, topic: str, partition: int | None = None, what: str = "") -> None:
        where = topic if partition is None else f"{topic}/{partition}"
        what = what or "the next offset to read is no longer retained"
        super().__init__(
            f"{where}: {what}. `--on-gap skip` goes on with what there is; it says and counts what it skips"
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
