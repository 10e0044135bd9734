"""StageLoader: the batches of one stage, the same for any number of workers and after any interruption."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any

import torch
from torch.utils.data import DataLoader, Sampler

from vlmlab.batch import Batch
from vlmlab.data.collate import collate
from vlmlab.data.encode import Encoder
from vlmlab.data.mishaps import Count, Mishaps, Refusal, count_of
from vlmlab.data.mixture import Mixture
from vlmlab.data.pack import Packable, Packer
from vlmlab.data.reading import CHUNK, Reader, Sent
from vlmlab.data.sources.contract import OpenSource
from vlmlab.data.tokenizer import Tokenizer
from vlmlab.errors import DataError
from vlmlab.recipe.recipe import Recipe
from vlmlab.recipe.stage import Contrastive, NextToken
from vlmlab.records.run import Refusals


@dataclass(frozen=True, slots=True)
class LoaderState:
    """A place between two batches: the next draw, the draws held over for the next step, the bad samples so far."""

    next_draw: int = 0
    held: tuple[int, ...] = ()
    counts: tuple[tuple[str, Count], ...] = ()

    def plain(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            "next_draw": self.next_draw,
            "held": list(self.held),
            "counts": {name: list(asdict(count).values()) for name, count in self.counts},
        }

    @classmethod
    def from_plain(cls, value: Mapping[str, Any]) -> LoaderState:
        """What `plain` gave, also after a trip through JSON."""
        counts = tuple((name, count_of(count)) for name, count in value["counts"].items())
        return cls(next_draw=int(value["next_draw"]), held=tuple(map(int, value["held"])), counts=counts)


@dataclass(frozen=True, slots=True)
class LoadedBatch:
    """A batch, what it is made of, and the place after it."""

    batch: Batch
    documents: int
    seconds_waited: float
    """Wall seconds that the caller spent in the loader for it."""
    state: LoaderState
    sources: dict[str, int]
    """Documents by source."""


class StageLoader:
    """Iterates LoadedBatch without end for one stage of a recipe.

    The draws 0, 1, 2, ... of the stage's mixture are cut into chunks of 32. Workers turn chunks into examples, in any
    order of their own; this process takes them in order, packs and collates. `state` continues after a batch that
    was already given. Use it as a context manager, or call `close`, so that no worker is left behind.
    """

    def __init__(
        self,
        *,
        recipe: Recipe,
        stage: str,
        tokenizer: Tokenizer,
        sources: Mapping[str, OpenSource],
        workers: int,
        prefetch: int,
        state: LoaderState | None = None,
    ) -> None:
        spec = recipe.stages[stage]
        self._stage = stage
        self._recipe = recipe
        self._rows = spec.batch
        self._tokenizer = tokenizer
        self._workers = workers
        self._prefetch = prefetch
        self._learns = isinstance(spec.objective, NextToken)
        missing = [name for name, weight in spec.mixture.items() if weight > 0 and name not in sources]
        assert not missing, f"sources {missing} of stage {stage} were not opened"
        mixed = {name: source for name, source in sources.items() if spec.mixture.get(name, 0.0) > 0}
        mixture = Mixture(
            spec.mixture,
            {name: len(source) for name, source in mixed.items()},
            seed=recipe.seed,
            purpose=f"stage/{stage}",
        )
        pairs = isinstance(spec.objective, Contrastive)
        self._reader = Reader(
            mixture=mixture,
            sources=mixed,
            encoder=Encoder(tokenizer, recipe.model, recipe.image_policy(spec)),
            template=recipe.template,
            rows=spec.batch,
            pairs=pairs,
        )
        start = LoaderState() if state is None else state
        self._mishaps = Mishaps(recipe.data.bad_samples, dict(start.counts))
        self._packer = Packer(
            rows=spec.batch.rows,
            length=spec.batch.length,
            images=spec.batch.images,
            packing=spec.batch.packing and not pairs,
        )
        for number in start.held:
            self._packer.add(self._reader.read(number).packable())
        self._next_draw = start.next_draw
        self._chunks: Iterator[list[Sent]] | None = None
        self._waiting: Iterator[Sent] = iter(())

    def __iter__(self) -> Iterator[LoadedBatch]:
        return self

    def __next__(self) -> LoadedBatch:
        started = time.perf_counter()
        while not self._packer.full:
            self._packer.add(self._next_example())
        step = self._packer.close()
        batch = collate(
            [[item.example for item in row] for row in step.rows],
            length=self._rows.length,
            tokenizer=self._tokenizer,
            model=self._recipe.model,
        )
        if self._learns and not batch.num_learned():
            keys = ", ".join(key for row in batch.keys for key in row)
            raise DataError(
                f"stages.{self._stage}", f"a batch has no learned token; expected at least one. Its samples: {keys}"
            )
        sources = Counter(item.source for row in step.rows for item in row)
        return LoadedBatch(
            batch=batch,
            documents=sources.total(),
            seconds_waited=time.perf_counter() - started,
            state=LoaderState(self._next_draw, step.held, tuple(self._mishaps.counts.items())),
            sources=dict(sources),
        )

    def refusals(self) -> dict[str, Refusals]:
        """By source, how many samples were read and refused so far, with the first few by name."""
        return self._mishaps.summary()

    def close(self) -> None:
        """End the workers. To go on, open another loader with the state of the last batch."""
        # torch ends its workers when the last reference to the iterator goes.
        self._chunks = None
        self._waiting = iter(())

    def __enter__(self) -> StageLoader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _next_example(self) -> Packable:
        while True:
            sent = next(self._waiting, None)
            if sent is None:
                self._waiting = iter(self._next_chunk())
                continue
            if sent.number < self._next_draw:
                continue  # read before the interruption
            self._next_draw = sent.number + 1
            match sent.outcome:
                case Refusal():
                    self._mishaps.refused(sent.source, sent.outcome)
                case _:
                    self._mishaps.used(sent.source)
                    return sent.packable()

    def _next_chunk(self) -> list[Sent]:
        if self._chunks is None:
            self._chunks = self._open_chunks(self._next_draw // CHUNK)
        return next(self._chunks)

    def _open_chunks(self, first: int) -> Iterator[list[Sent]]:
        if self._workers == 0:
            return map(self._reader.__getitem__, itertools.count(first))
        return iter(
            DataLoader(
                self._reader,
                sampler=_From(first),
                batch_size=None,
                num_workers=self._workers,
                prefetch_factor=self._prefetch,
                multiprocessing_context="fork" if sys.platform == "linux" else "spawn",
                worker_init_fn=_start_worker,
                # Its own generator: opening a loader must not move the global one.
                generator=torch.Generator().manual_seed(0),
            )
        )


class _From(Sampler[int]):
    """first, first + 1, ... without end."""

    def __init__(self, first: int) -> None:
        self._first = first

    def __iter__(self) -> Iterator[int]:
        return itertools.count(self._first)


def _start_worker(worker: int) -> None:
    """Ctrl-C is for the training process, which then ends its workers; and none of them starts threads of torch."""
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
        time.sleep(1.0)
    os._exit(1)
