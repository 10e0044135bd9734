"""How a stage's module is spread over processes: whole on each (DDP), or its parameters in shards (FSDP2)."""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.nn.parallel import DistributedDataParallel

from vlmlab.plan.memory import fits_whole, shards
from vlmlab.recipe.machine import Machine
from vlmlab.training.stage_module import StageModule
from vlmlab.training.world import World, local_rank, processes

Spreading = Literal["alone", "replicate", "shard"]


@dataclass(frozen=True, slots=True)
class Spread:
    """A stage's module as it is called, and itself."""

    module: StageModule
    call: nn.Module
    how: Spreading

    def accumulating(self, *, last: bool) -> AbstractContextManager[None]:
        """Around one micro-batch: replicas exchange gradients after the last one alone.

        Shards exchange them every time: the whole gradient of a shard's neighbours never has to be kept.
        """
        if isinstance(self.call, DistributedDataParallel) and not last:
            return self.call.no_sync()
        return nullcontext()


def choose(module: nn.Module, machine: Machine, world: World) -> Spreading:
    """What fits is replicated, because that moves less between devices; the plan decides with the same function."""
    if world.size == 1:
        return "alone"
    return "shard" if shards(machine, **_sizes(module)) else "replicate"


def small_enough(module: nn.Module, machine: Machine, world: World) -> bool:
    """Whether one device can hold the training state of the whole module; a process on its own must."""
    return world.size == 1 or fits_whole(machine, **_sizes(module))


def _sizes(module: nn.Module) -> dict[str, int]:
    parameters = list(module.parameters())
    return {
        "parameters": sum(parameter.numel() for parameter in parameters),
        "trained": sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
    }


def spread(module: StageModule, *, machine: Machine, world: World) -> Spread:
    """Spread a module whose parameters are equal on every process; what trains must be set already.

    Shards: the vision backbone, every block of the language model, and all the rest are one unit each. Parameters and
    optimiser state stay in float32; `machine.gather` is the type in which parameters travel, gradients are reduced in
    float32.
    """
    how = choose(module, machine, world)
    match how:
        case "alone":
            return Spread(module, module, how)
        case "replicate":
            devices = [torch.cuda.current_device()] if machine.device == "cuda" else None
            with warnings.catch_warnings():
                # Buffers hold constants. The argument's new name is not known to every torch that is supported.
                warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated")
                call = DistributedDataParallel(
                    module, device_ids=devices, broadcast_buffers=False, gradient_as_bucket_view=True
                )
            return Spread(module, call, how)
        case "shard":
            mesh = init_device_mesh(machine.device, (world.size,))
            travels = machine.gather == "bfloat16" and module.model.precision == "bfloat16"
            policy = MixedPrecisionPolicy(
                param_dtype=torch.bfloat16 if travels else None,
                reduce_dtype=torch.float32,
                # The residual stream keeps its type: autocast lowers the products alone.
                cast_forward_inputs=False,
            )
            model = module.model
            # The backbone as one unit: it runs once a forward pass, but its blocks once for each shape of view, and how
            # many shapes there are differs between processes.
            for unit in (model.vision, *model.language.blocks):
                fully_shard(unit, mesh=mesh, mp_policy=policy)
            fully_shard(module, mesh=mesh, mp_policy=MixedPrecisionPolicy(cast_forward_inputs=False))
            return Spread(module, module, how)


def join(machine: Machine) -> World:
    """Join the process group of the launcher that started this process, if any; with CUDA one device a process."""
    if processes() == 1:
        return World()
    if not torch.distributed.is_initialized():
        if machine.device == "cuda":
            torch.cuda.set_device(local_rank())
        backend = "cpu:gloo,cuda:nccl" if machine.device == "cuda" else "gloo"
        torch.distributed.init_process_group(backend)
    return World.current()


def leave(world: World) -> None:
    """Leave the process group once everybody is here; what follows is one process's work."""
    world.wait()
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
