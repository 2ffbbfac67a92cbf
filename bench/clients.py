"""What a record costs in each Kafka client: python -m bench.clients BOOTSTRAP [RECORDS]

Through the sources and sinks as vitalstream uses them: 144-byte values, 9-byte keys, 4 partitions given,
timestamps given, batches of 4,096. CPU is that of this process, all threads of the client included.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial

import numpy as np
from rich.console import Console
from rich.table import Table

from stream.columns.records import Outgoing
from stream.connection import Connection
from stream.kafka.admin import TopicSpec
from stream.kafka.kafka_python.sink import KafkaPythonSink
from stream.kafka.kafka_python.source import KafkaPythonSource
from stream.kafka.librdkafka.admin import LibrdkafkaAdmin
from stream.kafka.librdkafka.sink import LibrdkafkaSink
from stream.kafka.librdkafka.source import LibrdkafkaSource

BATCH = 4096
PARTITIONS = 4
PATIENTS = 50_000
EARLIEST = -2
Client = tuple[
    Callable[[Connection], LibrdkafkaSource | KafkaPythonSource],
    Callable[[Connection], LibrdkafkaSink | KafkaPythonSink],
    float,
]
CLIENTS: dict[str, Client] = {
    "librdkafka": (LibrdkafkaSource, LibrdkafkaSink, 1.0),
    "kafka-python": (KafkaPythonSource, KafkaPythonSink, 0.1),
}


def batches(topic: str, records: int) -> list[Outgoing]:
    rng = np.random.default_rng(1)
    made = []
    for _ in range(max(records // BATCH, 1)):
        patients = rng.integers(0, PATIENTS, BATCH)
        values = [rng.bytes(72).hex().encode() for _ in patients]
        keys = [b"p%08d" % patient for patient in patients]
        partitions = (patients % PARTITIONS).astype(np.int32)
        made.append(Outgoing(topic, values, keys, partitions, np.full(BATCH, int(time.time() * 1000))))
    return made


def cost(work: Callable[[], int]) -> tuple[float, float]:
    """Microseconds a record: wall, and CPU of this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    records = work()
    return (time.perf_counter() - wall) / records * 1e6, (time.process_time() - cpu) / records * 1e6


def main() -> None:
    connection = Connection(sys.argv[1])
    records = int(sys.argv[2]) if len(sys.argv) > 2 else 500_000
    table = Table("client", "produce wall", "produce CPU", "consume wall", "consume CPU", title="µs a record")
    for name, (make_source, make_sink, share) in CLIENTS.items():
        topic = f"bench-clients-{name}-{time.time_ns()}"
        with closing(LibrdkafkaAdmin(connection)) as admin:
            admin.create([TopicSpec(topic, PARTITIONS)])
        outgoing = batches(topic, int(records * share))

        def produce(sink: LibrdkafkaSink | KafkaPythonSink, outgoing: list[Outgoing] = outgoing) -> int:
            for batch in outgoing:
                sink.send(batch)
            sink.flush(300)
            return len(outgoing) * BATCH

        def consume(source: LibrdkafkaSource | KafkaPythonSource, left: int = len(outgoing) * BATCH) -> int:
            records = left
            while left > 0:
                left -= len(source.poll(BATCH, 1.0))
            return records

        with closing(make_sink(connection)) as sink, closing(make_source(connection)) as source:
            produced = cost(partial(produce, sink))
            source.assign(topic, dict.fromkeys(range(PARTITIONS), EARLIEST))
            consumed = cost(partial(consume, source))
        table.add_row(name, *(f"{figure:.2f}" for figure in (*produced, *consumed)))
    Console().print(table)


if __name__ == "__main__":
    main()
