"""`python benchmarks/attention.py`: the attention kernels on a CPU, and whether `auto` chooses well.

Forward and backward of the attention of a small language model (its layout made once, as in a forward pass) for packed
rows of 256 positions. CPU time of one thread, kernels in turn, medians; `auto again` shows what a difference between
equal things looks like (A/A).
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from measuring.bounds import Bounds
from vlmlab.models.attention import Kernel, attend, make_layout
from vlmlab.random_streams import stream

ROWS, LENGTH, HEADS, SIZE, BLOCKS = 24, 256, 4, 32, 4
"""Of recipes/tiny.yaml."""

SEGMENTS = ((30, 60), (60, 120), (150, 200), (200, 250))
"""Shortest and longest document of a row."""

RUNS = 9
SLOWER = 1.10


@dataclass(frozen=True)
class Case:
    """Rows of one kind in one precision."""

    low: int
    high: int
    dtype: torch.dtype

    @property
    def name(self) -> str:
        return f"{str(self.dtype).removeprefix('torch.')}, documents of {self.low} to {self.high}"


CANDIDATES: dict[str, Kernel] = {
    "matmul": "matmul",
    "sdpa": "sdpa",
    "segments": "segments",
    "auto": "auto",
    "auto again": "auto",
}


def main() -> None:
    torch.set_num_threads(1)
    bounds = Bounds()
    for dtype in (torch.bfloat16, torch.float32):
        for low, high in SEGMENTS:
            case = Case(low, high, dtype)
            times = measure(case)
            fastest = min(times[name] for name in ("matmul", "sdpa", "segments"))
            shown = "  ".join(f"{name} {1000 * seconds:6.1f} ms" for name, seconds in times.items())
            ratio = times["auto"] / fastest
            print(f"{case.name}: {shown}  auto / fastest {ratio:.2f}  A/A {percent(times)}")
            bounds.at_most(f"{case.name}: auto over the fastest kernel", ratio, SLOWER)
    bounds.finish()


def measure(case: Case) -> dict[str, float]:
    """Median CPU seconds of each candidate; the first run of each is not counted."""
    segments = packed(case)
    generator = torch.Generator().manual_seed(0)
    states = [torch.randn(ROWS, HEADS, LENGTH, SIZE, generator=generator).to(case.dtype) for _ in range(3)]
    times: dict[str, list[float]] = {name: [] for name in CANDIDATES}
    for run in range(RUNS + 1):
        for name, kernel in CANDIDATES.items():
            seconds = once(states, segments, kernel=kernel, dtype=case.dtype)
            if run:
                times[name].append(seconds)
    return {name: statistics.median(values) for name, values in times.items()}


def once(states: list[Tensor], segments: Tensor, *, kernel: Kernel, dtype: torch.dtype) -> float:
    """CPU seconds of one layout and BLOCKS attentions, forward and backward."""
    query, key, value = (state.requires_grad_() for state in states)
    started = time.process_time()
    layout = make_layout(segments, num_queries=LENGTH, kernel=kernel, dtype=dtype)
    for _ in range(BLOCKS):
        out = attend(query, key, value, layout=layout, scaling=SIZE**-0.5)
        torch.autograd.grad(out, (query, key, value), torch.ones_like(out))
    return time.process_time() - started


def packed(case: Case) -> Tensor:
    """Segments of rows filled with documents of random length, as long as another one fits."""
    random = stream(0, "benchmark", case.name)
    segments = torch.zeros(ROWS, LENGTH, dtype=torch.int64)
    for row in segments:
        start, number = 0, 0
        while start + (length := int(random.integers(case.low, case.high + 1))) <= LENGTH:
            number += 1
            row[start : start + length] = number
            start += length
    return segments


def percent(times: dict[str, float]) -> str:
    """How much the second `auto` differs from the first."""
    return f"{100 * (times['auto again'] / times['auto'] - 1):+.1f} %"


if __name__ == "__main__":
    main()
