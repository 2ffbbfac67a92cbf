"""The log on standard error: lines for people on a terminal, a JSON object a line for machines."""

from __future__ import annotations

import logging
import sys
from typing import Any, Literal

from structlog.processors import EventRenamer, ExceptionRenderer, JSONRenderer, TimeStamper
from structlog.stdlib import ProcessorFormatter, add_log_level, add_logger_name
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

from stream.errors import describe
from stream.readable import readable
from stream.seldom import Seldom

FIELDS = ("timestamp", "level", "logger", "message", "exception")
"""What a line may hold. Anything else that a logger was given is left out: it may name a patient.
exception: described, since its own message may hold a patient id or a measured value."""


def start_logging(level: str, log_format: Literal["auto", "json", "text"]) -> None:
    """Log to standard error; auto: as text if that is a terminal, else as JSON."""
    terminal = sys.stderr is not None and sys.stderr.isatty()  # None: it was closed
    as_text = terminal if log_format == "auto" else log_format == "text"
    handler = _Handler()
    handler.addFilter(Seldom())
    handler.setFormatter(_formatter(*(TEXT if as_text else JSON)))
    logging.basicConfig(level=level, handlers=[handler])
    logging.getLogger("kafka").setLevel(max(logging.getLogger().level, logging.WARNING))


class _Handler(logging.StreamHandler[Any]):
    """Shows nothing of a record that cannot be formatted: its arguments may name a patient."""

    def handleError(self, record: logging.LogRecord) -> None:
        if record.args:
            record.msg, record.args = f"a log call in line {record.lineno} cannot be formatted", ()
            self.emit(record)


def _formatter(stamp: Processor, render: Processor) -> ProcessorFormatter:
    """Takes the records of the standard library that the clients and this package write."""
    return ProcessorFormatter(
        processors=[
            add_log_level,
            add_logger_name,
            stamp,
            EventRenamer("message"),
            ExceptionRenderer(_described),
            _only_fields,
            render,
        ]
    )


def _described(exc_info: ExcInfo) -> str:
    return describe(exc_info[1])


def _only_fields(_: WrappedLogger, __: str, said: EventDict) -> EventDict:
    return {field: said[field] for field in FIELDS if field in said}


def _line(_: WrappedLogger, __: str, said: EventDict) -> str:
    exception = f": {said['exception']}" if "exception" in said else ""
    message = readable(said["message"])
    return f"{said['timestamp']} {said['level'].upper()} {said['logger']}: {message}{exception}"


TEXT: tuple[Processor, Processor] = TimeStamper("%Y-%m-%d %H:%M:%S.%f", utc=False), _line
JSON: tuple[Processor, Processor] = TimeStamper("iso", utc=True), JSONRenderer()
