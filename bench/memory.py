"""Whether a worker's memory grows with the patients it has seen: many stays, each admitted and discharged.

A real broker, four partitions, one worker (exactly_once). Each stay is an admission, eight observations and a
discharge; a few hundred patients are there at a time. The worker's resident memory is sampled while it runs;
the slope is that of a straight line through the samples after the first fifth of the events. At the end no
patient may be resident.

    python -m bench.memory [--stays 200000]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import time
import urllib.request
from pathlib import Path

import numpy as np

from bench.broker import WORKER, Broker, free_port, launch, local_broker
from bench.load import deliver
from bench.measure import markdown, write
from bench.messages import START_MS

OBSERVATIONS = 8
EVENTS_A_STAY = OBSERVATIONS + 2
AT_A_TIME = 400
NAME = "bench-memory"
TOPICS = ("observations", "scores", "alerts", "dead-letters")
PATIENCE_S = 600.0
PAGE = os.sysconf("SC_PAGE_SIZE")


def events(stays: int) -> list[tuple[bytes, bytes]]:
    """In rounds of `AT_A_TIME` stays, whose events alternate."""
    static = b'"static":{"age":64,"sex":"male"}'
    written, at = [], START_MS
    for first in range(0, stays, AT_A_TIME):
        ids = [b"s%07d" % number for number in range(first, min(first + AT_A_TIME, stays))]
        for step in range(EVENTS_A_STAY):
            for patient_id in ids:
                at += 1
                head = b'"patient_id":"%b","observed_at":%d' % (patient_id, at)
                if step == 0:
                    value = b'{"type":"admission",%b,%b}' % (head, static)
                elif step == EVENTS_A_STAY - 1:
                    value = b'{"type":"discharge",%b}' % head
                else:
                    value = b'{%b,"values":{"HR":%d,"Temp":37.%d}}' % (head, 60 + step, step)
                written.append((patient_id, value))
    return written


def start(broker: Broker, port: int) -> subprocess.Popen[bytes]:
    names = {name: f"{NAME}-{name}" for name in TOPICS}
    settings = {f"{name.upper().replace('-', '_')}_TOPIC": topic for name, topic in names.items()}
    settings |= {"BOOTSTRAP_SERVERS": broker.bootstrap, "APPLICATION_ID": NAME, "METRICS_PORT": str(port)}
    settings |= {"METRICS_HOST": "127.0.0.1", "LOG_LEVEL": "WARNING", "DEVICE": "cpu"}
    return launch(WORKER, settings)


def metric(port: int, name: str) -> float:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except OSError:
        return 0.0
    values = [line.split()[-1] for line in text.splitlines() if line.startswith(f"vitalstream_{name} ")]
    return float(values[0]) if values else 0.0


def rss_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / 2**20


def watch(process: subprocess.Popen[bytes], port: int, total: int) -> list[tuple[float, float]]:
    """Events consumed and MiB resident, once a second, until all are consumed."""
    samples, deadline = [(0.0, 0.0)], time.monotonic() + PATIENCE_S
    while samples[-1][0] < total:
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the worker has consumed {samples[-1][0]:.0f} of {total} events")
        time.sleep(1)
        samples.append((metric(port, "events_consumed_total"), rss_mb(process.pid)))
    return samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stays", type=int, default=200_000)
    stays = parser.parse_args().stays
    with local_broker() as broker:
        broker.create(*(f"{NAME}-{name}" for name in TOPICS), f"{NAME}-patient-state-changelog")
        deliver(broker.bootstrap, f"{NAME}-observations", events(stays))
        total, port = stays * EVENTS_A_STAY, free_port()
        process = start(broker, port)
        try:
            samples = watch(process, port, total)
            time.sleep(2)  # the gauges follow once a second
            resident = metric(port, "patients_resident")
            discharges = metric(port, "discharges_total")
        finally:
            process.terminate()
            process.wait(60)
    late = np.array([sample for sample in samples if sample[0] >= total / 5])
    slope = float(np.polyfit(late[:, 0] / 1e6, late[:, 1], 1)[0])
    columns = (
        "events",
        "discharges",
        "patients resident at the end",
        "RSS at a fifth, MiB",
        "at the end",
        "slope, MiB a million events",
    )
    row = (
        f"{total:,}",
        f"{discharges:,.0f}",
        f"{resident:.0f}",
        f"{late[0, 1]:.0f}",
        f"{late[-1, 1]:.0f}",
        f"{slope:.1f}",
    )
    write(
        "memory",
        "Memory over many stays",
        markdown(columns, [row]),
        {"samples": samples, "slope": slope, "resident": resident},
    )


if __name__ == "__main__":
    main()
