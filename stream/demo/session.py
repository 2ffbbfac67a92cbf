"""What the demo plays on: broker, worker, producer and consumers in one process."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, wait
from contextlib import ExitStack, closing, contextmanager
from functools import partial

from rich.console import Console

from stream.background import raise_failure, spawn
from stream.demo.tally import Tally
from stream.kafka.clients import make_sink
from stream.kafka.embedded import PARTITIONS, EmbeddedBroker
from stream.kafka.sink import Sink
from stream.kafka.tail import Tail
from stream.metrics import Metrics
from stream.settings import Settings, load
from stream.synthetic.delivery import deliver
from stream.synthetic.pacing import EventFeed, Pace
from stream.ward.board import Board
from stream.ward.screen import Screen
from stream.ward.terminal import Status
from stream.worker.worker import Worker

PROMPT = {"fetch.wait.max.ms": "5", "log_level": "3"}
"""The embedded broker answers a fetch that found nothing only when this wait has passed, whatever came
meanwhile. A producer would log that the wait is none of its settings."""
REFRESH_S = 0.3
SETTLE_S = 5.0
STOPPED_S = 1.0
JOIN_TIMEOUT_S = 30.0


class DemoSession:
    """Sends feeds to the worker and shows what comes back. Made by `open_session`."""

    def __init__(
        self,
        sink: Sink,
        working: Future[None],
        metrics: Metrics,
        tails: tuple[Tail, Tail, Tail],
        screen: Screen,
        stop: threading.Event,
    ) -> None:
        self.tally = Tally()
        self._board = Board()
        self._sink, self._working, self._metrics, self._stop = sink, working, metrics, stop
        self.screen = screen
        self._events, self._scores, self._letters = tails

    def run_phase(
        self, title: str, feed: EventFeed, start_ms: int, until_ms: int, speed: float | None
    ) -> None:
        """Send what happens from `start_ms` until `until_ms`, at `speed` times the clock (None: at once), and
        show the board until every event has come back, or for five seconds nothing more has."""
        phase = Phase(title, start_ms, until_ms, speed, self.tally)
        send = partial(deliver, feed, self._sink, self._stop, self.tally.sending, phase.pace, until_ms)
        producer = spawn("producer", send)
        try:
            while not producer.done():
                self._take()
                self.screen.show(self._board, phase.status())
                wait([producer], REFRESH_S)
        except BaseException:
            self._stop.set()
            wait([producer], JOIN_TIMEOUT_S)
            raise
        producer.result()
        self._settle()
        self.screen.show(self._board, phase.status())

    def dropped(self) -> dict[str, int]:
        """Single fields that the worker left out of the events it took, by code."""
        families = self._metrics.dropped.collect()
        samples = [sample for family in families for sample in family.samples]
        return {s.labels["code"]: int(s.value) for s in samples if s.name.endswith("_total")}

    def _settle(self) -> None:
        patience = STOPPED_S if self._stop.is_set() else SETTLE_S
        missing, since = self.tally.open, time.monotonic()
        while self.tally.open > 0 and time.monotonic() - since < patience:
            time.sleep(REFRESH_S / 10)
            self._take()
            if self.tally.open != missing:
                missing, since = self.tally.open, time.monotonic()

    def _take(self) -> None:
        if self._working.done():
            self._working.result()
            self._stop.set()
        for arrived, records in self._scores.drain():
            self.tally.scored(arrived, records)
            self._board.score(records)
        for _, records in self._events.drain():
            self._board.observe(records)
        for _, records in self._letters.drain():
            self.tally.refused(records)
            self._board.refuse(records)


class Phase:
    """One part of the demo, and how far it is."""

    def __init__(self, title: str, start_ms: int, until_ms: int, speed: float | None, tally: Tally) -> None:
        self.pace = Pace(start_ms, speed) if speed else None
        self._title, self._start_ms, self._until_ms, self._speed = title, start_ms, until_ms, speed
        self._tally, self._begun, self._before = tally, time.monotonic(), tally.events

    def status(self) -> Status:
        """The figures now; events/s are those of this part."""
        tally = self._tally
        rate = (tally.events - self._before) / max(1e-9, time.monotonic() - self._begun)
        figures = [("events", f"{tally.events:,}"), ("scores", f"{tally.scores:,}")]
        figures += [("dead letters", f"{tally.dead_letters.total():,}"), ("events/s", f"{rate:,.0f}")]
        for name, quantile in (("p50", 0.5), ("p99", 0.99)):
            latency = tally.latency_ms(quantile)
            figures += [] if latency is None else [(name, f"{latency:.0f} ms")]
        if not self.pace or not self._speed:
            return Status(self._title, figures)
        left_ms = max(0, self._until_ms - self.pace.now_ms())
        progress = 1.0 - left_ms / max(1, self._until_ms - self._start_ms)
        return Status(self._title, figures, progress, f"{left_ms / 1000 / self._speed:.0f} s left")


@contextmanager
def open_session(settings: Settings, console: Console, stop: threading.Event) -> Iterator[DemoSession]:
    """A stage on a broker of its own; the worker takes its model and device from `settings`. Ends everything
    on the way out."""
    with ExitStack() as stack:
        with console.status("starting broker and worker"):
            broker = stack.enter_context(EmbeddedBroker())
            local = _local(settings, broker.bootstrap_servers)
            topics = local.observations_topic, local.scores_topic, local.dead_letters_topic
            broker.create(*topics, local.changelog_topic)
            tails = [Tail(local, topic, PARTITIONS, with_headers=topic == topics[2]) for topic in topics]
            for tail in tails:
                stack.enter_context(closing(tail))
            sink = stack.enter_context(closing(make_sink(local)))
            worker = Worker(local)
            working = _work(worker, stack)
        screen = stack.enter_context(Screen(console))
        yield DemoSession(sink, working, worker.metrics, (tails[0], tails[1], tails[2]), screen, stop)


def _local(settings: Settings, bootstrap_servers: str) -> Settings:
    """Nothing of the user's cluster: only what concerns the model."""
    kept = {"model": settings.model, "device": settings.device, "threads": settings.threads}
    own = {"bootstrap_servers": bootstrap_servers, "client_overrides": PROMPT, "metrics_port": 0}
    own["processing_guarantee"] = "at_least_once"  # there are no transactions on the embedded broker
    return load(kept | own, environment={})


def _work(worker: Worker, stack: ExitStack) -> Future[None]:
    stop = threading.Event()
    working = spawn("worker", partial(worker.run, stop))

    def end() -> None:
        stop.set()
        wait([working], JOIN_TIMEOUT_S)
        raise_failure(working)

    stack.callback(end)
    return working
