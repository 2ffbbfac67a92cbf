"""Tables as a hospital has them: read whatever the spreadsheet made of them, refused by column and row."""

import csv
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.datasets.tables import read_outcomes, read_statics
from model.errors import DatasetError

DIED = "In-hospital_death"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "table.csv"


@pytest.fixture(scope="module")
def anywhere(tmp_path_factory):
    return tmp_path_factory.mktemp("tables") / "table.csv"


@pytest.mark.parametrize("separator", [",", ";", "\t"], ids=["comma", "semicolon", "tab"])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "BOM"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_outcomes_are_read_as_spreadsheets_write_them(path, separator, mark, end):
    rows = [["RecordID", "Ward", DIED], ["9434765000", "1", "0"], ["MRN-17", "2", "1.0"]]
    rows += [["00123", "", "TRUE"], [" 123 ", "3", "false"], ["", "", ""], ["Łukasz, 7; b", "4", "0.0"]]
    text = io.StringIO()
    csv.writer(text, delimiter=separator, lineterminator=end).writerows(rows)
    path.write_text(mark + text.getvalue(), "utf-8", newline="")
    read = read_outcomes(path)
    assert dict(zip(read.ids, read.values.tolist(), strict=True)) == {
        "9434765000": False,
        "MRN-17": True,
        "00123": True,
        "123": False,
        "Łukasz, 7; b": False,
    }


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1).map(str.strip)


@given(st.dictionaries(NAMES.filter(bool), st.booleans(), min_size=1), st.sampled_from(",;\t"))
def test_every_id_is_read_as_it_is_written(anywhere, died, separator):
    with anywhere.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, delimiter=separator)
        rows.writerows([["RecordID", DIED], *((patient, int(death)) for patient, death in died.items())])
    read = read_outcomes(anywhere)
    assert dict(zip(read.ids, read.values.tolist(), strict=True)) == died


SAID = [
    ("", f"has no column RecordID, {DIED}"),
    ("Patient,Outcome\nSECRET,1\n", f"has no column RecordID, {DIED}"),
    (f"Patient,{DIED}\nSECRET,1\n", "has no column RecordID"),
    ("RecordID\nSECRET\n", f"has no column {DIED}"),
    (f"RecordID,{DIED}\n", "there must be a patient"),
    (f"RecordID,{DIED}\n1,0\n2,0\nSECRET,SECRET\n", f"column {DIED} must hold 0 or 1: row 4"),
    (f"RecordID,{DIED}\n1,0\n\nSECRET,\n", f"column {DIED} must hold 0 or 1: row 4"),
    (f"RecordID,{DIED}\nSECRET\n", f"column {DIED} must hold 0 or 1: row 2"),
    (f"RecordID,{DIED}\n1,2\n", f"column {DIED} must hold 0 or 1: row 2"),
    (f"RecordID,{DIED}\n1,0\n  ,1\n", "column RecordID must hold a patient's id: row 3"),
    (f"RecordID,{DIED}\nSECRET,0\n2,0\nSECRET,1\n", "two outcomes: the second is in row 4"),
    (f"RecordID,{DIED},{DIED}\nSECRET,0,1\n", f"has more than one column {DIED}"),
]


@pytest.mark.parametrize(("text", "said"), SAID)
def test_what_is_wrong_is_named_by_column_and_row_and_not_by_what_stands_there(path, text, said):
    path.write_text(text)
    with pytest.raises(DatasetError) as error:
        read_outcomes(path)
    assert str(error.value).startswith(str(path)) and str(error.value).endswith(said)
    assert "SECRET" not in str(error.value)


@pytest.mark.parametrize(
    "content", ["RecordID;Größe".encode("cp1252"), b"\xff\xfeR\x00", b"RecordID,In-hospital_death\n\xff,1\n"]
)
def test_another_encoding_is_named(path, content):
    path.write_bytes(content)
    with pytest.raises(DatasetError, match="is not a CSV file in UTF-8"):
        read_outcomes(path)


def test_the_same_outcome_twice_is_one(path):
    path.write_text(f"RecordID,{DIED}\na,1\na,1\n")
    assert read_outcomes(path).ids == ["a"]


def test_statics_of_a_table_of_patients(path):
    path.write_text("\ufeffRecordID;Age;Gender;ICUType;Height\n008;71;1;3;180\n9;;-1;2;170\n", "utf-8")
    statics = read_statics(path)
    assert statics.ids == ["008", "9"]
    np.testing.assert_array_equal(statics.values, [[71, 1, np.nan, np.nan, 3], [np.nan] * 4 + [2]])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no column RecordID, Age, Gender, ICUType"),
        ("RecordID,Age,Gender,ICUType\n", "there must be a patient"),
        ("RecordID,Age\n1,2\n", "has no column Gender, ICUType"),
        ("RecordID,Age,Gender,ICUType\n1,2,1,1\n2,SECRET,1,1\n", "column Age must hold numbers: row 3"),
    ],
)
def test_other_tables_are_no_patients(path, text, said):
    path.write_text(text)
    with pytest.raises(DatasetError, match=said) as error:
        read_statics(path)
    assert "SECRET" not in str(error.value)


def test_a_patient_is_described_in_one_way(path):
    path.write_text("RecordID,Age,Gender,ICUType\n7,60,1,2\nSECRET,60,1,2\nSECRET,60,1,2\n")
    assert read_statics(path).ids == ["7", "SECRET", "SECRET"]
    path.write_text("RecordID,Age,Gender,ICUType\n7,60,1,2\nSECRET,60,1,2\nSECRET,,1,2\n")
    with pytest.raises(DatasetError, match="described in two ways: the second is in row 4") as error:
        read_statics(path)
    assert "SECRET" not in str(error.value)
