"""Prometheus' configuration, alert rules and our metrics, checked by Prometheus' own tool."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import generate_latest

from stream.columns.events import Code
from stream.metrics import Metrics

FOLDER = Path(__file__).resolve().parents[3] / "deploy" / "prometheus"
RULES = FOLDER / "alerts.yml"
TESTS = Path(__file__).with_name("alerts.test.yml")


def promtool(*arguments: object, stdin: bytes = b"") -> str:
    tool = shutil.which("promtool")
    if tool is None:
        missing = "promtool is missing (Debian package `prometheus`)"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    done = subprocess.run([tool, *map(str, arguments)], input=stdin, capture_output=True)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    return (done.stdout + done.stderr).decode()


def metrics() -> Metrics:
    shown = Metrics()
    shown.describe_model("gru-64", "ab" * 32, "in_hospital_death")
    shown.show_lag({0: 1})
    shown.count_refused("decode", [Code.NOT_JSON])
    return shown


def test_configuration_is_valid() -> None:
    assert "SUCCESS" in promtool("check", "config", FOLDER / "prometheus.yml")


def test_rules_are_valid() -> None:
    assert "SUCCESS" in promtool("check", "rules", RULES)


def test_rules_fire_when_they_should_and_only_then() -> None:
    assert "SUCCESS" in promtool("test", "rules", TESTS)


def test_every_rule_has_a_case_that_fires() -> None:
    rules = {
        rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
    }
    cases = [
        case
        for test in yaml.safe_load(TESTS.read_text())["tests"]
        for case in test.get("alert_rule_test", [])
    ]
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == rules
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == rules


def test_metrics_are_named_as_prometheus_wants() -> None:
    assert promtool("check", "metrics", stdin=generate_latest(metrics().registry)) == ""


def test_rules_read_metrics_and_codes_that_exist() -> None:
    text = RULES.read_text()
    samples = {sample.name for family in metrics().registry.collect() for sample in family.samples}
    assert set(re.findall(r"\bvitalstream_\w+", text)) <= samples
    assert set(re.findall(r'code[!=]+"(\w+)"', text)) <= set(Code)
