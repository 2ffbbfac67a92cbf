import pytest

from model.variables import INDEX, NAMES, STATIC_RANGES, STATICS, VARIABLES, VITAL_SIGNS


def luhn_check_digit(digits: str) -> int:
    """LOINC User's Guide, appendix C: mod 10, doubling every second digit from the right."""
    total = 0
    for position, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (2 if position % 2 == 0 else 1)
        total += doubled // 10 + doubled % 10
    return -total % 10


CODED = [variable for variable in VARIABLES if variable.loinc is not None]


@pytest.mark.parametrize("variable", CODED, ids=lambda variable: variable.name)
def test_loinc_code_has_its_check_digit(variable):
    digits, check = variable.loinc.split("-")
    assert int(check) == luhn_check_digit(digits)


def test_only_ventilation_has_no_loinc_code() -> None:
    assert {variable.name for variable in VARIABLES} - {variable.name for variable in CODED} == {"MechVent"}


def test_codes_and_names_are_unique() -> None:
    assert len(set(NAMES)) == len(NAMES) == 37
    assert len({variable.loinc for variable in CODED}) == len(CODED)
    mdc = [variable.mdc for variable in VARIABLES if variable.mdc is not None]
    assert len({term.code for term in mdc}) == len({term.refid for term in mdc}) == len(mdc)


def test_mdc_codes_are_of_the_scada_partition() -> None:
    """IEEE 11073-10101: context-free code = partition * 2**16 + term code; SCADA is partition 2."""
    assert all(variable.mdc.code >> 16 == 2 for variable in VARIABLES if variable.mdc is not None)


def test_index_is_the_order_of_the_table() -> None:
    assert [INDEX[variable.name] for variable in VARIABLES] == list(range(37))


def test_ranges_are_ordered() -> None:
    for variable in VARIABLES:
        assert variable.low <= variable.trained.low <= variable.trained.high <= variable.high
        assert variable.low < variable.high
    assert all(static.low < static.high for static in STATIC_RANGES.values())
    assert set(STATIC_RANGES) < set(STATICS)


def test_vital_signs_are_made_of_variables() -> None:
    for sign in VITAL_SIGNS:
        assert sign.variables
        assert set(sign.variables) <= set(NAMES)
        assert sign.stale_after_hours > 0


SURVIVED = {
    "HR": [0, 340],
    "RespRate": [0],
    "SysABP": [12, 330],
    "Temp": [13.7, 46.5],
    "SaO2": [15],
    "FiO2": [0.16, 0.2095],
    "MechVent": [0, 1],
    "pH": [6.38],
    "PaCO2": [250],
    "HCT": [4, 85],
    "Glucose": [2656],
    "Creatinine": [38],
    "Na": [85, 196],
    "TroponinI": [500],
    "TroponinT": [60],
    "Platelets": [0],
    "WBC": [0, 1200],
    "Weight": [18, 635],
}
OTHER_UNITS = {
    "NISysABP": [16],
    "Temp": [95, 98.6, 104],
    "SaO2": [0.97],
    "FiO2": [21, 40, 100],
    "pH": [40],
    "PaO2": [13],
    "HCT": [0.45],
    "Glucose": [5.5],
    "Creatinine": [45, 80],
    "Albumin": [30, 45],
    "K": [156],
    "Platelets": [150_000],
    "WBC": [8000],
}


def plausible(name, value):
    return VARIABLES[INDEX[name]].low <= value <= VARIABLES[INDEX[name]].high


@pytest.mark.parametrize(("name", "value"), [(name, one) for name, some in SURVIVED.items() for one in some])
def test_arrest_and_what_was_survived_are_plausible(name, value):
    assert plausible(name, value)


@pytest.mark.parametrize(
    ("name", "value"), [(name, one) for name, some in OTHER_UNITS.items() for one in some]
)
def test_a_usual_value_in_another_unit_is_implausible(name, value):
    assert not plausible(name, value)
