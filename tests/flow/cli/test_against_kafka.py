"""The commands as a user starts them: what they print, how they end."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from stream.cli.demo import HISTORY_HOURS, before
from stream.cli.main import COMMANDS, application
from stream.columns.events import Code, Refused
from stream.columns.records import Outgoing, Records
from stream.connection import Connection
from stream.encode.dead_letters import encode
from stream.errors import DataError, TopicError
from stream.kafka.admin import TopicSpec
from stream.kafka.clients import make_sink, make_source
from stream.kafka.librdkafka.admin import LibrdkafkaAdmin
from stream.settings import load
from stream.synthetic.simulator import Ward
from tests.support.scores import risk_score

VITALSTREAM = [sys.executable, "-m", "stream"]
ROOT = Path(__file__).resolve().parents[3]
FIGURES = ["events", "scores", "dead_letters", "unscored", "late"]
FIGURES += ["events_per_second", "latency_p50_ms", "latency_p99_ms", "faults", "dropped"]
STAY = """Time,Parameter,Value
00:00,RecordID,{record}
00:00,Age,71
00:00,Gender,1
00:00,Height,-1
00:00,ICUType,3
00:00,Weight,80.5
00:07,HR,88
00:07,NISysABP,121
01:37,HR,{last}
"""


def vitalstream(*arguments, environment=None):
    done = subprocess.run(
        [*VITALSTREAM, *arguments],
        cwd=ROOT,
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_a_demo_accounts_for_every_event_and_ends_with_its_figures(tmp_path):
    done = vitalstream("demo", "--for", "5", "--json", "--save", str(tmp_path / "view.svg"))
    figures = json.loads(done.stdout.splitlines()[-1])
    assert list(figures) == FIGURES
    assert figures["events"] == figures["scores"] + figures["dead_letters"] + figures["unscored"]
    assert figures["late"] >= figures["faults"]["swapped"] > 0
    assert sum(figures["dropped"].values()) > 0
    assert figures["scores"] > 60 * 6 * 60 and figures["dead_letters"] > 0
    assert 0 < figures["latency_p50_ms"] <= figures["latency_p99_ms"]
    assert "\x1b" not in done.stdout + done.stderr
    assert "sim-0000" in (tmp_path / "view.svg").read_text("utf-8")
    assert "highest risk" in done.stderr and "Traceback" not in done.stderr


def test_ctrl_c_ends_the_live_table_with_the_summary() -> None:
    process, terminal = pty.fork()
    if not process:
        os.chdir(ROOT)
        os.execve(
            VITALSTREAM[0],
            [*VITALSTREAM, "demo"],
            os.environ | {"COLUMNS": "120", "LINES": "30", "TERM": "xterm"},
        )
    screen, until, interrupted = "", time.monotonic() + 100, False
    try:
        while time.monotonic() < until:
            try:
                screen += os.read(terminal, 65536).decode("utf-8", "replace")
            except OSError:
                break
            if "p99" in screen and not interrupted:
                interrupted = True
                os.write(terminal, b"\x03")
        ended, status = os.waitpid(process, 0)
        process = 0
        assert ended and os.waitstatus_to_exitcode(status) == 0, screen[-2000:]
    finally:
        os.close(terminal)
        if process:
            os.kill(process, signal.SIGKILL)
    assert "sim-0000" in screen and "NEWS2" in screen and "60 patients" in screen
    summary = screen[screen.rindex("not a medical device") :]
    assert re.search(r"[\d,]+ events → [\d,]+ scores", summary)
    assert screen.rindex("\x1b[?25h") > screen.rindex("\x1b[?25l"), "the cursor stays hidden"


@pytest.fixture(scope="module")
def topics(kafka):
    names = {name: f"{name}-{os.getpid()}" for name in ("observations", "scores", "dead_letters")}
    admin = LibrdkafkaAdmin(Connection(kafka))
    admin.create([TopicSpec(name, 3) for name in names.values()])
    admin.close()
    return {
        "VITALSTREAM_BOOTSTRAP_SERVERS": kafka,
        "VITALSTREAM_OBSERVATIONS_TOPIC": names["observations"],
        "VITALSTREAM_SCORES_TOPIC": names["scores"],
        "VITALSTREAM_DEAD_LETTERS_TOPIC": names["dead_letters"],
    }


def test_recorded_stays_are_replayed_and_watched(topics, tmp_path):
    folder = tmp_path / "physionet2012" / "set-c"
    folder.mkdir(parents=True)
    for record, last in ((201, 99), (202, 61)):
        (folder / f"{record}.txt").write_text(STAY.format(record=record, last=last))
    sent = vitalstream("replay", "--data", str(tmp_path), "--set", "c", "--json", environment=topics)
    assert {name: json.loads(sent.stdout)[name] for name in ("events", "patients")} == {
        "events": 6,
        "patients": 2,
    }

    assert json.loads(vitalstream("watch", "--once", "--json", environment=topics).stdout) == {
        "observed_at": 0,
        "patients": [],
    }, "without scores there is no clock"
    now = risk_score("201", int(time.time() * 1000), 0.2).model_dump_json(exclude_none=True).encode()
    settings = load({}, environment=topics)
    with closing(make_sink(settings)) as sink:
        sink.send(Outgoing(settings.scores_topic, [now], [b"201"]))
        sink.flush(10)

    seen = json.loads(vitalstream("watch", "--once", "--json", environment=topics).stdout)
    vitals = {patient["patient_id"]: patient["vitals"] for patient in seen["patients"]}
    assert vitals == {
        "201": {"heart_rate": 99, "systolic_pressure": 121},
        "202": {"heart_rate": 61, "systolic_pressure": 121},
    }
    assert time.time() * 1000 - 60_000 < seen["observed_at"] <= time.time() * 1000

    table = vitalstream("watch", "--once", environment=topics).stdout
    assert "201" in table and "99" in table and "\x1b" not in table

    refuse(settings, "201", {"type": "discharge"})
    refuse(settings, "202", {"values": {"HR": 0}})
    again = json.loads(vitalstream("watch", "--once", "--json", environment=topics).stdout)
    assert again == seen
    refuse(settings, "202", {"type": "discharge"}, said=False)
    shown = json.loads(vitalstream("watch", "--once", "--json", environment=topics).stdout)
    assert [patient["patient_id"] for patient in shown["patients"]] == ["201"]


def refuse(settings, patient, event, said=True):
    """Send an event, and its dead letter if that is `said`."""
    topic, partition, now = settings.observations_topic, 1, int(time.time() * 1000)
    value = json.dumps({"patient_id": patient, "observed_at": now} | event).encode()
    with closing(make_source(settings)) as source, closing(make_sink(settings)) as sink:
        source.assign(topic, {partition: 0})
        offset = source.end_offsets([partition])[partition]
        where = np.array([partition], np.int32)
        sink.send(Outgoing(topic, [value], [patient.encode()], where))
        if said:
            one = Records(topic, [value], [patient.encode()], where, np.array([offset]), np.array([now]))
            refused = Refused(one, [0], [Code.DUPLICATE], "state")
            sink.send(encode(refused, settings.dead_letters_topic, now, 1_000_000))
        sink.flush(10)


def simulated(topics, *more):
    flags = ["--patients", "5", "--for", "1", "--speed", "600", "--interval", "60", "--json"]
    return json.loads(vitalstream("simulate", *flags, *more, environment=topics).stdout)


def test_a_ward_is_simulated_for_a_while(topics):
    figures = simulated(topics, "--clean")
    assert (figures["events"], figures["patients"]) == (51, 5)
    assert not any(figures["faults"].values())


def test_what_goes_wrong_is_counted(topics):
    figures = simulated(topics, "--repeated", "0.9", "--unreadable", "0.5", "--late", "0")
    assert figures["events"] == 51 + figures["faults"]["repeated"] + figures["faults"]["unreadable"]
    assert figures["faults"]["repeated"] > 0 and figures["faults"]["unreadable"] > 0


@pytest.mark.parametrize("command", ["simulate", "replay", "watch"])
def test_a_missing_topic_is_said_and_not_made(topics, command):
    missing = topics | {"VITALSTREAM_OBSERVATIONS_TOPIC": "missing"}
    for _ in range(2):
        done = CliRunner().invoke(application(*COMMANDS), [command], env=missing)
        assert isinstance(done.exception, TopicError)
        assert str(done.exception) == "missing is missing: create it with `vitalstream topics create`"


def test_missing_data_is_said(topics, tmp_path):
    done = CliRunner().invoke(application(*COMMANDS), ["replay", "--data", str(tmp_path)], env=topics)
    assert isinstance(done.exception, DataError)
    assert "physionet" in str(done.exception)


def test_the_ward_of_the_demo_has_ill_patients_and_stale_sensors_while_it_is_watched() -> None:
    hour = 3_600_000
    ward = Ward(60, 1, 0, 60.0, before(1.0))
    ward.tick(59_999)
    census, rows = ward.census, slice(0, 60)
    early, late = (
        census.condition(rows, census.admitted + int(at * hour)).severity
        for at in (HISTORY_HOURS, HISTORY_HOURS + 1)
    )
    assert (early == 0).sum() > 40 and (late - early > 0.2).sum() >= 3
    silent_from = census.fates["silent_from"]
    assert ((silent_from > HISTORY_HOURS - 2) & (silent_from < HISTORY_HOURS - 1)).any()
