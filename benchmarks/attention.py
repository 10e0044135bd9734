"""`python benchmarks/attention.py`: the attention kernels on a CPU, and whether `auto` chooses well.

Forward and backward of the attention of a small language model (its layout made once, as in a forward pass) for packed
rows of 256 positions. CPU time of one thread, kernels in turn, medians; `auto again` shows what a difference between
equal things looks like (A/A). Each case has a process of its own
whose heap keeps what it was given (glibc's MALLOC_TRIM_THRESHOLD_): otherwise dense attention over long documents takes
130 or 280 ms, depending on what was freed before, for the time goes into pages that are given back and taken again.
"""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from measuring.bounds import Bounds
from measuring.turns import Compared, compare
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
    bounds = Bounds()
    for dtype in (torch.bfloat16, torch.float32):
        for low, high in SEGMENTS:
            case = Case(low, high, dtype)
            measured = alone(case)
            turns = measured.turns
            shown = "  ".join(f"{name} {1000 * turns.median(name):6.1f} ms" for name in CANDIDATES)
            ratio = max(turns.ratio("auto", name) for name in ("matmul", "sdpa", "segments"))
            print(f"{case.name}: {shown}  auto / fastest {ratio:.2f}  A/A {100 * measured.aa:+.1f} %")
            bounds.at_most(f"{case.name}: auto over the fastest kernel", ratio, SLOWER)
    bounds.finish()


def alone(case: Case) -> Compared:
    """`measure` in a fresh process."""
    os.environ |= {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**32)}
    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, case).result()


def measure(case: Case) -> Compared:
    """CPU seconds of each candidate in turn; measured again where the two equal ones differ too much."""
    torch.set_num_threads(1)
    segments = packed(case)
    generator = torch.Generator().manual_seed(0)
    states = [torch.randn(ROWS, HEADS, LENGTH, SIZE, generator=generator).to(case.dtype) for _ in range(3)]
    programs = {
        name: partial(once, states, segments, kernel=kernel, dtype=case.dtype) for name, kernel in CANDIDATES.items()
    }
    for program in programs.values():
        program()
    return compare(programs, equal=("auto", "auto again"), rounds=RUNS)


def once(states: list[Tensor], segments: Tensor, *, kernel: Kernel, dtype: torch.dtype) -> None:
    """One layout and BLOCKS attentions, forward and backward."""
    query, key, value = (state.requires_grad_() for state in states)
    layout = make_layout(segments, num_queries=LENGTH, kernel=kernel, dtype=dtype)
    for _ in range(BLOCKS):
        out = attend(query, key, value, layout=layout, scaling=SIZE**-0.5)
        torch.autograd.grad(out, (query, key, value), torch.ones_like(out))


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


if __name__ == "__main__":
    main()
