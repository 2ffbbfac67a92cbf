"""Every error that vitalstream raises. Foreign errors are translated into these at the border.

    VitalstreamError
    ├── SettingsError          a setting is unknown, wrong or contradicts another
    ├── BrokerError            the broker answered with an error or not at all
    │   ├── BrokerUnavailable  no broker answered in time
    │   ├── TopicError         a topic is missing or has other settings than wanted
    │   ├── DeliveryError      a record was not acknowledged
    │   └── CommitError        offsets were not committed
    ├── StateError             more patients at once than there are slots for
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


class DeliveryError(BrokerError):
    pass


class CommitError(BrokerError):
    pass


class StateError(VitalstreamError):
    exit_code = 6


class ModelError(VitalstreamError):
    exit_code = 4


class DataError(VitalstreamError):
    exit_code = 5
