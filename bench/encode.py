"""Ways to write a batch of RiskScores from columns as JSON: CPU µs a score.

Each way takes the same columns and yields a list of N bytes objects; each is read back by the contract's
pydantic model and compared before it is timed. What is equal for the whole batch is folded into constants;
flags and stale signs are fragments found by a bit mask. Ids that would need escapes in JSON are looked for
once in the batch, in every way.

    python -m bench.encode [--rounds 15]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bench.measure import interleaved, markdown, write
from bench.scores import (
    FLAGS,
    HASH,
    HEAD,
    MIDDLE,
    MODEL,
    NEWS2,
    SCORED_AT,
    TAIL,
    TARGET,
    TOPIC,
    Columns,
    N,
    check,
    columns,
    coverage,
    flags,
    news2,
    refuse_escapes,
    stale_names,
    tails,
)

HEAD_ARROW, TAIL_ARROW = pa.array(HEAD, pa.binary()), pa.array(TAIL, pa.binary())
FLAGS_BYTES = [text.encode() for text in FLAGS]
FLAGS_ARROW = pa.array(FLAGS_BYTES, pa.binary())


def bytes_percent(c: Columns) -> list[bytes]:
    refuse_escapes(c)
    row = (
        f'%b%d/{HASH[:12]}","patient_id":"%b","observed_at":%d,"scored_at":{SCORED_AT},'
        f'"risk":%.6f{MIDDLE}%d%b%b%d}}}}'
    ).encode()
    offsets = c.offsets.tolist()
    return [
        row % values
        for values in zip(
            map(HEAD.__getitem__, c.partitions.tolist()),
            offsets,
            c.patients,
            c.observed_at.tolist(),
            c.risk.tolist(),
            c.counts.tolist(),
            map(FLAGS_BYTES.__getitem__, flags(c).tolist()),
            map(TAIL.__getitem__, tails(c).tolist()),
            offsets,
            strict=True,
        )
    ]


def f_string(c: Columns) -> list[bytes]:
    refuse_escapes(c)
    ids = b"\n".join(c.patients).decode().split("\n")
    return [
        (
            f'{{"id":"{TOPIC}/{partition}/{offset}/{HASH[:12]}","patient_id":"{patient}",'
            f'"observed_at":{observed_at},"scored_at":{SCORED_AT},"risk":{risk:.6f}{MIDDLE}{count}'
            f'{FLAGS[mask]}{NEWS2[score]}}},"source":{{"topic":"{TOPIC}","partition":{partition},'
            f'"offset":{offset}}}}}'
        ).encode()
        for partition, offset, patient, observed_at, risk, count, mask, score in zip(
            c.partitions.tolist(),
            c.offsets.tolist(),
            ids,
            c.observed_at.tolist(),
            c.risk.tolist(),
            c.counts.tolist(),
            flags(c).tolist(),
            news2(c).tolist(),
            strict=True,
        )
    ]


class Model(msgspec.Struct, gc=False):
    name: str
    hash: str


class State(msgspec.Struct, gc=False):
    events: int
    warm: bool
    coverage: float
    late: bool
    closed: bool
    stale: list[str]


class News2(msgspec.Struct, gc=False):
    score: int
    complete: bool


class Source(msgspec.Struct, gc=False):
    topic: str
    partition: int
    offset: int


class Score(msgspec.Struct, gc=False):
    id: str
    patient_id: str
    observed_at: int
    scored_at: int
    risk: float
    target: str
    model: Model
    state: State
    news2: News2
    source: Source


STALE = [stale_names(mask) for mask in range(64)]
THE_MODEL = Model(MODEL, HASH)
encode = msgspec.json.Encoder().encode


def msgspec_struct(c: Columns) -> list[bytes]:
    return [
        encode(
            Score(
                f"{TOPIC}/{partition}/{offset}/{HASH[:12]}",
                patient.decode(),
                observed_at,
                SCORED_AT,
                risk,
                TARGET,
                THE_MODEL,
                State(count, warm, coverage(stale), late, False, STALE[stale]),
                News2(score, complete),
                Source(TOPIC, partition, offset),
            )
        )
        for patient, partition, offset, observed_at, risk, count, warm, late, stale, score, complete in zip(
            c.patients, *(column.tolist() for column in c[1:]), strict=True
        )
    ]


def _text(values: np.ndarray) -> pa.Array:
    return pc.cast(pc.cast(pa.array(values), pa.string()), pa.binary())


def _arrow(c: Columns, end: bytes) -> pa.Array:
    refuse_escapes(c)
    offsets = _text(c.offsets)
    return pc.binary_join_element_wise(
        HEAD_ARROW.take(pa.array(c.partitions)),
        offsets,
        f'/{HASH[:12]}","patient_id":"'.encode(),
        pa.array(c.patients, pa.binary()),
        b'","observed_at":',
        _text(c.observed_at),
        f',"scored_at":{SCORED_AT},"risk":'.encode(),
        _text(c.risk),
        MIDDLE.encode(),
        _text(c.counts),
        FLAGS_ARROW.take(pa.array(flags(c))),
        TAIL_ARROW.take(pa.array(tails(c))),
        offsets,
        b"}}" + end,
        b"",
    )


def arrow_list(c: Columns) -> list[bytes]:
    return _arrow(c, b"").to_pylist()


def arrow_split(c: Columns) -> list[bytes]:
    return _arrow(c, b"\n").buffers()[2].to_pybytes().split(b"\n")[:-1]


WIDE = np.zeros(10**4, "S4")
WIDE[:] = [b"%04d" % number for number in range(10**4)]


def digits(values: np.ndarray, width: int) -> np.ndarray:
    """Decimal digits, zeros before, as uint8 [N, width]."""
    groups = -(-width // 4)
    out = np.empty((len(values), groups), "S4")
    for group in range(groups - 1, -1, -1):
        values, low = np.divmod(values, 10_000)
        out[:, group] = WIDE[low]
    return out.view(np.uint8).reshape(len(out), 4 * groups)[:, 4 * groups - width :]


def numpy_bytes(c: Columns) -> list[bytes]:
    """A matrix of characters, JSON padded with blanks between its tokens where a column is narrower."""
    refuse_escapes(c)
    out: list[bytes] = [b""] * N
    widths = np.char.str_len(c.offsets.astype("S20"))
    for width in np.unique(widths):  # digits inside the id cannot be padded
        rows = np.flatnonzero(widths == width)
        for row, line in zip(rows.tolist(), _block(c, rows, int(width)), strict=True):
            out[row] = line
    return out


def _block(c: Columns, rows: np.ndarray, width: int) -> list[bytes]:
    patients = np.array([b'"%b"' % c.patients[row] for row in rows.tolist()])
    names = patients.view(np.uint8).reshape(len(rows), -1)
    names = np.where(names == 0, ord(" "), names).astype(np.uint8)
    partition, offset = digits(c.partitions[rows], 1), digits(c.offsets[rows], width)
    counts = digits(c.counts[rows], 9)
    counts = np.where((np.cumsum(counts != 48, axis=1) == 0), 32, counts).astype(np.uint8)
    micro = np.rint(c.risk[rows].astype(np.float64) * 1e6).astype(np.int64)
    parts: list[bytes | np.ndarray] = [
        f'{{"id":"{TOPIC}/'.encode(),
        partition,
        b"/",
        offset,
        f'/{HASH[:12]}","patient_id":'.encode(),
        names,
        b',"observed_at":',
        digits(c.observed_at[rows], 13),
        f',"scored_at":{SCORED_AT},"risk":'.encode(),
        digits(micro // 10**6, 1),
        b".",
        digits(micro % 10**6, 6),
        MIDDLE.encode(),
        counts,
        FLAGS_PADDED[flags(c)[rows]],
        TAIL_PADDED[tails(c)[rows]],
        offset,
        b"}}",
    ]
    blocks = [
        np.broadcast_to(np.frombuffer(part, np.uint8), (len(rows), len(part)))
        if isinstance(part, bytes)
        else part
        for part in parts
    ]
    lines = np.concatenate(blocks, axis=1)
    return lines.view(f"S{lines.shape[1]}").ravel().tolist()


def padded(fragments: list[bytes]) -> np.ndarray:
    width = max(map(len, fragments))
    text = b"".join(fragment.ljust(width) for fragment in fragments)
    return np.frombuffer(text, np.uint8).reshape(len(fragments), width)


FLAGS_PADDED, TAIL_PADDED = padded(FLAGS_BYTES), padded(TAIL)

WAYS: dict[str, tuple[Callable[[Columns], list[bytes]], str]] = {
    "bytes % tuple": (bytes_percent, "6 decimals"),
    "f-string, encode": (f_string, "6 decimals"),
    "msgspec Struct": (msgspec_struct, "17 digits; escapes ids by itself"),
    "pyarrow join, to_pylist": (arrow_list, "shortest float32"),
    "pyarrow join, one buffer split at newlines": (arrow_split, "shortest float32"),
    "numpy matrix of characters": (numpy_bytes, "6 decimals; blanks in the JSON; one digit of partition"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    batch = columns()
    check(batch, {name: way for name, (way, _) in WAYS.items()})
    timed = interleaved({name: (lambda way=way: way(batch)) for name, (way, _) in WAYS.items()}, N, rounds, 5)
    size = sum(map(len, bytes_percent(batch))) / N
    rows = [
        (name, f"{timed[name]['median_us']:.2f}", f"{timed[name]['min_us']:.2f}", WAYS[name][1])
        for name in sorted(WAYS, key=lambda name: timed[name]["median_us"])
    ]
    text = f"Batches of {N} scores, {size:.0f} bytes each; columns in, a list of bytes out.\n\n"
    text += markdown(["way", "CPU µs a score, median", "least", "remarks"], rows)
    figures = {"batch": N, "mean_bytes": size, "rounds": rounds, "us_per_score": timed}
    write("encode", "Writing RiskScores as JSON from columns", text, figures)


if __name__ == "__main__":
    main()
