"""JSON Schemas of the public contracts and the AsyncAPI document, generated from the pydantic models.

    python -m tools.schemas [FOLDER]

writes them (default: `deploy/schemas`). It needs PyYAML, which only the `dev` extra installs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter

from model.variables import VARIABLES
from stream.columns.events import Code
from stream.columns.records import ERROR_PREFIX
from stream.contracts.alerts import Alert
from stream.contracts.events import PATIENT_EVENT
from stream.contracts.scores import RiskScore
from stream.metrics import STAGES
from stream.settings import Settings

FOLDER = Path(__file__).resolve().parent.parent / "deploy" / "schemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
CONTRACTS: dict[str, TypeAdapter[Any]] = {
    "PatientEvent": PATIENT_EVENT,
    "RiskScore": TypeAdapter(RiskScore),
    "Alert": TypeAdapter(Alert),
}
SUMMARIES = {
    "PatientEvent": "What was measured of a patient, or that a stay begins, moves, ends, or goes on.",
    "RiskScore": "The risk after one event: one for each accepted observation or admission.",
    "Alert": "A patient needs a look, or no longer does.",
    "DeadLetter": "A refused record: its bytes, key, time and headers, and after these the reason.",
}


def render() -> dict[str, str]:
    """File name → text of every generated file."""
    files = {f"{_stem(name)}.schema.json": _json(schema(name)) for name in CONTRACTS}
    return files | {"asyncapi.yaml": _yaml(asyncapi())}


def schema(name: str) -> dict[str, Any]:
    """JSON Schema (2020-12) of the contract `name`, as seen by those who write or read the topic."""
    adapter = CONTRACTS[name]
    generated = adapter.json_schema(mode="validation" if name == "PatientEvent" else "serialization")
    if name == "PatientEvent":
        generated["$defs"]["Observation"]["properties"]["values"]["properties"] = {
            variable.name: {
                "type": ["number", "null"],
                "description": f"{variable.label}, {variable.unit}; "
                f"dropped unless {variable.low:g} to {variable.high:g}",
            }
            for variable in VARIABLES
        }
    return {"$schema": DIALECT, "$id": f"urn:vitalstream:{_stem(name)}:v1", "title": name} | generated


def asyncapi() -> dict[str, Any]:
    """AsyncAPI 3.0: which messages stand in which topics, under their default names."""
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    topics = {
        "observations": (defaults["observations_topic"], "PatientEvent", "receive"),
        "riskScores": (defaults["scores_topic"], "RiskScore", "send"),
        "alerts": (defaults["alerts_topic"], "Alert", "send"),
        "deadLetters": (defaults["dead_letters_topic"], "DeadLetter", "send"),
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "vitalstream",
            "version": "1",
            "description": "Patient events in, risk scores out, over Kafka. Topic names are the defaults of "
            "the worker's settings. Every topic has as many partitions as the observations; records are "
            "partitioned by the key with murmur2, as the Java client does. For research and engineering: "
            "not a medical device.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            channel: {
                "address": address,
                "messages": {message: _ref(f"components/messages/{message}")},
                "bindings": {"kafka": {"topic": address, "bindingVersion": "0.5.0"}},
            }
            for channel, (address, message, _) in topics.items()
        },
        "operations": {
            f"{action}{channel[0].upper()}{channel[1:]}": {
                "action": action,
                "channel": _ref(f"channels/{channel}"),
                "messages": [_ref(f"channels/{channel}/messages/{message}")],
            }
            for channel, (_, message, action) in topics.items()
        },
        "components": {
            "messages": {name: _message(name) for name in SUMMARIES},
            "schemas": {"key": {"type": "string", "description": "The patient id, in UTF-8."}},
        },
    }


def _message(name: str) -> dict[str, Any]:
    message: dict[str, Any] = {
        "name": name,
        "summary": SUMMARIES[name],
        "bindings": {"kafka": {"key": _ref("components/schemas/key"), "bindingVersion": "0.5.0"}},
    }
    if name == "DeadLetter":
        message["contentType"] = "application/octet-stream"
        message["headers"] = _dead_letter_headers()
    else:
        message["payload"] = {"$ref": f"./{_stem(name)}.schema.json"}
    return message


def _dead_letter_headers() -> dict[str, Any]:
    number = {"type": "string", "pattern": "^[0-9]+$"}
    headers = {
        "code": {"type": "string", "enum": [code.value for code in Code], "description": "Why."},
        "stage": {"type": "string", "enum": list(STAGES), "description": "Where it was refused."},
        "topic": {"type": "string", "description": "Topic that the record came from."},
        "partition": number | {"description": "Its partition."},
        "offset": number | {"description": "Its offset."},
        "at": number | {"description": "When it was refused, in ms since the Unix epoch."},
    }
    size = number | {"description": "Only where the record was too large to go with its value: its size."}
    return {
        "type": "object",
        "properties": {
            ERROR_PREFIX + name: field for name, field in (headers | {"value_bytes": size}).items()
        },
        "required": [ERROR_PREFIX + name for name in headers],
    }


def _ref(path: str) -> dict[str, str]:
    return {"$ref": f"#/{path}"}


def _stem(name: str) -> str:
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("-")


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _yaml(document: dict[str, Any]) -> str:
    heading = "# Generated by `python -m tools.schemas`; do not edit.\n"
    return heading + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in render().items():
        (folder / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
