"""A few test items of each benchmark with their images, for the report."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image as PillowImage

from vlmlab.data.document import Picture
from vlmlab.data.item import Item
from vlmlab.evaluate.contract import Benchmark
from vlmlab.random_streams import stream
from vlmlab.records.run import GalleryRecord, ItemRecord

ITEMS = 12
"""Items shown of a benchmark: half of them answered well, half not, as far as there are such."""
SIDE = 192
"""Longest side of a shown image, in pixels."""
PREFERRED_SHOTS = 4


def gallery_shots(benchmarks: Sequence[Benchmark]) -> dict[str, int]:
    """The shots shown of each benchmark: 4 where all have it, else the most that all have, else its own most."""
    common = set.intersection(*(set(benchmark.spec.shots) for benchmark in benchmarks))
    shown = PREFERRED_SHOTS if PREFERRED_SHOTS in common else max(common, default=None)
    return {benchmark.name: max(benchmark.spec.shots) if shown is None else shown for benchmark in benchmarks}


def choose(benchmark: Benchmark, scores: dict[str, float]) -> list[Item]:
    """The shown items, in the benchmark's order: a fixed draw, well and badly answered ones in equal numbers."""
    middle = float(np.median(list(scores.values()))) if benchmark.metric == "cider" else 0.5
    drawn = [benchmark.items[index] for index in stream(0, "gallery", benchmark.name).permutation(len(benchmark.items))]
    well = [item for item in drawn if scores[item.id] > middle]
    badly = [item for item in drawn if scores[item.id] <= middle]
    half = ITEMS // 2
    kept = {item.id for item in well[: max(half, ITEMS - len(badly))] + badly[: max(half, ITEMS - len(well))]}
    return [item for item in benchmark.items if item.id in kept]


def gallery(benchmark: Benchmark, records: Sequence[ItemRecord], *, shots: int) -> list[GalleryRecord]:
    """The rows of one benchmark at `shots`, with the first demonstration seed's answers."""
    seed = benchmark.spec.demonstration_seeds[0] if shots else None
    level = [record for record in records if record.shots == shots and record.demonstration_seed == seed]
    seen = {record.item: record for record in level if record.condition == "image"}
    blank = {record.item: record.prediction for record in level if record.condition == "blank"}
    rows: list[GalleryRecord] = []
    for item in choose(benchmark, {name: record.score for name, record in seen.items()}):
        record = seen[item.id]
        rows.append(
            GalleryRecord(
                benchmark=benchmark.name,
                shots=shots,
                item=item.id,
                image=None if item.picture is None else data_uri(item.picture),
                question=item.question,
                answers=record.answers,
                prediction=record.prediction,
                blank_prediction=blank.get(item.id),
                score=record.score,
            )
        )
    return rows


def data_uri(picture: Picture) -> str:
    """The picture, at most 192 pixels wide and high, as PNG or JPEG, whichever is smaller."""
    image = PillowImage.fromarray(picture.pixels())
    image.thumbnail((SIDE, SIDE), PillowImage.Resampling.LANCZOS)
    png, jpeg = io.BytesIO(), io.BytesIO()
    image.save(png, "PNG", optimize=True)
    image.save(jpeg, "JPEG", quality=85)
    kind, data = min((("png", png.getvalue()), ("jpeg", jpeg.getvalue())), key=lambda pair: len(pair[1]))
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
