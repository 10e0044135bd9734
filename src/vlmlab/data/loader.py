"""StageLoader: the batches of one stage, the same for any number of workers and processes, after any interruption."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any

from vlmlab.batch import Batch
from vlmlab.data.chunks import Chunks
from vlmlab.data.collate import collate
from vlmlab.data.encode import Encoder
from vlmlab.data.mishaps import Count, Mishaps, Refusal, count_of, merge_refusals
from vlmlab.data.mixture import Mixture
from vlmlab.data.pack import Packable, PackedStep, Packer
from vlmlab.data.reading import Reader, Sent
from vlmlab.data.sources.contract import OpenSource
from vlmlab.data.tokenizer import Tokenizer
from vlmlab.errors import DataError
from vlmlab.recipe.recipe import Recipe
from vlmlab.recipe.source import BadSamples
from vlmlab.recipe.stage import Contrastive, NextToken
from vlmlab.records.run import Refusals


@dataclass(frozen=True, slots=True)
class StreamState:
    """A place of one stream between two batches. Draws are numbered over all streams together."""

    next_draw: int
    """The next draw; stream s of S has the draws s, s + S, s + 2S, ..."""
    held: tuple[int, ...] = ()
    """Draws held over for the next step."""
    counts: tuple[tuple[str, Count], ...] = ()
    """The bad samples so far, by source."""

    def plain(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            "next_draw": self.next_draw,
            "held": list(self.held),
            "counts": {name: list(asdict(count).values()) for name, count in self.counts},
        }

    @classmethod
    def from_plain(cls, value: Mapping[str, Any]) -> StreamState:
        """What `plain` gave, also after a trip through JSON."""
        counts = tuple((name, count_of(count)) for name, count in value["counts"].items())
        return cls(next_draw=int(value["next_draw"]), held=tuple(map(int, value["held"])), counts=counts)


@dataclass(frozen=True, slots=True)
class LoaderState:
    """A place between two batches, by stream. Each process knows the streams that it reads; all together are the whole.

    It says nothing of processes, so that a stage may continue on another number of them.
    """

    streams: tuple[tuple[int, StreamState], ...] = ()

    def plain(self) -> dict[str, Any]:
        """As JSON data."""
        return {str(number): state.plain() for number, state in self.streams}

    @classmethod
    def from_plain(cls, value: Mapping[str, Any]) -> LoaderState:
        """What `plain` gave, also after a trip through JSON."""
        return cls(tuple((int(number), StreamState.from_plain(state)) for number, state in value.items()))

    @classmethod
    def joined(cls, states: Iterable[LoaderState]) -> LoaderState:
        """The states of all processes as one; processes that share a stream say the same of it."""
        known = {number: stream for state in states for number, stream in state.streams}
        return cls(tuple(sorted(known.items())))

    def refusals(self) -> dict[str, Refusals]:
        """By source, how many samples were read and refused so far, with the first few by name."""
        return merge_refusals([dict(stream.counts) for _, stream in self.streams])


@dataclass(frozen=True, slots=True)
class LoadedBatch:
    """This process's rows of a step, what they are made of, and the place after them."""

    batch: Batch
    documents: int
    seconds_waited: float
    """Wall seconds that the caller spent in the loader for it."""
    state: LoaderState
    sources: tuple[tuple[str, ...], ...]
    """The source of each document, parallel to `batch.keys`."""

    def by_source(self) -> dict[str, int]:
        """Documents by source."""
        return dict(Counter(name for row in self.sources for name in row))


class _Stream:
    """One stream's packer and counts: draws s, s + S, s + 2S, ... to the rows that this stream fills."""

    def __init__(self, number: int, *, reader: Reader, packer: Packer, policy: BadSamples, state: StreamState) -> None:
        self.number = number
        self.packer = packer
        self.next_draw = state.next_draw
        self.mishaps = Mishaps(policy, dict(state.counts))
        self._step = reader.streams
        for held in state.held:
            self.packer.add(reader.read(held).packable())

    def pack(self, chunks: Chunks) -> PackedStep:
        """The stream's rows of the next step."""
        while not self.packer.full:
            self.packer.add(self._next_example(chunks))
        return self.packer.close()

    def state(self, step: PackedStep) -> StreamState:
        """The place after `step`."""
        return StreamState(self.next_draw, step.held, tuple(self.mishaps.counts.items()))

    def _next_example(self, chunks: Chunks) -> Packable:
        while True:
            sent: Sent = chunks.next_draw(self.number)
            if sent.number < self.next_draw:
                continue  # read before the interruption
            self.next_draw = sent.number + self._step
            match sent.outcome:
                case Refusal():
                    self.mishaps.refused(sent.source, sent.outcome)
                case _:
                    self.mishaps.used(sent.source)
                    return sent.packable()


