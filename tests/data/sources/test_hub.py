from __future__ import annotations

from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

from vlmlab.data.sources.hub import HubPath, parse_hub_path
from vlmlab.data.sources.open import open_source
from vlmlab.errors import DataError
from vlmlab.recipe.source import Data, JsonlSource


def opened(path: str) -> object:
    return open_source(JsonlSource(kind="jsonl", path=path, form="text"), name="far", data=Data(), root=Path())


def test_paths() -> None:
    assert parse_hub_path("hf://datasets/o/n@abc/d/*.jsonl", where="") == HubPath("o/n", "abc", "d/*.jsonl")
    assert parse_hub_path("hf://datasets/o/n/f", where="") == HubPath("o/n", "", "f")
    with pytest.raises(DataError, match="expected hf://datasets/OWNER/NAME"):
        opened("hf://datasets/only")


def test_files_are_fetched_by_pattern(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def fetch(repository: str, *, repo_type: str, revision: str | None, allow_patterns: list[str]) -> str:
        asked.extend([repository, repo_type, revision, allow_patterns])
        (tmp_path / "d").mkdir()
        (tmp_path / "d" / "a.jsonl").write_text('{"text": "fetched"}\n')
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    source = opened("hf://datasets/o/n@abc/d/*.jsonl")
    assert asked == ["o/n", "dataset", "abc", ["d/*.jsonl"]]
    assert source.row(0).text == "fetched"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (LocalEntryNotFoundError("no"), "hub cannot be reached; connect once"),
        (HFValidationError("bad"), "is no name of"),
    ],
)
def test_failures_name_the_repository(error: Exception, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(DataError, match=words) as caught:
        opened("hf://datasets/o/n@abc/d/*.jsonl")
    assert caught.value.where == "data.sources.far.path"
    assert "o/n" in str(caught.value)
