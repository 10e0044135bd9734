"""The store of finished stages, by identity: a second run, or another arm of a study, does not train them again."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor, nn

from vlmlab.files import file_digest, read_json, write_json
from vlmlab.locks import try_exclusive
from vlmlab.records.run import StageRecord
from vlmlab.training.checkpoint import load_into, save_tensors


class Store:
    """A folder of finished stages: `IDENTITY/{component}.safetensors, metrics.jsonl, stage.json, manifest.json`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def work(self, identity: str) -> Path:
        """Where an unfinished stage keeps its checkpoints and metrics."""
        return self.folder / f"{identity}.work"

    def try_lock(self, identity: str, stack: contextlib.ExitStack, *, seconds: float | None) -> bool:
        """Held while a stage trains: two runs never train the same stage at once; the second waits and reuses."""
        return try_exclusive(self.folder / f"{identity}.lock", stack, seconds=seconds)

    def path(self, identity: str) -> Path | None:
        """The finished stage's folder, or None. A damaged one (a file's hash differs) is removed and trained again."""
        folder = self.folder / identity
        manifest = folder / "manifest.json"
        if not manifest.exists():
            return None
        files: dict[str, str] = read_json(manifest)["files"]
        if all((folder / name).exists() and file_digest(folder / name) == value for name, value in files.items()):
            return folder
        shutil.rmtree(folder)
        return None

    def record(self, identity: str) -> StageRecord:
        """The record of a finished stage."""
        return StageRecord.model_validate_json((self.folder / identity / "stage.json").read_text(encoding="utf-8"))

    def load(self, identity: str, parts: dict[str, nn.Module]) -> None:
        """Load the components that the stage trained into the model."""
        folder = self.folder / identity
        for component, module in parts.items():
            file = folder / f"{component}.safetensors"
            if file.exists():
                load_into(module, load_file(file), where=str(file))

    def finish(self, identity: str, *, weights: dict[str, dict[str, Tensor]], record: StageRecord) -> Path:
        """Move a stage from its work folder into the store: weights by component, metrics and record, manifest last."""
        folder, work = self.folder / identity, self.work(identity)
        folder.mkdir(parents=True, exist_ok=True)
        for component, tensors in weights.items():
            save_tensors(folder / f"{component}.safetensors", tensors)
        shutil.copyfile(work / "metrics.jsonl", folder / "metrics.jsonl")
        write_json(folder / "stage.json", record.model_dump(mode="json"))
        files = {path.name: file_digest(path) for path in sorted(folder.iterdir()) if path.name != "manifest.json"}
        write_json(folder / "manifest.json", {"identity": identity, "files": files})
        shutil.rmtree(work)
        return folder
