from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import structlog
from structlog.stdlib import BoundLogger, ProcessorFormatter

from stream.console.logs import FIELDS, start_logging
from stream.errors import BrokerUnavailable

PATIENT = "ZQ7-patient"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    loggers = logging.getLogger(), logging.getLogger("kafka")
    levels = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


def begin(
    monkeypatch: pytest.MonkeyPatch, log_format: str = "auto", terminal: bool = False, level: str = "INFO"
) -> io.StringIO:
    """What is logged from now on, as in a process in which nothing has set up logging."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    shown = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", shown)
    start_logging(level, log_format)  # type: ignore[arg-type]
    return shown


@pytest.mark.parametrize(("log_format", "terminal"), [("auto", False), ("json", True), ("json", False)])
def test_a_line_is_a_json_object_if_nobody_reads_it(
    monkeypatch: pytest.MonkeyPatch, log_format: str, terminal: bool
) -> None:
    shown = begin(monkeypatch, log_format, terminal)
    logging.getLogger("stream.worker").warning("an epoch is lost: %s\nat once", "by the broker")
    (line,) = shown.getvalue().splitlines()
    said = json.loads(line)
    assert abs((datetime.now(UTC) - datetime.fromisoformat(said.pop("timestamp"))).total_seconds()) < 60
    message = "an epoch is lost: by the broker\nat once"
    assert said == {"level": "warning", "logger": "stream.worker", "message": message}


@pytest.mark.parametrize(("log_format", "terminal"), [("auto", True), ("text", True), ("text", False)])
def test_a_line_is_text_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, log_format: str, terminal: bool
) -> None:
    shown = begin(monkeypatch, log_format, terminal)
    logging.getLogger("stream.worker").info("%d partitions", 3)
    date, time, rest = shown.getvalue().split(" ", 2)
    assert abs((datetime.now() - datetime.fromisoformat(f"{date} {time}")).total_seconds()) < 60
    assert rest == "INFO stream.worker: 3 partitions\n"


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_no_other_field_is_shown(monkeypatch: pytest.MonkeyPatch, log_format: str) -> None:
    shown = begin(monkeypatch, log_format)
    log = logging.getLogger("stream.worker")
    log.info("scored", extra={"patient_id": PATIENT}, stack_info=True)
    log.info("scored %(patient)s", {"patient": "one", "other": PATIENT})
    bound = structlog.wrap_logger(
        log, [ProcessorFormatter.wrap_for_formatter], wrapper_class=BoundLogger, patient_id=PATIENT
    )
    bound.info("scored", stay=PATIENT)
    lines = shown.getvalue().splitlines()
    assert len(lines) == 3
    assert all("scored" in line for line in lines)
    assert PATIENT not in shown.getvalue()
    assert log_format == "text" or all(json.loads(line).keys() <= {*FIELDS} for line in lines)


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_an_exception_is_its_type_and_place(monkeypatch: pytest.MonkeyPatch, log_format: str) -> None:
    shown = begin(monkeypatch, log_format)
    try:
        try:
            raise KeyError(PATIENT)
        except KeyError as cause:
            raise BrokerUnavailable("no broker answered") from cause
    except BrokerUnavailable:
        logging.getLogger("stream.worker").exception("it ends")
    (line,) = shown.getvalue().splitlines()
    said = json.loads(line)["exception"] if log_format == "json" else line.partition("it ends: ")[2]
    assert said.startswith("no broker answered; caused by KeyError at tests/unit/console/test_logs.py:")
    assert PATIENT not in line


def test_what_the_clients_repeat_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = begin(monkeypatch)
    for _ in range(5):
        logging.getLogger("kafka.conn").error("connection refused")
        logging.getLogger("librdkafka").error("connection refused")
    loggers = [json.loads(line)["logger"] for line in shown.getvalue().splitlines()]
    assert loggers == ["kafka.conn", "librdkafka"]


def test_the_level_is_kept_and_kafka_python_warns_at_least(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = begin(monkeypatch, level="INFO")
    logging.getLogger("stream.worker").debug("left out")
    logging.getLogger("kafka.conn").info("left out")
    logging.getLogger("stream.worker").info("kept")
    assert [json.loads(line)["message"] for line in shown.getvalue().splitlines()] == ["kept"]


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_a_call_that_cannot_be_formatted_shows_none_of_its_arguments(
    monkeypatch: pytest.MonkeyPatch, log_format: str
) -> None:
    shown = begin(monkeypatch, log_format)
    logging.getLogger("stream.worker").info("%d events", PATIENT)
    (line,) = shown.getvalue().splitlines()
    assert "cannot be formatted" in line and PATIENT not in line


def test_text_holds_nothing_that_a_terminal_would_obey(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = begin(monkeypatch, "text")
    logging.getLogger("stream.worker").info("a\nb\x1b[31m\u202e")
    assert shown.getvalue().endswith("INFO stream.worker: a\\nb\\x1b[31m\\u202e\n")


def test_a_process_without_standard_error_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    monkeypatch.setattr(sys, "stderr", None)
    start_logging("INFO", "auto")
    logging.getLogger("stream.worker").info("%s", "nobody hears this")
