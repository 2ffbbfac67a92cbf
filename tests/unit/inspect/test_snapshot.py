"""The file of states: what is written is what is read, and where patients go on another cluster. And what is
wrong with a record."""

import resource
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.errors import DataError, StateError
from stream.inspect.changelog import sound
from stream.inspect.snapshot import States, gathered, read, write
from stream.inspect.verify import compare
from stream.kafka.topics import partition_of
from stream.state.changelog import PARTITION_KEY, Changelog, Changes, Checkpoint, Patients
from stream.stays.record import STAY

MODEL = "ab" * 32
SIZE = 3
IDS = st.lists(st.binary(min_size=1, max_size=9), unique=True, max_size=20)


def patients(ids, seed=0):
    rng = np.random.default_rng(seed)
    stays = np.zeros(len(ids), STAY)
    for name in ("next_offset", "events", "closed_at", "floor"):
        stays[name] = rng.integers(0, 2**60, len(ids))
    rows = rng.normal(size=(len(ids), SIZE)).astype(np.float32)
    return Patients(list(ids), rows, stays, [b"" if seed % 2 else b'["e","",""]'] * len(ids))


def states(ids, partitions=4):
    parts = {one: patients(ids[one::partitions], one) for one in range(partitions)}
    return gathered(MODEL, parts, {one: Checkpoint(one * 1000, one * 10**12) for one in range(partitions)})


@given(ids=IDS)
def test_what_is_written_is_read(tmp_path_factory, ids):
    path, written = tmp_path_factory.mktemp("states") / "file", states(ids)
    write(path, written)
    found = read(path, MODEL, SIZE)
    assert (found.model_hash, found.checkpoints, found.patients.ids) == (
        MODEL,
        written.checkpoints,
        written.patients.ids,
    )
    assert found.partitions.tolist() == written.partitions.tolist()
    assert not compare(found.patients, written.patients).total()


@given(ids=IDS, place=st.integers(0), bit=st.integers(0, 7))
def test_a_changed_bit_is_an_error(tmp_path_factory, ids, place, bit):
    path = tmp_path_factory.mktemp("states") / "file"
    write(path, states(ids))
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= 1 << bit
    path.write_bytes(content)
    with pytest.raises((DataError, StateError)):
        read(path, MODEL, SIZE)


def test_other_models_versions_and_row_sizes_are_refused(tmp_path):
    path = tmp_path / "file"
    write(path, states([b"a", b"b"]))
    with pytest.raises(StateError, match="is of model"):
        read(path, "cd" * 32, SIZE)
    with pytest.raises(DataError, match="damaged"):
        read(path, MODEL, SIZE + 1)
    with pytest.raises(DataError, match="cannot write"):
        write(path, states([]))


def test_a_file_that_cannot_be_written_to_its_end_is_said_and_not_left_behind(tmp_path):
    path = tmp_path / "file"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(DataError, match=f"cannot write {path}: File too large"):
            write(path, states([b"a", b"b"]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not path.exists()


@given(ids=IDS, count=st.integers(1, 7))
def test_patients_go_where_their_key_sends_them_and_begin_anew(ids, count):
    begins = {one: 5 * one for one in range(count)}
    placed = states(ids).placed(begins)
    assert placed.partitions.tolist() == [partition_of(one, count) for one in placed.patients.ids]
    assert not placed.patients.stays["next_offset"].any()
    assert {one: checkpoint.next_offset for one, checkpoint in placed.checkpoints.items()} == begins
    assert sum(len(placed.of(one)) for one in begins) == len(ids)


def test_a_partition_takes_the_latest_stream_time_of_those_its_patients_come_from() -> None:
    ids = [b"a", b"b", b"c"]
    checkpoints = {0: Checkpoint(7, 100), 1: Checkpoint(9, 300)}
    come = States(MODEL, patients(ids), np.array([0, 1, 0], np.int32), checkpoints)
    assert come.placed({0: 0}).checkpoints == {0: Checkpoint(0, 300)}
    only = States(MODEL, patients(ids), np.zeros(3, np.int32), checkpoints)
    assert only.placed({0: 4}).checkpoints == {0: Checkpoint(4, 100)}


@pytest.mark.parametrize(
    ("key", "partition"),
    [(b"21", -973932308), (b"foobar", -790332482), (b"a-little-bit-long-string", -985981536)],
)
def test_partitions_are_those_of_the_java_client(key, partition):
    """Hashes of org.apache.kafka.common.utils.UtilsTest.testMurmur2."""
    assert partition_of(key, 97) == (partition & 0x7FFFFFFF) % 97


@pytest.mark.parametrize(
    ("place", "kind"), [(0, "foreign"), (4, "version"), (8, "model"), (30, "checksum"), (-1, "checksum")]
)
def test_records_that_cannot_be_read_are_counted_by_kind(place, kind):
    changelog = Changelog("states", MODEL, SIZE)
    encoded = changelog.encode(
        [Changes(patients([b"a", b"b"]), np.zeros(2, np.int32))], {0: Checkpoint(7, 9)}
    )
    latest = dict(zip(encoded.keys, encoded.values, strict=True))
    assert sound(changelog, latest).checkpoint == Checkpoint(7, 9)
    for key in (b"a", PARTITION_KEY):
        damaged = bytearray(latest[key])
        damaged[place] ^= 1
        found = sound(changelog, latest | {key: bytes(damaged), b"c": b"short"})
        assert found.unsound == Counter([kind, "foreign"])
        assert found.ids == {key, b"c"}
        assert b"b" in found.patients.ids
        assert (found.checkpoint is None) == (key == PARTITION_KEY)


def test_differences_are_counted_by_kind() -> None:
    wanted = patients([b"a", b"b", b"c", b"d"])
    found = patients([b"a", b"b", b"c", b"d"])
    found.rows[0, 1] += 1e-4
    found.rows[1, 1] = np.nan
    found.rows[2, 1] += 1e-7
    found.stays["events"][2] += 1
    found.texts[3] = b'["f","",""]'
    assert +compare(found, wanted) == {"row": 2, "stay": 1, "texts": 1}
    assert +compare(found.take(np.array([2])), wanted.take(np.array([0, 1]))) == {"missing": 2, "surplus": 1}
