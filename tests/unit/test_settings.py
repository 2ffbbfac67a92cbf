from __future__ import annotations

import json
import tomllib
import traceback
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from stream.environment import PREFIX
from stream.errors import SettingsError
from stream.settings import Settings, load

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
def test_a_flag_wins_over_the_environment_and_the_environment_over_the_file(
    tmp_path: Path, environment: dict[str, object], file: dict[str, object], flags: dict[str, object]
) -> None:
    config = tmp_path / "settings.toml"
    config.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in file.items()))
    variables = {PREFIX + name.upper(): str(value) for name, value in environment.items()}
    not_given = dict.fromkeys(TEXTS.keys() - flags.keys())

    read = load(not_given | flags, config, variables)

    for name in TEXTS:
        default = Settings.model_fields[name].default
        wanted = flags.get(name, environment.get(name, file.get(name, default)))
        assert getattr(read, name) == wanted


def service_links(service: str, address: str, ports: dict[int, tuple[str, str]]) -> dict[str, str]:
    """What kubelet adds to the environment of each container in the Service's namespace. ports: the name and
    the protocol of each number."""
    prefix = service.upper().replace("-", "_")
    links = {f"{prefix}_SERVICE_HOST": address, f"{prefix}_SERVICE_PORT": str(next(iter(ports)))}
    host = f"[{address}]" if ":" in address else address
    for number, (name, protocol) in ports.items():
        links[f"{prefix}_SERVICE_PORT_{name.upper().replace('-', '_')}"] = str(number)
        url = f"{protocol.lower()}://{host}:{number}"
        links.setdefault(f"{prefix}_PORT", url)
        links[f"{prefix}_PORT_{number}_{protocol}"] = url
        links[f"{prefix}_PORT_{number}_{protocol}_PROTO"] = protocol.lower()
        links[f"{prefix}_PORT_{number}_{protocol}_PORT"] = str(number)
        links[f"{prefix}_PORT_{number}_{protocol}_ADDR"] = address
    return links


LABEL = r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?"
SERVICES = st.one_of(
    st.just("vitalstream"),
    st.from_regex(LABEL, fullmatch=True).map("vitalstream-{}".format),
    st.sampled_from(list(Settings.model_fields)).map(lambda name: "vitalstream-" + name.replace("_", "-")),
    st.sampled_from(["vitalstream-metrics", "vitalstream-config", "vitalstream-data"]),
)
PORTS = st.dictionaries(
    st.integers(1, 65_535),
    st.tuples(st.from_regex(LABEL, fullmatch=True), st.sampled_from(["TCP", "UDP", "SCTP"])),
    min_size=1,
    max_size=3,
)


@given(service=SERVICES, address=st.ip_addresses().map(str), ports=PORTS)
@example(service="vitalstream", address="10.96.12.7", ports={9464: ("metrics", "TCP")})
@example(service="vitalstream-metrics", address="fd00::7", ports={9464: ("http", "TCP")})
def test_the_links_of_a_kubernetes_service_are_no_settings(
    service: str, address: str, ports: dict[int, tuple[str, str]]
) -> None:
    assert load(environment=service_links(service, address, ports)) == load(environment={})


def test_a_setting_is_one_though_a_service_uses_its_name() -> None:
    assert load(environment={"VITALSTREAM_METRICS_PORT": "9000"}).metrics_port == 9000


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("VITALSTREAM_MAX_BACH", "7"),
        ("VITALSTREAM_MAX_BACH", ""),
        ("VITALSTREAM_METRIC_PORT", "9464"),
        ("VITALSTREAM_METRICS_PORTS", "tcp://10.0.0.1:9464"),
        ("VITALSTREAM_SERVICE_HOST", "worker-7"),
        ("VITALSTREAM_SERVICE_PORT", "metrics"),
    ],
)
def test_a_typing_error_is_no_link_of_a_service(name: str, text: str) -> None:
    assert name in refusal({name: text})


def test_an_empty_variable_is_one_that_is_not_given(tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text("max_batch = 7")
    names = [f"{PREFIX}{name.upper()}" for name in Settings.model_fields]
    empty = dict.fromkeys([*names, *(f"{name}_FILE" for name in names), f"{PREFIX}CONFIG"], "")
    assert load(environment=empty) == load(environment={})
    assert load(config=config, environment=empty).max_batch == 7


@pytest.mark.parametrize("name", ["instance_id", "model", "bootstrap_servers"])
def test_an_empty_text_in_the_file_or_a_flag_is_an_error(tmp_path: Path, name: str) -> None:
    config = tmp_path / "settings.toml"
    config.write_text(f'{name} = ""')
    assert refusal(config=config) == refusal(**{name: ""}) == f"{name}: is empty"


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    config, secret = tmp_path / "settings.toml", tmp_path / "password"
    config.write_text("max_batch = 7", "utf-8-sig")
    secret.write_text(SECRET, "utf-8-sig")
    read = load(SASL, config, {"VITALSTREAM_SASL_PASSWORD_FILE": str(secret)})
    assert (read.max_batch, read.connection().sasl_password) == (7, SECRET)


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


def test_a_cause_is_kept_only_if_it_holds_no_value(tmp_path: Path) -> None:
    binary, wrong = tmp_path / "binary", tmp_path / "wrong"
    binary.write_bytes(f'sasl_password = "{SECRET}"'.encode() + b"\xff")
    wrong.write_text(f'sasl_password = "{SECRET}')
    for config, kind in ((binary, None), (wrong, tomllib.TOMLDecodeError), (tmp_path / "missing", OSError)):
        with pytest.raises(SettingsError) as caught:
            load(config=config, environment={})
        assert isinstance(caught.value.__cause__, kind or type(None))
        assert SECRET not in "".join(traceback.format_exception(caught.value)) + repr(caught.value.__cause__)


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
