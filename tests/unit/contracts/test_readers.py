"""Of an event the board reads what the worker uses: no odd field hides the rest."""

import math

import pytest

from stream.contracts.readers import UNREADABLE, read_event
from stream.decode.reasons import InvalidRecord, validate
from stream.ward.board import Board
from tests.unit.ward.boards import START, event, observation, records, score

HEAD = f'{{"patient_id":"p","observed_at":{START},'
TAILS = [
    '"values":{"HR":80,"Temp":null,"SaO2":"98%","GCS":true,"Na":[1]}}',
    '"values":{"HR":80,"Temp":NaN,"SaO2":-Infinity}}',
    '"values":{"HR":80,"Temp":1e999}}',
    f'"values":{{"HR":80,"Temp":{10**22}}}}}',
    f'"values":{{"HR":80,"Temp":{"1" * 5000}}}}}',
    '"unit":["ICU"],"bed":7,"encounter_id":7,"values":{"HR":80}}',
    f'"unit":"{"x" * 257}","bed":"4","values":{{"HR":80}}}}',
    '"cancel":1,"values":{"HR":80}}',
    '"values":null}',
    '"type":"observation"}',
    '"type":"admission","bed":"4","values":null}',
    '"type":"admission","bed":"4","values":{"HR":80}}',
    '"type":"transfer","bed":"4","encounter_id":7}',
    '"type":"discharge","bed":7}',
    '"type":"discharge","encounter_id":7}',
    '"type":"discharge","cancel":1}',
    '"type":"discharge","cancel":true}',
]


def of_the_worker(value):
    try:
        said, _ = validate(value, len(value))
    except InvalidRecord:
        return None
    given = {name: number for name, number in getattr(said, "values", {}).items() if number is not None}
    return said.type, given, getattr(said, "cancel", False), said.encounter_id, said.unit, said.bed


def of_the_board(value):
    try:
        said = read_event(value)
    except UNREADABLE:
        return None
    return said.type, said.values, said.cancel, said.encounter_id, said.unit, said.bed


@pytest.mark.parametrize("tail", TAILS, ids=[tail[:40] for tail in TAILS])
def test_the_board_reads_what_the_worker_uses(tail):
    value = (HEAD + tail).encode()
    assert of_the_board(value) == of_the_worker(value)


@pytest.mark.parametrize("odd", [None, "98%", True, math.nan])
def test_an_odd_value_does_not_keep_the_others_off_the_board(odd):
    board = Board()
    board.score(records(score("p", 0.5, 5)))
    board.observe(records(observation("p", 0, HR=80, Temp=37), observation("p", 1, HR=140, Temp=odd)))
    assert board.beds()[0].vitals == {"heart_rate": 140, "temperature": 37}


def test_an_odd_bed_does_not_keep_the_values_off_the_board() -> None:
    board = Board()
    board.score(records(score("p", 0.5, 5)))
    board.observe(records(event("observation", "p", values={"HR": 140}, unit="ICU", bed=7)))
    (bed,) = board.beds()
    assert (bed.vitals, bed.unit, bed.bed) == ({"heart_rate": 140}, "ICU", None)
