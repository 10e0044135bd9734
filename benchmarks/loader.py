"""`python benchmarks/loader.py`: what the data pipeline costs beside decoding and resizing its pictures.

Captioned photographs of 512 px (made here: smooth content, detail and sensor noise, JPEG of quality 90) in a tar shard
become packed batches at 384 px: read, decode, resize, tokenize, pack, collate, in this process and with one thread.
Beside it, bare: the same JPEGs, already in memory, decoded and resized by the same libraries, and the views of as many
pictures as a step has kept. CPU time of the process for the same number of pictures, in turn; `bare again` shows what
a difference between equal things looks like (A/A). Normalising is the model's: batches hold bytes.
"""

from __future__ import annotations

import io
import json
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import simplejpeg
import torch
from PIL import Image

from measuring.bounds import Bounds
from vlmlab.data.loader import StageLoader
from vlmlab.data.sources.open import open_sources
from vlmlab.data.tokenizer import build_tokenizer
from vlmlab.random_streams import stream
from vlmlab.recipe.recipe import Recipe

PICTURES = 256
SIZE, SIDE, PATCH = 512, 384, 16
QUALITY = 90
WORDS = (8, 24)
"""Fewest and most words of a caption; web captions have about a dozen, synthetic ones twice as many."""

STEPS, ROWS = 12, 2
RUNS = 9
SHARE = 0.85

COMMON = (
    "a the of in on with and two three red blue green small large old young man woman dog cat horse car street house "
    "tree field river mountain sky table chair window standing sitting running holding wearing looking next to front "
    "background white black wooden photograph view city beach snow grass people child bicycle train boat bridge light"
)


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        files = write_shard(Path(folder) / "photographs.tar")
        times, pictures = measure(Path(folder), files)
    median = {name: statistics.median(values) for name, values in times.items()}
    for name, seconds in median.items():
        print(
            f"{name:<11} {1e6 * seconds / pictures:6.0f} us a picture, {pictures / seconds:5.0f} pictures a CPU second"
        )
    print(f"{sum(map(len, files)) / len(files) / 1024:.0f} KiB a picture, {pictures} pictures a run, {RUNS} runs each")
    print(f"A/A bare: {100 * (median['bare again'] / median['bare'] - 1):+.1f} %")
    bounds = Bounds()
    # The pipeline runs between the two, so that their mean is what the machine gave at its time.
    ratios = [
        (before + after) / 2 / whole
        for before, whole, after in zip(times["bare"], times["pipeline"], times["bare again"], strict=True)
    ]
    bounds.at_least("speed of the whole pipeline over bare decode + resize", statistics.median(ratios), SHARE)
    bounds.finish()


def measure(folder: Path, files: list[bytes]) -> tuple[dict[str, list[float]], int]:
    """CPU seconds of each run by what ran, and how many pictures a run had. The first run of each is not counted."""
    recipe = make_recipe()
    sources = open_sources(recipe.data, root=folder)
    tokenizer = build_tokenizer(recipe, sources)
    with StageLoader(
        recipe=recipe, stage="only", tokenizer=tokenizer, sources=sources, workers=0, prefetch=1
    ) as loader:
        # The rows hold a fixed number of pictures, so that a run of STEPS steps has the same work every time.
        pictures = STEPS * ROWS * recipe.stages["only"].batch.images

        def pipeline() -> None:
            found = sum(next(loader).batch.num_views for _ in range(STEPS))
            assert found == pictures, f"{found} pictures in {STEPS} steps; expected {pictures}"

        def bare() -> None:
            each = pictures // STEPS
            for first in range(0, pictures, each):
                views = [decode_and_resize(files[number % len(files)]) for number in range(first, first + each)]
                assert len(views) == each

        runs: dict[str, Callable[[], None]] = {"bare": bare, "pipeline": pipeline, "bare again": bare}
        times: dict[str, list[float]] = {name: [] for name in runs}
        for run in range(RUNS + 1):
            for name, work in runs.items():
                seconds = cpu_seconds(work)
                if run:
                    times[name].append(seconds)
    return times, pictures


def decode_and_resize(data: bytes) -> torch.Tensor:
    """A JPEG to a view, uint8 (3, SIDE, SIDE): what anyone would write who wants nothing else."""
    pixels = torch.from_numpy(simplejpeg.decode_jpeg(data, colorspace="RGB")).unsqueeze(0).permute(0, 3, 1, 2)
    resized = torch.nn.functional.interpolate(
        pixels, size=(SIDE, SIDE), mode="bicubic", antialias=True, align_corners=False
    )
    return resized[0].contiguous()


def cpu_seconds(work: Callable[[], None]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def make_recipe() -> Recipe:
    """One stage on the shard, with the views of a SigLIP backbone at 384 px."""
    tree = {
        "name": "loader",
        "model": {
            "vision": {"patch": PATCH, "side": SIDE},
            "image": {"policy": "square", "side": SIDE},
            "connector": {"kind": "perceiver", "latents": 64},
        },
        "tokenizer": {"kind": "bpe", "vocabulary": 1024, "documents": PICTURES},
        "data": {"sources": {"photographs": {"kind": "webdataset", "path": "photographs.tar"}}},
        "stages": {
            "only": {
                "objective": {"kind": "next_token"},
                "train": {"connector": {"mode": "full"}},
                "mixture": {"photographs": 1},
                "duration": {"steps": 1000},
                "batch": {"rows": ROWS, "length": 1024, "images": 8},
            }
        },
    }
    return Recipe.model_validate_json(json.dumps(tree))


def write_shard(path: Path) -> list[bytes]:
    """A tar of photographs with captions; the JPEGs."""
    files: list[bytes] = []
    with tarfile.open(path, "w") as tar:
        for number in range(PICTURES):
            files.append(photograph(number))
            random = stream(0, "benchmark", "caption", number)
            words = random.choice(COMMON.split(), size=int(random.integers(WORDS[0], WORDS[1] + 1)))
            for kind, data in (("jpg", files[-1]), ("txt", " ".join(words).encode())):
                info = tarfile.TarInfo(f"{number:06d}.{kind}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return files


def photograph(number: int) -> bytes:
    """A JPEG with a photograph's statistics: large smooth shapes, finer detail of less contrast, sensor noise."""
    random = stream(0, "benchmark", "photograph", number)
    pixels = random.normal(0, 4, (SIZE, SIZE, 3))
    for cells, contrast in ((8, 1.0), (32, 0.3), (128, 0.2), (256, 0.1)):
        layer = Image.fromarray(random.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        pixels += contrast * (np.asarray(layer.resize((SIZE, SIZE), Image.Resampling.BICUBIC), dtype=np.float64) - 128)
    buffer = io.BytesIO()
    Image.fromarray((128 + 0.7 * pixels).clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
