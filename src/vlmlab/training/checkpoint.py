"""Checkpoints inside a stage: weights, optimiser state, counters and the loader's position, whole or absent.

A checkpoint is a folder that is written beside its place and renamed into it; its manifest is written last and holds a
hash of every file, so that a damaged checkpoint is recognised and the previous one is used.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vlmlab.errors import RunError
from vlmlab.files import file_digest, read_json, write_json

KEEP = 2
"""Checkpoints kept: the last one, and the one before it in case the last is damaged."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What was read back."""

    weights: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    state: dict[str, Any]


def save_checkpoint(
    folder: Path, *, step: int, parts: dict[str, nn.Module], optimizer: torch.optim.Optimizer, state: dict[str, Any]
) -> Path:
    """Write `folder/step-N` and remove all but the last KEEP. `parts` are the modules that train, by component."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"step-{step:08d}"
    temporary = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder))
    try:
        save_tensors(temporary / "weights.safetensors", _named(parts))
        save_tensors(temporary / "optimizer.safetensors", _optimizer_tensors(optimizer))
        files = {path.name: file_digest(path) for path in sorted(temporary.iterdir())}
        write_json(temporary / "manifest.json", {"step": step, "state": state, "files": files})
        if target.exists():
            shutil.rmtree(target)
        os.replace(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    for old in checkpoints(folder)[:-KEEP]:
        shutil.rmtree(old)
    return target


def checkpoints(folder: Path) -> list[Path]:
    """Checkpoint folders, oldest first."""
    return sorted(path for path in folder.glob("step-*") if path.is_dir())


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest undamaged checkpoint, or None where there is none."""
    for path in reversed(checkpoints(folder)):
        manifest = path / "manifest.json"
        if not manifest.exists():
            continue
        content = read_json(manifest)
        if all(
            (path / name).exists() and file_digest(path / name) == digest for name, digest in content["files"].items()
        ):
            return Checkpoint(
                weights=load_file(path / "weights.safetensors"),
                optimizer=load_file(path / "optimizer.safetensors"),
                state=content["state"],
            )
    return None


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
    shapes = [name for name in tensors if own[name].shape != tensors[name].shape]
    if shapes:
        name = shapes[0]
        raise RunError(where, f"{name} has shape {tuple(tensors[name].shape)}, the model's is {tuple(own[name].shape)}")
    with torch.no_grad():
        for name, tensor in tensors.items():
            own[name].copy_(tensor)


def restore(
    checkpoint: Checkpoint, *, parts: dict[str, nn.Module], optimizer: torch.optim.Optimizer, where: str
) -> None:
    """Put weights and optimiser state back, bit for bit."""
    for component, module in parts.items():
        prefix = f"{component}:"
        mine = {
            name.removeprefix(prefix): tensor for name, tensor in checkpoint.weights.items() if name.startswith(prefix)
        }
        load_into(module, mine, where=where)
    for index, parameter in enumerate(_parameters(optimizer)):
        names = ("step", "exp_avg", "exp_avg_sq")
        if f"{index}:step" in checkpoint.optimizer:
            optimizer.state[parameter] = {
                name: checkpoint.optimizer[f"{index}:{name}"].to(
                    "cpu" if name == "step" and not parameter.is_cuda else parameter.device
                )
                for name in names
            }


def _named(parts: dict[str, nn.Module]) -> dict[str, Tensor]:
    return {
        f"{component}:{name}": tensor
        for component, module in parts.items()
        for name, tensor in module.state_dict().items()
    }


def _parameters(optimizer: torch.optim.Optimizer) -> Iterable[nn.Parameter]:
    groups: Sequence[dict[str, Any]] = optimizer.param_groups
    return (parameter for group in groups for parameter in group["params"])


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for index, parameter in enumerate(_parameters(optimizer)):
        for name, value in optimizer.state.get(parameter, {}).items():
            tensors[f"{index}:{name}"] = value if value.dim() else value.reshape(())
    return tensors
