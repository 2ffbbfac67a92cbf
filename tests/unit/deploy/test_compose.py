"""docker-compose.yml and the Dockerfile, as far as they can be checked without Docker."""

from __future__ import annotations

import json
import os
import re
import urllib.request
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from typer.main import get_command

from stream.cli.main import COMMANDS, application
from stream.environment import NOT_SETTINGS
from stream.settings import Settings, load
from tests.broker.server import IMAGE

ROOT = Path(__file__).resolve().parents[3]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if "build" in service]
DOCKERFILE = (ROOT / "deploy" / "docker" / "Dockerfile").read_text("utf-8")
VARIABLE = re.compile(r"VITALSTREAM_[A-Z0-9_]+")


def test_every_variable_is_a_setting() -> None:
    files = [ROOT / "docker-compose.yml", *(path for path in (ROOT / "deploy").rglob("*") if path.is_file())]
    texts = [path.read_text("utf-8", errors="ignore") for path in files]
    found = {variable for text in texts for variable in VARIABLE.findall(text)} - NOT_SETTINGS
    known = {f"VITALSTREAM_{name.upper()}" for name in Settings.model_fields}
    assert found
    assert found <= known | {f"{name}_FILE" for name in known}


@pytest.mark.parametrize("service", OURS)
def test_environment_is_accepted(service: str) -> None:
    settings = load(environment=SERVICES[service]["environment"])
    assert settings.bootstrap_servers == "kafka:19092"


@pytest.mark.parametrize("service", OURS)
def test_command_is_one_of_ours(service: str) -> None:
    command, arguments = get_command(application(*COMMANDS)), list(SERVICES[service]["command"])
    while hasattr(command, "commands"):
        command = command.commands[arguments.pop(0)]
    command.make_context(service, arguments)


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_names_is_there(name: str) -> None:
    service = SERVICES[name]
    assert re.search(r":[\w.]+$", service["image"]) and not service["image"].endswith(":latest")
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        assert (ROOT / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]
    if "build" in service:
        assert (ROOT / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
        assert all(f"ARG {argument}=" in DOCKERFILE for argument in service["build"]["args"])


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_waits_for_services_that_can_tell(name: str) -> None:
    depends = SERVICES[name].get("depends_on", {})
    for other in depends:
        condition = depends[other]["condition"] if isinstance(depends, dict) else "service_started"
        assert condition != "service_healthy" or "test" in SERVICES[other]["healthcheck"]
        assert condition != "service_completed_successfully" or SERVICES[other]["restart"] == "no"


def test_compose_the_local_script_and_the_tests_run_one_version_of_kafka() -> None:
    pom = ElementTree.parse(ROOT / "deploy" / "kafka" / "pom.xml").getroot()
    space = {"m": "http://maven.apache.org/POM/4.0.0"}
    versions = [
        dependency.findtext("m:version", namespaces=space)
        for dependency in pom.iterfind(".//m:dependency", space)
        if dependency.findtext("m:groupId", namespaces=space) == "org.apache.kafka"
    ]
    assert set(versions) == {versions[0]}
    assert SERVICES["kafka"]["image"] == IMAGE == f"apache/kafka:{versions[0]}"


def test_prometheus_scrapes_the_port_at_which_the_worker_listens() -> None:
    prometheus = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text("utf-8"))
    (found,) = prometheus["scrape_configs"][0]["dns_sd_configs"]
    assert all(name in SERVICES for name in found["names"])
    assert found["port"] == load(environment=SERVICES["worker"]["environment"]).metrics_port
    assert SERVICES["worker"]["expose"] == [str(found["port"])]
    assert f"EXPOSE {Settings().metrics_port}" in DOCKERFILE


def test_image_copies_what_exists_and_what_the_ignore_file_lets_through() -> None:
    copied = [
        source
        for line in DOCKERFILE.splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    ]
    ignore = (ROOT / "deploy" / "docker" / "Dockerfile.dockerignore").read_text("utf-8").split()
    assert copied and all((ROOT / source).exists() for source in copied)
    assert {line.removeprefix("!") for line in ignore if line.startswith("!")} == set(copied)


def test_image_does_not_run_as_root() -> None:
    final = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.search(r"^USER [1-9]\d*$", final, re.MULTILINE)
    assert "/healthz" in final


def test_vitalstream_itself_is_the_first_process_of_the_image() -> None:
    (entrypoint,) = re.findall(r"^ENTRYPOINT (.*)$", DOCKERFILE, re.MULTILINE)
    assert json.loads(entrypoint) == ["vitalstream"]


@pytest.mark.parametrize(("variable", "port"), [(None, 9464), ("", 9464), ("9000", 9000)])
def test_the_health_of_the_image_is_asked_at_the_port_of_the_settings(
    monkeypatch: pytest.MonkeyPatch, variable: str | None, port: int
) -> None:
    environment = {} if variable is None else {"VITALSTREAM_METRICS_PORT": variable}
    monkeypatch.setattr(os, "environ", environment)
    asked: list[str] = []
    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: asked.append(url))
    (command,) = re.findall(r"HEALTHCHECK .*?CMD (\[.*?\])$", DOCKERFILE, re.MULTILINE | re.DOTALL)
    exec(json.loads(command)[2])
    assert asked == [f"http://127.0.0.1:{port}/healthz"]
    assert load(environment=environment).metrics_port == port
