"""Kafka in memory, for tests of what is built upon the ports: a source, a sink and a transactional sink that
keep the ports' promises on a cluster of one process, without a network and without a clock.

    cluster = Cluster(partitions=4, input="vitals.observations.v1")
    source, sink = MemorySource(cluster), MemoryTransactionalSink(cluster, "worker-1")
    source.subscribe(cluster.input, listener)
    cluster.give(0, source)                 # the group assigns partition 0: in the next poll
    cluster.produce(0, b"patient", b"{}")
    cluster.next_commits = ["unknown"]      # the next commit succeeds, and its answer is lost
"""

from stream.kafka.memory.cluster import Cluster, Died, Record
from stream.kafka.memory.sinks import MemorySink, MemoryTransactionalSink
from stream.kafka.memory.source import MemorySource

__all__ = ["Cluster", "Died", "MemorySink", "MemorySource", "MemoryTransactionalSink", "Record"]
