"""What is said of an error: enough to find its cause, and no patient."""

from __future__ import annotations

import pytest

from stream.errors import BrokerError, StateError, describe

CANARY = "canary-patient-4711"


def failing(error: BaseException) -> BaseException:
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.value


def test_a_foreign_error_shows_its_type_and_place_but_no_message() -> None:
    text = describe(failing(KeyError(CANARY)))
    assert text.startswith("KeyError at tests/unit/test_errors.py:")
    assert text.endswith("in failing")
    assert CANARY not in text


def test_an_own_error_shows_its_message() -> None:
    assert describe(StateError("the state is damaged")) == "the state is damaged"


def test_an_operating_system_error_says_what_the_system_said_and_no_file() -> None:
    with pytest.raises(OSError) as caught:
        open(f"/no/such/{CANARY}")  # noqa: PTH123, SIM115
    text = describe(caught.value)
    assert "FileNotFoundError (No such file or directory) at" in text
    assert CANARY not in text


def test_causes_are_named_and_a_suppressed_context_is_not() -> None:
    def translate(*, keep: bool) -> None:
        try:
            raise ValueError(CANARY)
        except ValueError as error:
            raise BrokerError("the broker refused") from (error if keep else None)

    with pytest.raises(BrokerError) as kept:
        translate(keep=True)
    with pytest.raises(BrokerError) as dropped:
        translate(keep=False)
    cause = "ValueError at tests/unit/test_errors.py"
    assert describe(kept.value).startswith(f"the broker refused; caused by {cause}")
    assert CANARY not in describe(kept.value)
    assert describe(dropped.value) == "the broker refused"


def test_a_chain_that_leads_back_to_itself_ends() -> None:
    one, other = RuntimeError(), RuntimeError()
    one.__cause__, other.__cause__ = other, one
    assert describe(one) == "RuntimeError; caused by RuntimeError"
