from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from stream.errors import SettingsError
from stream.settings import PREFIX, Settings, load

SECRET = "correct-horse-battery-staple"
SASL = {"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "sasl_username": "worker"}
TEXTS = {
    "application_id": st.from_regex(r"[A-Za-z0-9._-]{1,50}", fullmatch=True),
    "max_batch": st.integers(1, 1_000_000),
    "max_wait": st.floats(0, 100),
    "device": st.sampled_from(["auto", "cpu", "cuda"]),
    "client": st.sampled_from(["librdkafka", "kafka-python"]),
    "observations_topic": st.from_regex(r"in-[a-z0-9._-]{1,50}", fullmatch=True),
}
some_settings = st.fixed_dictionaries({}, optional=TEXTS)


def refusal(environment: dict[str, str] | None = None, config: Path | None = None, **flags: object) -> str:
    with pytest.raises(SettingsError) as caught:
        load(flags, config, environment or {})
    return str(caught.value)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(environment=some_settings, file=some_settings, flags=some_settings)
def test_a_flag_wins_over_the_file_and_the_file_over_the_environment(
    tmp_path: Path, environment: dict[str, object], file: dict[str, object], flags: dict[str, object]
) -> None:
    config = tmp_path / "settings.toml"
    config.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in file.items()))
    variables = {PREFIX + name.upper(): str(value) for name, value in environment.items()}
    not_given = dict.fromkeys(TEXTS.keys() - flags.keys())

    read = load(not_given | flags, config, variables)

    for name in TEXTS:
        default = Settings.model_fields[name].default
        wanted = flags.get(name, file.get(name, environment.get(name, default)))
        assert getattr(read, name) == wanted


def test_the_environment_can_name_the_file(tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text("max_batch = 7")
    assert load(environment={"VITALSTREAM_CONFIG": str(config)}).max_batch == 7


def test_a_secret_comes_from_a_file_too(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text(f"{SECRET}\n")
    read = load(SASL, environment={"VITALSTREAM_SASL_PASSWORD_FILE": str(secret)})
    assert read.connection().sasl_password == SECRET


def test_overrides_are_pairs_in_the_environment_and_a_table_in_the_file(tmp_path: Path) -> None:
    wanted = {"socket.timeout.ms": "500", "debug": "broker"}
    config = tmp_path / "settings.toml"
    config.write_text('[client_overrides]\n"socket.timeout.ms" = "500"\ndebug = "broker"')
    pairs = {"VITALSTREAM_CLIENT_OVERRIDES": "socket.timeout.ms=500, debug=broker"}
    assert load(config=config, environment={}).connection().overrides == wanted
    assert load(environment=pairs).connection().overrides == wanted


@pytest.mark.parametrize(
    ("named", "environment", "flags"),
    [
        ("VITALSTREAM_MAX_BACH", {"VITALSTREAM_MAX_BACH": "7"}, {}),
        ("VITALSTREAM_CLIENT_OVERRIDES", {"VITALSTREAM_CLIENT_OVERRIDES": SECRET}, {}),
        ("max_bach", {}, {"max_bach": 7}),
        ("max_batch", {"VITALSTREAM_MAX_BATCH": SECRET}, {}),
        ("max_batch", {}, {"max_batch": 0}),
        ("max_future", {"VITALSTREAM_MAX_FUTURE": "inf"}, {}),
        ("max_wait", {"VITALSTREAM_MAX_WAIT": "nan"}, {}),
        ("device", {}, {"device": SECRET}),
        ("application_id", {}, {"application_id": f"{SECRET}!"}),
        ("client_overrides.debug", {}, {"client_overrides": {"debug": 7}}),
        ("max_resident_patients", {}, {"max_batch": 100, "max_resident_patients": 99}),
        ("initial_resident_patients", {}, {"max_resident_patients": 5000, "initial_resident_patients": 5001}),
        ("sasl_username", {}, {"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN"}),
        ("sasl_mechanism", {}, {"security_protocol": "SSL", "sasl_mechanism": "PLAIN"}),
        ("sasl_password", {}, {"sasl_password": SECRET}),
        ("ssl_ca_location", {}, {"ssl_ca_location": SECRET}),
        ("ssl_key_password", {}, SASL | {"security_protocol": "SASL_PLAINTEXT", "ssl_key_password": SECRET}),
        ("scores_topic", {}, {"scores_topic": SECRET, "dead_letters_topic": SECRET}),
        ("observations_topic", {}, {"observations_topic": SECRET, "scores_topic": SECRET}),
    ],
)
def test_what_is_wrong_is_named_without_its_value(
    named: str, environment: dict[str, str], flags: dict[str, object]
) -> None:
    message = refusal(environment, **flags)
    assert named in message
    assert SECRET not in message


def test_every_wrong_setting_is_named_at_once() -> None:
    message = refusal(max_batch="many", threads="some", nonsense=1)
    assert all(name in message for name in ("max_batch", "threads", "nonsense"))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (f'max_bach = "{SECRET}"', "max_bach"),
        (f'max_batch = "{SECRET}"', "max_batch"),
        (f'[client_overrides]\ndebug = ["{SECRET}"]', "client_overrides.debug"),
        (f"sasl_password = {SECRET}", "settings.toml"),
        (f'sasl_password = "{SECRET}', "settings.toml"),
        (f'sasl_password = "{SECRET}"\nsasl_password = "{SECRET}"', "settings.toml"),
        (f'"{SECRET}\\q" = 1', "settings.toml"),
    ],
)
def test_a_wrong_file_is_an_error_without_its_values(tmp_path: Path, text: str, named: str) -> None:
    config = tmp_path / "settings.toml"
    config.write_text(text)
    message = refusal(config=config)
    assert named in message
    assert SECRET not in message


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    assert str(missing) in refusal(config=missing)
    assert str(binary) in refusal(config=binary)
    for secret in (missing, binary):
        variable = "VITALSTREAM_SASL_PASSWORD_FILE"
        assert variable in refusal({variable: str(secret)})


def test_a_secret_given_twice_is_an_error(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text(SECRET)
    variables = {"VITALSTREAM_SASL_PASSWORD": "x", "VITALSTREAM_SASL_PASSWORD_FILE": str(secret)}
    for environment in (variables, dict(reversed(variables.items()))):
        message = refusal(environment)
        assert "SASL_PASSWORD" in message
        assert SECRET not in message


def test_shown_settings_and_connections_hold_no_secret() -> None:
    secret = {"sasl_password": SECRET, "ssl_key_password": SECRET}
    overrides = {"sasl.oauthbearer.client.secret": SECRET}
    read = load(SASL | secret | {"client_overrides": overrides}, environment={})
    for shown in (read.model_dump_json(), repr(read), str(read), repr(read.connection())):
        assert SECRET not in shown
    assert json.loads(read.model_dump_json())["sasl_username"] == "worker"
    assert "sasl.oauthbearer.client.secret" in read.model_dump_json()


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_says_what_it_is(name: str) -> None:
    description = Settings.model_fields[name].description
    assert description
    assert description.endswith(".")
