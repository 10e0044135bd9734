"""`python benchmarks/step.py`: CPU time of a training step against `transformers`, and packed against padded.

A step is zero_grad, forward, loss, backward, clipping and AdamW. Both sides train the same parameters on the same
padded rows and images with the same fused AdamW and the same clipping; `transformers` gets the fastest attention of its
own, part by part, chosen by measuring. Process CPU time of one thread, programs in turn, medians over rounds; a second,
equal model of ours shows what a difference between equal things looks like (A/A). All text is learned: computing logits
at learned positions alone saves least then.

`--gpu` measures samples a second and useful MFU at nanoVLM-222M's shapes instead.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from measuring.bounds import Bounds
from measuring.gpu_step import measure_gpu
from measuring.made import SPECIAL, Size, batch_of, example, log_normal_sizes
from measuring.stepping import Ours, Theirs
from measuring.turns import LARGEST_AA, compare, take_turns
from vlmlab.batch import Batch
from vlmlab.data.encode import Example
from vlmlab.data.pack import Packable, Packer
from vlmlab.models.build import BuildOptions
from vlmlab.models.model import Precision
from vlmlab.recipe.recipe import Model

SLOWEST = 0.95
"""Our time over theirs."""
SAME_LOSS = 1e-4
"""Difference of the losses at step 0, relative."""
SHARE_OF_FILL = 0.85
"""Speed-up of packing over the ratio of the fills."""

PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
VOCABULARY = 8192
ROUNDS = 4
CHOOSING_ROUNDS = 2
PACKED_STEPS, PACKED_ROWS, PACKED_LENGTH = 2, 4, 640
PADDED_STEPS, PADDED_ROWS = 2, 8
"""Packed and padded steps hold about as many positions."""
PACKING_ROUNDS = 3


@dataclass(frozen=True)
class Case:
    """A model and a step's documents, one a row."""

    name: str
    model: dict[str, Any]
    sizes: tuple[Size, ...]
    parts: tuple[str, ...]
    """Parts of the twin that choose their attention."""

    def spec(self) -> Model:
        return Model.model_validate_json(json.dumps(self.model))

    def batch(self) -> Batch:
        spec = self.spec()
        rows = [
            [example(size, number=number, model=spec, vocabulary=VOCABULARY)] for number, size in enumerate(self.sizes)
        ]
        return batch_of(rows, length=None, model=spec, vocabulary=VOCABULARY)


VISION = {"width": 256, "depth": 6, "heads": 4, "mlp": 1024, "patch": 16, "side": 128}
LANGUAGE = {"width": 384, "depth": 8, "heads": 6, "mlp": 1024, "max_positions": 1024, "tied": False}

LLAVA = Case(
    "LLaVA",
    {
        "vision": VISION | {"kind": "clip", "feature_layer": -2},
        "image": {"side": 128},
        "connector": {"kind": "mlp"},
        "language": LANGUAGE | {"kind": "llama"},
    },
    tuple(Size(text, 1) for text in (136, 110, 94, 78, 66, 56, 44, 30)),
    ("vision_config", "text_config"),
)
IDEFICS2 = Case(
    "Idefics2",
    {
        "vision": VISION | {"kind": "siglip"},
        "image": {"side": 128},
        "connector": {"kind": "perceiver", "latents": 16, "depth": 3, "heads": 6, "head_width": 64, "kv_heads": 2},
        "language": LANGUAGE | {"kind": "mistral", "kv_heads": 2},
    },
    tuple(
        Size(text, images)
        for text, images in ((152, 3), (120, 1), (100, 2), (84, 1), (70, 2), (60, 1), (48, 1), (32, 1))
    ),
    ("vision_config", "perceiver_config", "text_config"),
)


def main() -> None:
    if sys.argv[1:] == ["--gpu"]:
        measure_gpu()
        return
    torch.set_num_threads(1)
    bounds = Bounds()
    for case in (LLAVA, IDEFICS2):
        describe(case)
        for precision in PRECISIONS:
            against_transformers(case, precision, bounds)
    packed_against_padded(bounds)
    bounds.finish()


def describe(case: Case) -> None:
    spec, batch = case.spec(), case.batch()
    vision, language = spec.vision, spec.language
    print(
        f"{case.name}: {vision.kind} {vision.depth}x{vision.width}, {vision.side} px, patch {vision.patch}; "
        f"{spec.connector.kind}; {language.kind} {language.depth}x{language.width}, {language.heads} heads "
        f"({language.groups()} for keys), vocabulary {VOCABULARY}; {words(batch)}"
    )


def words(batch: Batch) -> str:
    """The size of a batch."""
    rows, length = batch.ids.shape
    return (
        f"{rows} rows of {length} ({100 * fill(batch):.0f} % real), {batch.num_views} images, "
        f"{batch.num_learned()} learned tokens"
    )


def fill(batch: Batch) -> float:
    """Share of the positions that are real."""
    return batch.num_real() / batch.ids.numel()


