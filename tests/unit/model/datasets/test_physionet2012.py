import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.datasets import physionet2012
from model.datasets.stays import drop_implausible
from model.errors import DatasetError
from model.variables import INDEX, STATICS

DATA = Path(os.environ.get("VITALSTREAM_DATA", "../shared/data"))

FILES = {
    132539: """Time,Parameter,Value
00:00,RecordID,132539
00:00,Age,54
00:00,Gender,0
00:00,Height,-1
00:00,ICUType,4
00:00,Weight,-1
00:00,Weight,81.5
00:07,GCS,15
00:07,HR,73
00:07,HR,75
01:37,HR,0
48:00,Temp,36.6
""",
    132540: """Time,Parameter,Value
00:00,RecordID,132540
00:00,Age,76
00:00,Gender,1
00:00,Height,175.3
00:00,ICUType,2
00:00,Weight,76
""",
}


def write_texts(data: Path) -> None:
    folder = data / "physionet2012" / "set-a"
    folder.mkdir(parents=True)
    for record, text in FILES.items():
        (folder / f"{record}.txt").write_text(text)
    outcomes = "RecordID,SAPS-I,In-hospital_death\n132539,6,0\n132540,16,1\n"
    (data / "physionet2012" / "Outcomes-a.txt").write_text(outcomes)


def write_parquet(data: Path) -> None:
    folder = data / "physionet2012"
    folder.mkdir(parents=True)
    rows = [
        (record, 60 * int(time[:2]) + int(time[3:]), parameter, float(value))
        for record, text in FILES.items()
        for time, parameter, value in (line.split(",") for line in text.splitlines()[1:])
    ]
    columns = list(zip(*rows, strict=True))
    table = pa.table(
        {
            "record_id": pa.array(columns[0], pa.int32()),
            "minute": pa.array(columns[1], pa.int32()),
            "parameter": pa.array(columns[2]).dictionary_encode(),
            "value": pa.array(columns[3], pa.float32()),
        }
    )
    pq.write_table(table, folder / "observations_a.parquet")


@pytest.fixture(params=[write_texts, write_parquet])
def stays(request, tmp_path):
    request.param(tmp_path)
    return physionet2012.read(tmp_path, "a")


def test_an_event_is_all_of_one_minute_and_the_last_value_counts(stays):
    assert stays.record_ids.tolist() == [132539, 132540]
    assert stays.starts.tolist() == [0, 4, 4]
    assert stays.minutes.tolist() == [0, 7, 97, 2880]
    measured = [{name: row[i] for name, i in INDEX.items() if np.isfinite(row[i])} for row in stays.values]
    assert measured == [{"Weight": 81.5}, {"GCS": 15, "HR": 75}, {"HR": 0}, {"Temp": np.float32(36.6)}]


def test_descriptors_are_statics_as_recorded(stays):
    assert dict(zip(STATICS, stays.statics[0].tolist(), strict=True)) == {
        "age": 54,
        "sex": 0,
        "height": -1,
        "weight": -1,
        "unit_type": 4,
    }
    cleaned = drop_implausible(stays)
    assert np.isnan(cleaned.statics[0]).tolist() == [False, False, True, True, False]
    assert np.isnan(cleaned.values[2]).all()


def test_published_outcomes_are_read(tmp_path):
    write_texts(tmp_path)
    outcomes = physionet2012.read_outcomes(physionet2012.outcomes_path(tmp_path, "a"))
    assert outcomes.record_ids.tolist() == [132539, 132540]
    assert outcomes.died.tolist() == [False, True]


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(DatasetError, match="no set 'c'"):
        physionet2012.read(tmp_path, "c")
    with pytest.raises(DatasetError, match="cannot read outcomes"):
        physionet2012.read_outcomes(tmp_path / "outcomes.csv")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "RecordID\n1\n",
        "RecordID,In-hospital_death\n1,x\n",
        "RecordID,In-hospital_death\n1,2\n",
        "RecordID,In-hospital_death\n1,0\n1,1\n",
        "RecordID,In-hospital_death\n99999999999,1\n",
    ],
)
def test_other_tables_are_no_outcomes(tmp_path, text):
    (tmp_path / "outcomes.csv").write_text(text)
    with pytest.raises(DatasetError):
        physionet2012.read_outcomes(tmp_path / "outcomes.csv")


@pytest.mark.parametrize("write", [write_texts, write_parquet])
@pytest.mark.parametrize("name", ["Outcomes-a.txt", "outcomes_a.csv"])
def test_statics_lie_beside_their_outcomes(tmp_path, write, name):
    write(tmp_path)
    statics = physionet2012.statics_beside(tmp_path / "physionet2012" / name)
    assert statics.ids == ["132539", "132540"]
    np.testing.assert_array_equal(statics.values[0], [54, 0, np.nan, np.nan, 4])


@pytest.mark.parametrize("name", ["Outcomes-b.txt", "Outcomes-a.csv.bak", "mine.csv"])
def test_other_outcomes_have_no_statics_beside_them(tmp_path, name):
    write_texts(tmp_path)
    assert physionet2012.statics_beside(tmp_path / "physionet2012" / name) is None


def test_damaged_files_are_refused(tmp_path):
    write_texts(tmp_path)
    (tmp_path / "physionet2012" / "set-a" / "132541.txt").write_text("Time,Parameter,Value\n7,HR,80\n")
    with pytest.raises(DatasetError, match=r"set-a: file \d by name"):
        physionet2012.read(tmp_path, "a")
    (tmp_path / "physionet2012" / "observations_a.parquet").write_bytes(b"PAR1 no table")
    with pytest.raises(DatasetError, match="observations_a"):
        physionet2012.read(tmp_path, "a")


@pytest.mark.skipif(
    not (DATA / "physionet2012" / "observations_b.parquet").exists(), reason="PhysioNet 2012 is not there"
)
def test_set_b_has_its_known_size() -> None:
    """The data's README: 295,167 events with a measurement, 4,000 patients, 568 deaths."""
    stays = physionet2012.read(DATA, "b")
    outcomes = physionet2012.read_outcomes(physionet2012.outcomes_path(DATA, "b"))
    assert (len(stays), len(stays.minutes)) == (4000, 295_167)
    assert outcomes.of(stays.record_ids).sum() == 568
    assert stays.minutes.max() <= 2880
