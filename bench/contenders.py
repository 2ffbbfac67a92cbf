"""The two loops that vitalstream is compared with, each a process of its own until it is terminated.

echo: consumes batches and produces the same bytes, with librdkafka alone: what clients and broker cost.
per-event: one record at a time through json.loads, torch's GRUCell and json.dumps: the plain way to write it.

    python -m bench.contenders echo|per-event BOOTSTRAP INPUT OUTPUT GROUP
"""

from __future__ import annotations

import json
import signal
import sys
from types import FrameType
from typing import Any

from confluent_kafka import Consumer, Message, Producer

BATCH = 4096
HIDDEN = 64


class Stop(Exception):
    pass


def stop(_: int, __: FrameType | None) -> None:
    raise Stop


def clients(bootstrap: str, topic: str, group: str) -> tuple[Consumer, Producer]:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "fetch.queue.backoff.ms": 10,
            "log_level": 3,
        }
    )
    consumer.subscribe([topic])
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "log_level": 3,
            "compression.type": "lz4",
            "linger.ms": 5,
            "partitioner": "murmur2_random",
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    return consumer, producer


def echo(consumer: Consumer, producer: Producer, output: str) -> None:
    while True:
        batch = consumer.consume(BATCH, 0.005)
        if not batch:
            continue
        copies = [{"value": m.value(), "key": m.key(), "partition": m.partition()} for m in batch]
        while copies:
            producer.produce_batch(output, copies)
            copies = [copy for copy in copies if "_error" in copy]
            for copy in copies:
                del copy["_error"]
            producer.poll(0.05 if copies else 0)


def per_event(consumer: Consumer, producer: Producer, output: str) -> None:
    import torch

    from model.variables import INDEX

    torch.manual_seed(0)
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    cell, head = torch.nn.GRUCell(len(INDEX), HIDDEN), torch.nn.Linear(HIDDEN, 1)
    states: dict[str, Any] = {}
    new = torch.zeros(1, HIDDEN)
    while True:
        message: Message | None = consumer.poll(1.0)
        if message is None or message.error():
            continue
        event = json.loads(message.value() or b"")
        inputs = [0.0] * len(INDEX)
        for name, value in event["values"].items():
            if (column := INDEX.get(name)) is not None:
                inputs[column] = value
        patient = event["patient_id"]
        states[patient] = state = cell(torch.tensor([inputs]), states.get(patient, new))
        risk = torch.sigmoid(head(state)).item()
        score = {"patient_id": patient, "observed_at": event["observed_at"], "risk": risk}
        send(producer, output, json.dumps(score).encode(), message)


def send(producer: Producer, output: str, value: bytes, source: Message) -> None:
    while True:
        try:
            producer.produce(output, value, source.key(), source.partition() or 0)
            break
        except BufferError:
            producer.poll(0.05)
    producer.poll(0)


def main() -> None:
    name, bootstrap, topic, output, group = sys.argv[1:]
    signal.signal(signal.SIGTERM, stop)
    consumer, producer = clients(bootstrap, topic, group)
    try:
        {"echo": echo, "per-event": per_event}[name](consumer, producer, output)
    except Stop:
        producer.flush(30)
        consumer.close()


if __name__ == "__main__":
    main()