class StageLoader:
    """Iterates LoadedBatch without end for one stage of a recipe.

    The rows of a step are shared out evenly and in order among the recipe's streams, and again among the processes
    (`rank` of `size`), so what a row holds depends on neither processes nor workers. A process reads the streams that
    its rows belong to; where there are more processes than streams, several read the same stream and keep their own
    rows. Workers turn chunks of draws into examples, in any order of their own; this process takes them in order, packs
    and collates. `state` continues after a batch that was already given. Use it as a context manager, or call `close`,
    so that no worker is left behind.
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
        rank: int = 0,
        size: int = 1,
    ) -> None:
        spec = recipe.stages[stage]
        self._stage = stage
        self._recipe = recipe
        self._rows = spec.batch
        self._tokenizer = tokenizer
        self._learns = isinstance(spec.objective, NextToken)
        self._shared = size > 1
        first, stop = own_rows(spec.batch.rows, rank=rank, size=size, where=f"stages.{stage}.batch.rows")
        missing = [name for name, weight in spec.mixture.items() if weight > 0 and name not in sources]
        assert not missing, f"sources {missing} of stage {stage} were not opened"
        mixed = {name: source for name, source in sources.items() if spec.mixture.get(name, 0.0) > 0}
        mixture = Mixture(
            spec.mixture,
            {name: len(source) for name, source in mixed.items()},
            seed=recipe.stage_seed(stage),
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
        each = spec.batch.rows // spec.batch.streams
        numbers = range(first // each, (stop - 1) // each + 1)
        # Own rows among the rows of the streams that are read here.
        self._own = slice(first - numbers.start * each, stop - numbers.start * each)
        self._each = each
        known = dict((LoaderState() if state is None else state).streams)
        self._streams = [
            _Stream(
                number,
                reader=self._reader,
                packer=Packer(
                    rows=each,
                    length=spec.batch.length,
                    images=spec.batch.images,
                    packing=spec.batch.packing and not pairs,
                ),
                policy=recipe.data.bad_samples,
                state=known.get(number, StreamState(next_draw=number)),
            )
            for number in numbers
        ]
        self._state = LoaderState(tuple((stream.number, known[stream.number]) for stream in self._streams if known))
        self._chunks = Chunks(
            self._reader,
            first={stream.number: stream.next_draw for stream in self._streams},
            workers=workers,
            prefetch=prefetch,
        )

    def __iter__(self) -> Iterator[LoadedBatch]:
        return self

    def __next__(self) -> LoadedBatch:
        started = time.perf_counter()
        steps = [stream.pack(self._chunks) for stream in self._streams]
        rows = self._own_rows(steps)
        batch = collate(
            [[item.example for item in row] for row in rows],
            length=self._rows.length,
            tokenizer=self._tokenizer,
            model=self._recipe.model,
        )
        # Among several processes only the whole step must learn something; training counts it.
        if self._learns and not self._shared and not batch.num_learned():
            keys = ", ".join(key for row in batch.keys for key in row)
            raise DataError(
                f"stages.{self._stage}", f"a batch has no learned token; expected at least one. Its samples: {keys}"
            )
        self._state = LoaderState(
            tuple((stream.number, stream.state(step)) for stream, step in zip(self._streams, steps, strict=True))
        )
        return LoadedBatch(
            batch=batch,
            documents=sum(map(len, rows)),
            seconds_waited=time.perf_counter() - started,
            state=self._state,
            sources=tuple(tuple(item.source for item in row) for row in rows),
        )

    def _own_rows(self, steps: list[PackedStep]) -> list[list[Packable]]:
        """This process's rows. Rows that stayed empty are left out by a process on its own; among several all count."""
        if not self._shared:
            return [row for step in steps for row in step.rows]
        whole = [row for step in steps for row in [*step.rows, *([[]] * (self._each - len(step.rows)))]]
        return whole[self._own]

    def refusals(self) -> dict[str, Refusals]:
        """By source, what the streams of this process read and refused so far, with the first few by name."""
        return self._state.refusals()

    def close(self) -> None:
        """End the workers. To go on, open another loader with the state of the last batch."""
        self._chunks.close()

    def __enter__(self) -> StageLoader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def own_rows(rows: int, *, rank: int, size: int, where: str) -> tuple[int, int]:
    """[first, stop) of the rows of a process. Raises DataError where they cannot be shared out evenly.

    >>> own_rows(8, rank=1, size=4, where="")
    (2, 4)
    """
    if rows % size:
        raise DataError(
            where,
            f"{rows} rows cannot be shared evenly among {size} processes; set it to a multiple of {size}, "
            "or run on another number of processes",
        )
    each = rows // size
    return rank * each, (rank + 1) * each
