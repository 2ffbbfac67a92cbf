"""Several processes that train one model: each takes its shard of every batch, all keep the same weights.

torchrun (or another launcher that sets RANK, WORLD_SIZE and LOCAL_RANK, and MASTER_ADDR and MASTER_PORT)
starts them. Without it a process is a group of one, and nothing here costs anything.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from model.errors import PeerError

PATIENCE = timedelta(hours=12)
"""How long a rank waits for the others: one of them may have a teacher to train. A rank that is gone is
noticed at once."""

CPU = torch.device("cpu")

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """This process's place among `size` ranks. device: where its model lies."""

    rank: int = 0
    size: int = 1
    device: torch.device = CPU

    @property
    def is_main(self) -> bool:
        """Whether this is the rank that writes files and reports progress."""
        return self.rank == 0

    @property
    def shard(self) -> slice:
        """This rank's items of any sequence: every `size`-th. Shards differ in length by one at most; some
        ranks have none of a short sequence."""
        return slice(self.rank, None, self.size)

    def parallel(self, model: nn.Module) -> nn.Module:
        """The model on the device of this rank; backward then averages gradients over the ranks."""
        model.to(self.device)
        if self.size == 1:
            return model
        return DistributedDataParallel(model)

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over the ranks."""
        if self.size > 1:
            for tensor in tensors:
                distributed.all_reduce(tensor)

    def total(self, value: float) -> float:
        """The sum of all ranks' values, the same on each."""
        summed = torch.tensor(value, dtype=torch.float64, device=self.device)
        self.add([summed])
        return summed.item()

    def broadcast(self, make: Callable[[], Made]) -> Made:
        """What `make` returns on the first rank, on all of them. The others do not call it."""
        if self.size == 1:
            return make()
        box = [make() if self.is_main else None]
        distributed.broadcast_object_list(box, device=self.device)
        return box[0]  # type: ignore[return-value]


ALONE = ProcessGroup()


@contextmanager
def process_group() -> Iterator[ProcessGroup]:
    """The group that the launcher made of this and other processes; `ALONE` without one.

    NCCL if this machine has a GPU for each of its ranks, otherwise Gloo on CPUs. Raises `PeerError` if
    another rank ends or does not come. A failing rank does not shut down cleanly; the others detect its exit.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    device = _device()
    try:
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
        yield ProcessGroup(distributed.get_rank(), distributed.get_world_size(), device)
    except RuntimeError as error:
        if not _is_of_a_peer(error):
            raise
        raise PeerError("another process of this training ended or does not answer") from error
    distributed.destroy_process_group()


def _device() -> torch.device:
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if not torch.cuda.is_available() or torch.cuda.device_count() < local:
        return CPU
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)
    return device


def _is_of_a_peer(error: RuntimeError) -> bool:
    """Gloo raises a bare RuntimeError that names its source file."""
    return isinstance(error, distributed.DistError) or "gloo/transport" in str(error)
