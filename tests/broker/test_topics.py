"""Topics that are made as wanted are as wanted, on the real Kafka."""

from __future__ import annotations

import time
from contextlib import closing

import pytest

from stream.kafka.clients import ADMINS, make_admin
from stream.kafka.topics import examine, specs
from stream.settings import load


@pytest.mark.parametrize("client", ADMINS)
def test_topics_are_made_as_wanted(kafka: str, client: str) -> None:
    prefix = f"topics-{time.time_ns()}"
    named = {
        f"{one}_topic": f"{prefix}.{one}" for one in ("observations", "scores", "alerts", "dead_letters")
    }
    flags = {"bootstrap_servers": kafka, "client": client, "application_id": prefix} | named
    settings = load(flags, environment={})
    with closing(make_admin(settings)) as admin:
        assert [fault.fatal for fault in examine(settings, admin)] == [True] * 5
        admin.create(specs(settings, 3, 1))
        assert examine(settings, admin) == []
