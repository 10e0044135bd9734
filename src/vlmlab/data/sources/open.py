"""From a source's spec to an opened source: the one match."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path
from typing import assert_never

from vlmlab.data.sources.contract import OpenSource
from vlmlab.data.sources.jsonl import JsonlRows
from vlmlab.data.sources.parquet import ParquetRows
from vlmlab.data.sources.webdataset import WebdatasetRows
from vlmlab.data.sources.world import WorldRows
from vlmlab.data.world.world import GeneratedWorld
from vlmlab.recipe.source import Data, JsonlSource, ParquetSource, Source, WebdatasetSource, World, WorldSource


@functools.lru_cache(maxsize=4)
def _world(spec: World) -> GeneratedWorld:
    """Sources of one recipe share their world."""
    return GeneratedWorld(spec)


def open_source(spec: Source, *, name: str, data: Data, root: Path) -> OpenSource:
    """Open a source; relative paths start at `root`. Raises DataError for what is missing, empty or of another form."""
    match spec:
        case WorldSource():
            return WorldRows(spec, name=name, data=data, world=_world(data.world))
        case JsonlSource():
            return JsonlRows(spec, name=name, root=root)
        case WebdatasetSource():
            return WebdatasetRows(spec, name=name, root=root)
        case ParquetSource():
            return ParquetRows(spec, name=name, root=root)
        case _:
            assert_never(spec)


def open_sources(data: Data, *, root: Path, names: Iterable[str] | None = None) -> dict[str, OpenSource]:
    """Open the named sources of a recipe, or all of them."""
    chosen = data.sources if names is None else names
    return {name: open_source(data.sources[name], name=name, data=data, root=root) for name in chosen}
