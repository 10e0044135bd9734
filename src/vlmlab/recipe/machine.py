"""Machine: what may not change a result. Equal within a declared tolerance across machines, bit-identical on one."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from vlmlab.recipe.spec import Spec


class Hardware(Spec):
    """What `plan` divides by."""

    name: str = "two laptop cores"
    """Words for people."""
    peak_float32: float = Field(default=1.7e11, gt=0)
    """FLOP/s of one device in float32."""
    peak_bfloat16: float = Field(default=4.1e11, gt=0)
    """FLOP/s of one device in bfloat16."""
    memory_gib: float = Field(default=8.0, gt=0)
    """Memory of one device in GiB."""
    utilisation: float = Field(default=0.3, gt=0, le=1)
    """Share of the peak that training is expected to reach; measured, not promised."""
    price_per_hour: float = Field(default=0.0, ge=0)
    """Price of one device-hour, in any currency."""


class Slurm(Spec):
    """A job of a Slurm cluster. One task a node; it starts a process for each device."""

    partition: str | None = None
    """Partition; null leaves the choice to the cluster."""
    account: str | None = None
    """Account that is charged."""
    hours: float = Field(default=24.0, gt=0)
    """Time limit. The job saves when it is told that the time is up."""
    memory_gib: int | None = Field(default=None, ge=1)
    """Memory of a node in GiB; null leaves the choice to the cluster."""
    setup: tuple[str, ...] = ()
    """Lines of shell before the run, such as `module load cuda`."""
    options: dict[str, str] = Field(default_factory=dict)
    """Further options of sbatch, by their long names without dashes."""


class Machine(Spec):
    """Where and how a recipe runs."""

    name: str = "laptop"
    """The machine's name."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Kind of device."""
    devices: int = Field(default=1, ge=1)
    """How many of them, on all nodes together; each has a process of its own."""
    nodes: int = Field(default=1, ge=1)
    """Computers that share the devices evenly."""
    parallel: Literal["auto", "replicate", "shard"] = "auto"
    """How several devices hold the model: whole on each (DDP), or in shards (FSDP2); auto shards what would not fit."""
    gather: Literal["float32", "bfloat16"] = "float32"
    """Type in which sharded blocks travel between devices under a bfloat16 recipe; bfloat16 halves the traffic and
    rounds what the norms multiply by."""
    restarts: int = Field(default=3, ge=0)
    """How often a run on several devices starts again from its last checkpoint after it lost one of them."""
    threads: int = Field(default=2, ge=1)
    """Threads of torch on a CPU, of each process; results are bit-identical for one number of threads."""
    workers: int = Field(default=0, ge=0)
    """Processes that prepare data, for each device; 0 prepares it in the training process. Batches are the same for
    any number."""
    prefetch: int = Field(default=4, ge=1)
    """Chunks of examples each worker prepares ahead."""
    micro_rows: int | None = Field(default=None, ge=1)
    """Rows of one forward pass; null means all rows of the step. Gradients are accumulated."""
    attention: Literal["auto", "matmul", "sdpa", "segments", "flex"] = "auto"
    """Attention kernel of the language model; auto chooses by device, precision and length."""
    gradient_checkpointing: bool = False
    """Recompute each block in the backward pass: less memory, a third more compute."""
    compile: bool = False
    """Compile the blocks with torch.compile."""
    loss_chunk: int = Field(default=8192, ge=1)
    """Learned positions whose logits exist at the same time."""
    evaluation_rows: int = Field(default=64, ge=1)
    """Prompts of one generation batch."""
    log_every: int = Field(default=10, ge=1)
    """Steps between two lines of metrics."""
    checkpoint_seconds: float = Field(default=120.0, gt=0)
    """Seconds between two checkpoints inside a stage."""
    checkpoint_steps: int | None = Field(default=None, ge=1)
    """Steps between two checkpoints inside a stage, instead of seconds."""
    checkpoints: int = Field(default=2, ge=1)
    """Checkpoints kept: the last, and earlier ones in case it is damaged."""
    trackers: tuple[Literal["tensorboard", "wandb"], ...] = ()
    """Also write the lines of metrics for these programs, into the run directory; wandb stays offline unless
    WANDB_MODE says otherwise. They need the extra `trackers`."""
    store: str = ".vlmlab/store"
    """Folder of finished stages, shared by all runs."""
    runs: str = "runs"
    """Folder of run directories."""
    hardware: Hardware = Field(default_factory=Hardware)
    """What the estimate of time and money is based on."""
    slurm: Slurm = Field(default_factory=Slurm)
    """What `vlmlab submit` asks a Slurm cluster for."""

    @model_validator(mode="after")
    def _check(self) -> Machine:
        if self.devices % self.nodes:
            raise ValueError(f"devices: {self.devices} devices cannot be shared evenly among {self.nodes} nodes")
        return self
