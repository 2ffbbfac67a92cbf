"""The worker of a model change: it makes the states of the new model behind the running group."""

from __future__ import annotations

from collections.abc import Set

from stream.rewarm.changelog_only_sink import ChangelogOnlySink
from stream.rewarm.following_source import FollowingSource, Leader
from stream.rewarm.skipping_decoder import SkippingDecoder
from stream.settings import Settings
from stream.worker.assembly import Variant
from stream.worker.publishing import Encoder
from stream.worker.worker import Worker


def build_follower(
    settings: Settings, leader: Leader, encoder: Encoder, refused: Set[tuple[int, int]]
) -> Worker:
    """A worker that never runs ahead of the group whose committed offsets `leader` returns, and makes states
    alone: `encoder` sees its scores, and nothing but the changelog is written. refused: partition and offset
    of records to pass over. Raises as `Worker`."""
    skipping = SkippingDecoder(settings.max_event_bytes, settings.max_future, refused)
    return Worker(
        settings,
        Variant(
            source=lambda source: FollowingSource(source, leader),
            decoder=lambda _: skipping,
            encoder=lambda _: encoder,
            sink=ChangelogOnlySink,
            follows=True,
        ),
    )
