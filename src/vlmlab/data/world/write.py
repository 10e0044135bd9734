"""Write: the generated world as files in the formats that public data comes in, for the ordinary readers."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from vlmlab.data.document import Picture
from vlmlab.data.item import Item
from vlmlab.data.rows import CaptionRow, DialogueRow, InterleavedRow, Row, as_document
from vlmlab.data.world.disjoint import check_disjoint
from vlmlab.data.world.formats import png, write_cauldron, write_obelics, write_tar
from vlmlab.data.world.world import GeneratedWorld
from vlmlab.errors import DataError
from vlmlab.files import file_digest, write_json, write_jsonl, write_text
from vlmlab.recipe.evaluation import WorldBenchmarkFamily
from vlmlab.recipe.source import TrainingFamily, World
from vlmlab.recipe.tokenizer import Template

SHARD = 1000
"""Pairs of a tar."""
POOL = 64
"""Demonstrations of a benchmark, or as many as it has items if those are more."""
CARD = "world.json"
CONTENTS = frozenset({CARD, "README.md", "captions", "rendered", "pages", "dialogues", "corpus", "benchmarks"})

BENCHMARKS: tuple[WorldBenchmarkFamily, ...] = get_args(WorldBenchmarkFamily)

_ABOUT = {
    "captions/*.tar": "image-caption pairs; webdataset: KEY.png, KEY.txt, KEY.json",
    "rendered/*.tar": "printed words and their text; webdataset",
    "pages/pages.parquet": "pages of several images among text whose order matters; OBELICS' columns, images as bytes",
    "pages/binding.parquet": "pages that name things with nonce words; OBELICS' columns",
    "dialogues/dialogues.parquet": "questions and answers, one or several images; The Cauldron's columns",
    "dialogues/binding.parquet": "dialogues that name things with nonce words; The Cauldron's columns",
    "corpus/facts.jsonl": "text: what is true of the named places, all facts",
    "corpus/twins.jsonl": "text: described scenes with questions and answers",
    "corpus/binding_text.jsonl": "text: described things named with nonce words",
    "benchmarks/*.jsonl": "test items {id, cluster, image, question, answers, choices}; binding items carry their "
    "demonstrations; *.demonstrations.jsonl are items of the training split; images lie in benchmarks/images",
}


def write_world(folder: Path, world: World, documents: int, items: int) -> dict[str, Any]:
    """Write `documents` training documents of every family and `items` items of every benchmark; return the card.

    The same arguments give the same bytes. All is written beside `folder` and moved there when it is whole; an earlier
    world in `folder` is replaced then. Raises DataError if the folder holds anything else, if pyarrow is missing, or on
    a leak between training and test.
    """
    if documents < 1 or items < 1:
        raise DataError(str(folder), f"found {documents} documents and {items} items; both must be at least 1")
    _check_folder(folder)
    generated = GeneratedWorld(world)
    check_disjoint(generated, world.scenes, rows=min(documents, 500), items=min(items, 200))
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".partial", dir=folder.parent))
    try:
        _write_training(partial, generated, documents=documents)
        for family in BENCHMARKS:
            _write_benchmark(partial / "benchmarks", generated, family, items=items)
        card = _card(partial, generated, documents=documents, items=items)
        write_text(partial / "README.md", _readme(card))
        write_json(partial / CARD, card)
        mask = os.umask(0)
        os.umask(mask)
        partial.chmod(0o777 & ~mask)
        if folder.is_dir():
            shutil.rmtree(folder)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return card


def _check_folder(folder: Path) -> None:
    """Raise DataError unless the folder is absent, empty, or holds a generated world and nothing else."""
    if folder.exists() and not folder.is_dir():
        raise DataError(str(folder), "found a file; expected a folder that is empty, absent or a generated world")
    found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    foreign = [name for name in found if name not in CONTENTS] if CARD in found else found
    if foreign:
        raise DataError(
            str(folder),
            f"found {foreign[0]!r} in it; expected a folder that is empty, absent or a generated world; name another",
        )


def _write_training(folder: Path, world: GeneratedWorld, *, documents: int) -> None:
    def rows(family: TrainingFamily, first: int = 0, stop: int = documents) -> Iterator[Row]:
        return (world.training_row(family, index, world.spec.scenes) for index in range(first, stop))

    pairs_of: tuple[TrainingFamily, ...] = ("captions", "rendered")
    texts_of: tuple[TrainingFamily, ...] = ("facts", "twins", "binding_text")
    for family in pairs_of:
        for first in range(0, documents, SHARD):
            shard = rows(family, first, min(first + SHARD, documents))
            pairs = (row for row in shard if isinstance(row, CaptionRow))
            write_tar(folder / family / f"{first // SHARD:05d}.tar", pairs, first=first)
    write_obelics(folder / "pages" / "pages.parquet", (row for row in rows("pages") if isinstance(row, InterleavedRow)))
    write_cauldron(
        folder / "dialogues" / "dialogues.parquet", (row for row in rows("dialogues") if isinstance(row, DialogueRow))
    )
    # A binding document is a page or a dialogue. Of few documents all may be of one kind; no empty file is written.
    pages = [row for row in rows("binding") if isinstance(row, InterleavedRow)]
    dialogues = [row for row in rows("binding") if isinstance(row, DialogueRow)]
    if pages:
        write_obelics(folder / "pages" / "binding.parquet", pages)
    if dialogues:
        write_cauldron(folder / "dialogues" / "binding.parquet", dialogues)
    for family in texts_of:
        texts = [{"id": row.key, "text": as_document(row, Template()).text.strip()} for row in rows(family)]
        write_jsonl(folder / "corpus" / f"{family}.jsonl", texts)


def _write_benchmark(folder: Path, world: GeneratedWorld, family: WorldBenchmarkFamily, *, items: int) -> None:
    asked = world.benchmark_items(family, items, world.spec.scenes)
    write_jsonl(folder / f"{family}.jsonl", [_line(item, folder) for item in asked])
    if all(item.demonstrations is None for item in asked):
        pool = world.demonstration_pool(family, max(POOL, items), world.spec.scenes)
        write_jsonl(folder / f"{family}.demonstrations.jsonl", [_line(item, folder) for item in pool])


def _line(item: Item, folder: Path) -> dict[str, Any]:
    """An item as a line; its picture is written below `folder`."""
    line: dict[str, Any] = {
        "id": item.id,
        "cluster": item.cluster,
        "image": None if item.picture is None else _save(item.picture, folder),
        "question": item.question,
        "answers": list(item.answers),
    }
    if item.choices:
        line["choices"] = list(item.choices)
    if item.demonstrations is not None:
        line["demonstrations"] = [_line(shot, folder) for shot in item.demonstrations]
    return line


def _save(picture: Picture, folder: Path) -> str:
    """Write a picture as PNG; its path relative to `folder`, made of the last parts of its key."""
    split, *_, family, index, place = picture.key.split("/")[2:]
    name = f"images/{family}/{split}-{int(index):06d}-{place}.png"
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(picture.pixels()))
    return name


def _card(folder: Path, world: GeneratedWorld, *, documents: int, items: int) -> dict[str, Any]:
    written = sorted(path for path in folder.rglob("*") if path.suffix in (".tar", ".parquet", ".jsonl"))
    return {
        "kind": "vlmlab generated world",
        "origin": "drawn and written by a program; no pictures, fonts or texts of others; free of licences",
        "world": world.spec.plain(),
        "documents": documents,
        "items": items,
        "places": len(world.names),
        "facts_asked_over_pictures": len(world.facts.told_pairs),
        "facts_told_in_text_only": len(world.facts.text_only_pairs),
        "about": _ABOUT,
        "files": {
            path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": file_digest(path)}
            for path in written
        },
    }


def _readme(card: dict[str, Any]) -> str:
    lines = [
        "# A generated world",
        "",
        f"World {card['world']['seed']}: {card['places']} places with flags and facts. Origin: {card['origin']}.",
        f"{card['documents']} training documents of each family, {card['items']} items of each benchmark.",
        "Training and test share no scene, no fact asked over a picture, and no naming; the writer checked it.",
        f"{card['facts_told_in_text_only']} facts are told in text only: the knowledge benchmark asks these.",
        "",
        "| files | what |",
        "| --- | --- |",
        *(f"| {name} | {about} |" for name, about in card["about"].items()),
        "",
        f"{CARD} holds the settings, and the size and SHA-256 of every file.",
    ]
    return "\n".join(lines) + "\n"
