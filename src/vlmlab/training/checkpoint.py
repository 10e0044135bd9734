"""Checkpoints inside a stage: weights, optimiser state, counters and the loader's position, whole or absent.

A checkpoint is a folder of safetensors that torch's distributed checkpointing writes in the background, each process
its own shards; any number of processes reads it back. It is written beside its place and renamed into it; its manifest
is written last and holds a hash of every file, so that a damaged checkpoint is recognised and the previous one is used.
"""

from __future__ import annotations

import logging
import os
import shutil
import warnings
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.distributed.checkpoint import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.tensor import DTensor

from vlmlab.errors import RunError
from vlmlab.files import file_digest, read_json, write_json
from vlmlab.recipe.spec import differing
from vlmlab.training.world import World

PARTIAL = ".partial-"
"""Start of the name of a checkpoint that is being written."""

_SLOTS = ("step", "exp_avg", "exp_avg_sq")
"""AdamW's state of one parameter."""

_log = logging.getLogger(__name__)

# A process on its own needs no process group, which torch's checkpointing, in a thread of its own, warns about.
warnings.filterwarnings("ignore", message="torch.distributed is disabled, unavailable or uninitialized")


@dataclass(frozen=True, slots=True)
class Found:
    """An undamaged checkpoint."""

    path: Path
    step: int
    state: dict[str, Any]
    """Plain data: counters, the loader's place."""
    tensors: tuple[str, ...]


