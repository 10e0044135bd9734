"""World: the processes of one run, and the few numbers that they tell each other. One process is a world too."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist


@dataclass(frozen=True, slots=True)
class World:
    """`rank` of `size` processes. Rows of a step are dealt out in order: the first process has the first rows."""

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> World:
        """The world of the process group that this process joined, or a world of one."""
        if not dist.is_initialized():
            return cls()
        return cls(rank=dist.get_rank(), size=dist.get_world_size())

    @property
    def leads(self) -> bool:
        """Whether this process writes what is written once."""
        return self.rank == 0

    def sum(self, values: Sequence[float]) -> list[float]:
        """Element by element over all processes, in float64: counts stay exact."""
        if self.size == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64, device=_reduction_device())
        dist.all_reduce(tensor)
        return tensor.tolist()

    def gather(self, value: Any) -> list[Any]:
        """One plain value from each process, in order of rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def tell(self, value: Any) -> Any:
        """The leading process's value, on every process."""
        return self.gather(value)[0]

    def wait(self) -> None:
        """Until every process is here."""
        if self.size > 1:
            dist.barrier()


@contextlib.contextmanager
def led(world: World) -> Generator[None]:
    """The leading process does the block first, so that what it leaves on disk is there for the others."""
    if not world.leads:
        world.wait()
    yield
    if world.leads:
        world.wait()


def _reduction_device() -> str:
    return "cuda" if torch.cuda.is_available() and "nccl" in dist.get_backend() else "cpu"


def processes() -> int:
    """How many processes a launcher (torchrun) started, this one among them; 1 without one."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def local_rank() -> int:
    """Number of this process on its node."""
    return int(os.environ.get("LOCAL_RANK", "0"))
