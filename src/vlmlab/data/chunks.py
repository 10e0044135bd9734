"""Chunks: the outcomes of every stream's draws in order, read here or by worker processes."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping

import torch
from torch.utils.data import DataLoader, Sampler

from vlmlab.data.reading import CHUNK, Reader, Sent


class Chunks:
    """Gives out the draws of each stream one by one. Streams are read ahead evenly, whatever their consumption.

    `first` is the next draw of each stream; the chunk that holds it is read from its start.
    """

    def __init__(self, reader: Reader, *, first: Mapping[int, int], workers: int, prefetch: int) -> None:
        self._reader = reader
        self._workers = workers
        self._prefetch = prefetch
        self._next_chunk = {number: draw // reader.streams // CHUNK for number, draw in first.items()}
        self._asked = dict.fromkeys(first, 0)
        """Chunks asked for and not yet given out, by stream."""
        self._order: deque[int] = deque()
        """Streams of the chunks that the workers were asked for, in order."""
        self._ready: dict[int, deque[list[Sent]]] = {number: deque() for number in first}
        self._open: dict[int, Iterator[Sent]] = {number: iter(()) for number in first}
        self._read: Iterator[list[Sent]] | None = None

    def next_draw(self, stream: int) -> Sent:
        """The next draw of a stream."""
        sent = next(self._open[stream], None)
        while sent is None:
            self._open[stream] = iter(self._take(stream))
            sent = next(self._open[stream], None)
        return sent

    def close(self) -> None:
        """End the workers."""
        # torch ends its workers when the last reference to the iterator goes.
        self._read = None
        for waiting in self._ready.values():
            waiting.clear()

    def _take(self, stream: int) -> list[Sent]:
        if self._workers == 0:
            chunk = self._next_chunk[stream]
            self._next_chunk[stream] += 1
            return self._reader[self._reader.chunk_number(chunk, stream)]
        if self._read is None:
            self._read = self._start()
        while not self._ready[stream]:
            # Asked for in this order, so received in it.
            received = next(self._read)
            self._ready[self._order.popleft()].append(received)
        self._asked[stream] -= 1
        return self._ready[stream].popleft()

    def _ask(self) -> Iterator[int]:
        """What the workers should read next: the stream that has the fewest chunks under way."""
        while True:
            stream = min(self._asked, key=lambda number: (self._asked[number], number))
            self._asked[stream] += 1
            self._order.append(stream)
            chunk = self._next_chunk[stream]
            self._next_chunk[stream] += 1
            yield self._reader.chunk_number(chunk, stream)

    def _start(self) -> Iterator[list[Sent]]:
        return iter(
            DataLoader(
                self._reader,
                sampler=_Asking(self._ask()),
                batch_size=None,
                num_workers=self._workers,
                prefetch_factor=max(self._prefetch, -(-len(self._asked) // self._workers)),
                multiprocessing_context="fork" if sys.platform == "linux" else "spawn",
                worker_init_fn=_start_worker,
                # Its own generator: opening a loader must not move the global one.
                generator=torch.Generator().manual_seed(0),
            )
        )


class _Asking(Sampler[int]):
    """Numbers from an iterator, without end."""

    def __init__(self, numbers: Iterator[int]) -> None:
        self._numbers = numbers

    def __iter__(self) -> Iterator[int]:
        return itertools.chain(self._numbers)


def _start_worker(worker: int) -> None:
    """Ctrl-C is for the training process, which then ends its workers; and none of them starts threads of torch."""
    # A group of its own: what a launcher or a terminal sends to the training process's group is not for workers;
    # without them it could not finish its step and save.
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    torch.set_num_threads(1)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(parent: int) -> None:
    """End this worker once the training process is gone.

    torch's own watch over the parent is not enough: a worker with a full pipe waits in it for ever, because its
    siblings hold the pipe's other end open.
    """
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