def against_transformers(case: Case, precision: Precision, bounds: Bounds) -> None:
    """Add the bounds of one model in one precision."""
    name, spec, batch = f"{case.name}, {precision}", case.spec(), case.batch()
    first, second = (Ours(spec, vocabulary=VOCABULARY, precision=precision, options=BuildOptions()) for _ in range(2))
    theirs = Theirs(first, batch, image_token=SPECIAL.image)
    result = first.step(batch)
    loss, twin_loss = result.loss / result.count, theirs.step()
    kernels = fastest_attention(theirs, case.parts)
    second.step(batch)
    compared = compare(
        {"ours": lambda: first.step(batch), "theirs": theirs.step, "ours again": lambda: second.step(batch)},
        equal=("ours", "ours again"),
        rounds=ROUNDS,
    )
    turns, ratio = compared.turns, compared.turns.ratio("ours", "theirs")
    shown = ", ".join(f"{part.removesuffix('_config')} {kernel}" for part, kernel in kernels.items())
    print(
        f"  {precision}: vlmlab {1000 * turns.median('ours'):.0f} ms, "
        f"transformers {1000 * turns.median('theirs'):.0f} ms ({shown}), ratio {ratio:.3f}, "
        f"A/A {100 * compared.aa:+.1f} %; loss at step 0 {loss:.6f} and {twin_loss:.6f}",
        flush=True,
    )
    bounds.true(
        f"{name}: learned tokens", result.count == theirs.num_learned(), f"{result.count} and {theirs.num_learned()}"
    )
    bounds.at_most(f"{name}: difference of the losses at step 0", abs(loss / twin_loss - 1), SAME_LOSS)
    bounds.at_most(f"{name}: A/A", 100 * abs(compared.aa), 100 * LARGEST_AA, unit=" %")
    bounds.at_most(f"{name}: vlmlab over transformers", ratio, SLOWEST)


def fastest_attention(theirs: Theirs, parts: tuple[str, ...]) -> dict[str, str]:
    """The fastest attention of each part, the others being sdpa while it is measured; leaves the twin with it."""
    chosen: dict[str, str] = {}
    for part in parts:

        def stepping(kernel: str, part: str = part) -> None:
            theirs.attend_with(dict.fromkeys(parts, "sdpa") | {part: kernel})
            theirs.step()

        turns = take_turns(
            {"eager": lambda: stepping("eager"), "sdpa": lambda: stepping("sdpa")}, rounds=CHOOSING_ROUNDS
        )
        chosen[part] = "eager" if turns.ratio("eager", "sdpa") < 1 else "sdpa"
    theirs.attend_with(chosen)
    return chosen


@dataclass(frozen=True)
class Steps:
    """The batches of a few steps, which a model trains on in turn."""

    batches: tuple[Batch, ...]

    @property
    def real(self) -> int:
        return sum(batch.num_real() for batch in self.batches)

    @property
    def fill(self) -> float:
        """Share of the positions that are real."""
        return self.real / sum(batch.ids.numel() for batch in self.batches)

    def words(self) -> str:
        shapes = sorted({tuple(batch.ids.shape) for batch in self.batches})
        (_, shortest), (rows, longest) = shapes[0], shapes[-1]
        length = f"{longest}" if shortest == longest else f"{shortest} to {longest}"
        return f"{len(self.batches)} steps of {rows} rows of {length}, {100 * self.fill:.1f} % real"


def packed_against_padded(bounds: Bounds) -> None:
    """Add the bound on packing: one model of ours on the same stream of documents, in two layouts of the rows."""
    spec = LLAVA.spec()
    sizes = log_normal_sizes(seed=0, median=60, sigma=0.7, images=(1, 3), count=400)
    documents = [example(size, number=number, model=spec, vocabulary=VOCABULARY) for number, size in enumerate(sizes)]
    padded = Steps(
        tuple(
            batch_of(
                [[document] for document in documents[start : start + PADDED_ROWS]],
                length=None,
                model=spec,
                vocabulary=VOCABULARY,
            )
            for start in range(0, PADDED_ROWS * PADDED_STEPS, PADDED_ROWS)
        )
    )
    packed = Steps(tuple(packed_batches(documents, spec)))
    print(
        f"packing: {LLAVA.name}, documents with 1 to 3 images of {documents[0].images[0].length} positions and "
        f"log-normal text (median 60, sigma 0.7)\n  packed: {packed.words()}\n  padded: {padded.words()}"
    )
    for precision in PRECISIONS:
        first, second = (
            Ours(spec, vocabulary=VOCABULARY, precision=precision, options=BuildOptions()) for _ in range(2)
        )
        for model in (first, second):
            model.step(packed.batches[0])
        compared = compare(
            {
                "packed": lambda model=first: train(model, packed),
                "padded": lambda model=first: train(model, padded),
                "packed again": lambda model=second: train(model, packed),
            },
            equal=("packed", "packed again"),
            rounds=PACKING_ROUNDS,
        )
        faster = compared.turns.ratio("padded", "packed") * packed.real / padded.real
        allowed = packed.fill / padded.fill
        rates = (
            f"{name} {steps.real / compared.turns.median(name):.0f}"
            for name, steps in (("packed", packed), ("padded", padded))
        )
        print(
            f"  {precision}: real tokens a CPU second: {', '.join(rates)}; {faster:.2f} times as many, the fill allows "
            f"{allowed:.2f}, A/A {100 * compared.aa:+.1f} %",
            flush=True,
        )
        name = f"packing, {precision}"
        bounds.at_most(f"{name}: A/A", 100 * abs(compared.aa), 100 * LARGEST_AA, unit=" %")
        bounds.at_least(f"{name}: speed-up over what the fill allows", faster / allowed, SHARE_OF_FILL)


def packed_batches(documents: Sequence[Example], spec: Model) -> Iterator[Batch]:
    """The first steps that the data pipeline would pack from a stream of documents."""
    packer = Packer(rows=PACKED_ROWS, length=PACKED_LENGTH, images=PACKED_LENGTH, packing=True)
    steps = 0
    for number, document in enumerate(documents):
        packer.add(Packable(number, "made", document))
        if packer.full:
            rows = [[item.example for item in row] for row in packer.close().rows]
            yield batch_of(rows, length=PACKED_LENGTH, model=spec, vocabulary=VOCABULARY)
            steps += 1
            if steps == PACKED_STEPS:
                return
    raise AssertionError("too few documents")


def train(model: Ours, steps: Steps) -> None:
    for batch in steps.batches:
        model.step(batch)


if __name__ == "__main__":
    main()