class CheckpointWriter:
    """Writes the checkpoints of one stage; training goes on while one is written.

    `content` is what the stage's identity is the hash of: a checkpoint of anything else is refused.
    """

    def __init__(self, folder: Path, *, content: dict[str, Any], keep: int, world: World) -> None:
        self._folder = folder
        self._content = content
        self._keep = keep
        self._world = world
        # Its own group: what the background thread says must not mix with what training says.
        self._group = dist.new_group(backend="gloo") if world.size > 1 else None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None

    def save(self, *, step: int, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Begin to write `step-N`, once the previous one is whole. Every process calls it at the same step."""
        self.finish()
        target = self._folder / f"step-{step:08d}"
        partial = self._folder / f"{PARTIAL}{target.name}"
        if self._world.leads:
            self._folder.mkdir(parents=True, exist_ok=True)
            for left in self._folder.glob(f"{PARTIAL}*"):
                shutil.rmtree(left)
            partial.mkdir()
        self._world.wait()
        saving = dcp.async_save(
            dict(tensors),
            storage_writer=HuggingFaceStorageWriter(str(partial), save_distributed=True),
            process_group=self._group,
            no_dist=self._group is None,
        )
        manifest = {"step": step, "content": self._content, "state": state, "tensors": sorted(tensors)}
        assert isinstance(saving, Future)
        own = manifest if self._world.leads else None
        self._writing = self._thread.submit(_complete, saving, partial, target, own, self._keep)

    def __enter__(self) -> CheckpointWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.finish()
        elif self._writing is not None:
            # The other processes may be gone: only what this one still writes is waited for.
            wait([self._writing])
        self._thread.shutdown()
        if error is None and self._group is not None:
            dist.destroy_process_group(self._group)

    def finish(self) -> None:
        """Until what is being written is whole, on every process."""
        if self._writing is None:
            return
        writing, self._writing = self._writing, None
        try:
            writing.result()
        except (OSError, CheckpointException) as error:
            raise RunError(str(self._folder), f"a checkpoint could not be written: {error}") from error
        self._world.wait()


def _complete(saving: Future[Any], partial: Path, target: Path, manifest: dict[str, Any] | None, keep: int) -> None:
    """Wait for the files; the leading process, which has the manifest, then puts the checkpoint into its place."""
    saving.result()
    if manifest is not None:
        seal(partial, target, manifest=manifest, keep=keep)


def seal(partial: Path, target: Path, *, manifest: dict[str, Any], keep: int) -> None:
    """Hash the files of a written checkpoint, write its manifest, rename it into place, and leave the last `keep`."""
    files = {path.name: file_digest(path) for path in sorted(partial.iterdir())}
    write_json(partial / "manifest.json", {**manifest, "files": files})
    if target.exists():
        shutil.rmtree(target)
    os.replace(partial, target)
    for path in checkpoints(target.parent):
        if path.name > target.name:
            shutil.rmtree(path)  # later than training is: it was found damaged
    for old in checkpoints(target.parent)[:-keep]:
        shutil.rmtree(old)


def checkpoints(folder: Path) -> list[Path]:
    """Checkpoint folders, oldest first."""
    return sorted(path for path in folder.glob("step-*") if path.is_dir())


def find_checkpoint(folder: Path, *, content: dict[str, Any]) -> Found | None:
    """The newest undamaged checkpoint, or None where there is none.

    Raises RunError that names the differing fields where it belongs to another recipe.
    """
    for path in reversed(checkpoints(folder)):
        damage = damaged(path)
        if damage is not None:
            _log.warning("%s is damaged (%s); an earlier checkpoint is used", path, damage)
            continue
        manifest = read_json(path / "manifest.json")
        _check_content(path, manifest["content"], content)
        return Found(path, int(manifest["step"]), manifest["state"], tuple(manifest["tensors"]))
    return None


def damaged(path: Path) -> str | None:
    """What is wrong with a checkpoint's files, or None."""
    try:
        files: dict[str, str] = read_json(path / "manifest.json")["files"]
        for name, digest in files.items():
            if file_digest(path / name) != digest:
                return f"{name} does not have the hash of its manifest"
    except (OSError, ValueError, KeyError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def _check_content(path: Path, found: dict[str, Any], expected: dict[str, Any]) -> None:
    fields = differing(found, expected)
    if fields is not None:
        raise RunError(
            str(path), f"the checkpoint belongs to another recipe ({fields}); run that recipe, or remove the folder"
        )


def training_tensors(parts: dict[str, nn.Module], optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Every tensor that training has changed so far: parameters (tied ones once), buffers, optimiser state."""
    tensors: dict[str, Tensor] = {}
    for name, parameter in named_parameters(parts).items():
        tensors[f"weights:{name}"] = parameter.detach()
        for slot, value in optimizer.state.get(parameter, {}).items():
            tensors[f"{slot}:{name}"] = value
    for component, module in parts.items():
        kept = module.state_dict(keep_vars=True)
        for name, buffer in module.named_buffers():
            if name in kept:
                tensors[f"buffers:{component}.{name}"] = buffer
    return tensors


def named_parameters(parts: dict[str, nn.Module]) -> dict[str, nn.Parameter]:
    """Parameters by component and name, tied ones once."""
    return {
        f"{component}.{name}": parameter
        for component, module in parts.items()
        for name, parameter in module.named_parameters()
    }


@torch.no_grad()
def restore(found: Found, *, parts: dict[str, nn.Module], optimizer: torch.optim.Optimizer) -> None:
    """Put weights and optimiser state back, bit for bit, into shards of any number of processes."""
    parameters = named_parameters(parts)
    states: dict[str, dict[str, Tensor]] = {}
    for name, parameter in parameters.items():
        if f"step:{name}" in found.tensors:
            # AdamW counts steps on the CPU, but beside the parameter where its kernel is fused on a GPU.
            step = torch.zeros((), dtype=torch.float32, device=parameter.device if parameter.is_cuda else "cpu")
            moments = {slot: torch.zeros_like(parameter) for slot in _SLOTS if slot != "step"}
            states[name] = {"step": step, **moments}
    wanted = training_tensors(parts, optimizer) | {
        f"{slot}:{name}": value for name, slots in states.items() for slot, value in slots.items()
    }
    missing, unknown = sorted(set(wanted) - set(found.tensors)), sorted(set(found.tensors) - set(wanted))
    if missing or unknown:
        raise RunError(
            str(found.path), f"the checkpoint does not fit the stage: missing {missing[:5]}, unknown {unknown[:5]}"
        )
    alone = not dist.is_initialized()
    dcp.load(wanted, storage_reader=HuggingFaceStorageReader(str(found.path)), no_dist=alone)
    for name, slots in states.items():
        optimizer.state[parameters[name]] = dict(slots)


def whole(tensors: dict[str, Tensor], *, world: World) -> dict[str, Tensor]:
    """Sharded tensors gathered on the CPU of the leading process, plain ones as they are; nothing on the others.

    Every process calls it. Names that share a tensor share the gathered one.
    """
    gathered: dict[int, Tensor] = {}
    for tensor in tensors.values():
        if id(tensor) not in gathered:
            found = _gathered(tensor)
            gathered[id(tensor)] = found if world.leads else found.new_empty(0)
    return {name: gathered[id(tensor)] for name, tensor in tensors.items()} if world.leads else {}


def _gathered(tensor: Tensor) -> Tensor:
    own = tensor.detach()
    return own.full_tensor().cpu() if isinstance(own, DTensor) else own


def save_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write a safetensors file. Tied tensors are written once, under their first name."""
    seen: set[int] = set()
    kept: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if tensor.data_ptr() in seen and tensor.numel():
            continue
        seen.add(tensor.data_ptr())
        kept[name] = tensor.detach().cpu().contiguous()
    save_file(kept, path)


def load_into(module: nn.Module, tensors: dict[str, Tensor], *, where: str) -> None:
    """Load named tensors into a module. Every tensor must find its place; only names tied to a loaded one may miss."""
    own = module.state_dict()
    unknown = sorted(set(tensors) - set(own))
    loaded = {own[name].data_ptr() for name in tensors if name in own}
    missing = sorted(name for name, tensor in own.items() if name not in tensors and tensor.data_ptr() not in loaded)
    if unknown or missing:
        raise RunError(where, f"the stored weights do not fit the model: missing {missing[:5]}, unknown {unknown[:5]}")
    shapes: Sequence[str] = [name for name in tensors if own[name].shape != tensors[name].shape]
    if shapes:
        name = shapes[0]
        raise RunError(where, f"{name} has shape {tuple(tensors[name].shape)}, the model's is {tuple(own[name].shape)}")
    with torch.no_grad():
        for name, tensor in tensors.items():
            own[name].copy_(tensor)
