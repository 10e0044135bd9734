"""A run: stages in order, evaluation, report. Called again on its directory it continues where it stopped."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import torch

from vlmlab.data.sources.contract import OpenSource
from vlmlab.data.sources.open import open_sources
from vlmlab.data.tokenizer import Tokenizer, build_tokenizer
from vlmlab.errors import Diverged, Interrupted, RunError
from vlmlab.evaluate.run import evaluate
from vlmlab.files import digest, read_json, write_json
from vlmlab.models.build import BuildOptions, build_model, components
from vlmlab.models.model import VisionLanguageModel
from vlmlab.plan.estimate import plan
from vlmlab.plan.hardware import peak, utilisation
from vlmlab.recipe.load import LoadedRecipe
from vlmlab.recipe.machine import Machine
from vlmlab.recipe.recipe import Recipe
from vlmlab.records.run import DivergenceRecord, StageRecord, StepRecord
from vlmlab.report.page import write_report
from vlmlab.run.directory import RunDirectory
from vlmlab.run.identity import COMPONENTS, identities_after, initial_identities, stage_content, used_components
from vlmlab.run.provenance import now, provenance
from vlmlab.run.store import Store
from vlmlab.run.told import Silent, Told, Watcher
from vlmlab.run.trackers import Trackers, open_trackers
from vlmlab.training.checkpoint import save_tensors
from vlmlab.training.monitor import cpu_seconds
from vlmlab.training.parallel import join, leave
from vlmlab.training.train import StageResult, train_stage
from vlmlab.training.world import World, led, processes


def run_recipe(
    loaded: LoadedRecipe, *, machine: Machine, out: Path | None = None, watcher: Watcher | None = None
) -> Path:
    """Run a recipe to its end and return the run directory.

    A finished directory of the same recipe is returned as it is.
    """
    recipe = loaded.recipe
    prepare(machine)
    check_processes(machine)
    world = join(machine)
    directory = RunDirectory(Path(machine.runs) / recipe.name if out is None else out)
    watcher = Silent() if watcher is None or not world.leads else watcher
    if world.leads:
        watcher = Told(watcher, folder=directory.path, benchmarks=len(recipe.evaluation.benchmarks))
    with (
        directory.write(recipe, loaded.text) if world.leads else contextlib.nullcontext(),
        divergence_kept(directory, leads=world.leads),
    ):
        if world.tell(directory.complete()):
            leave(world)
            return directory.path
        trackers = open_trackers(machine, run=directory.path, recipe=recipe) if world.leads else Trackers()
        started, started_cpu = time.perf_counter(), cpu_seconds()
        if world.leads:
            record_start(loaded, machine=machine, directory=directory)
        store = Store(Path(machine.store))
        with led(world):
            sources = open_sources(recipe.data, root=Path(), names=recipe.drawn_sources())
        with led(world):
            tokenizer = stored_tokenizer(recipe, sources=sources, store=store)
        with trackers:
            model = run_stages(
                recipe, tokenizer=tokenizer, sources=sources, machine=machine, store=store, directory=directory,
                watcher=watcher, trackers=trackers, world=world,
            )  # fmt: skip
        leave(world)
        if not world.leads:
            return directory.path
        save_model(directory, recipe=recipe, model=model, tokenizer=tokenizer)
        if recipe.evaluation.benchmarks:
            evaluate(
                model, recipe=recipe, tokenizer=tokenizer, machine=machine, folder=directory.evaluation, root=Path(),
                progress=watcher.evaluating,
            )  # fmt: skip
        spent, spent_cpu = time.perf_counter() - started, cpu_seconds() - started_cpu
        write_report(directory.path)
        directory.finish(recipe=recipe, finished=now(), seconds=spent, cpu_seconds=spent_cpu)
    return directory.path


@contextlib.contextmanager
def divergence_kept(directory: RunDirectory, *, leads: bool) -> Generator[None]:
    """Write diverged.json when a run ends because its numbers were not finite: a study counts it as an outcome."""
    try:
        yield
    except Diverged as error:
        if leads:
            record = DivergenceRecord(where=error.where, reason=error.problem)
            write_json(directory.path / "diverged.json", record.model_dump(mode="json"))
        raise


def record_start(loaded: LoadedRecipe, *, machine: Machine, directory: RunDirectory) -> None:
    """Write where the run comes from and what it is expected to cost."""
    write_json(
        directory.path / "provenance.json",
        provenance(machine, base=loaded.base, base_name=loaded.base_name).model_dump(mode="json"),
    )
    write_json(directory.path / "plan.json", plan(loaded.recipe, machine).model_dump(mode="json"))


def prepare(machine: Machine) -> None:
    """Set what torch takes from the machine: threads on a CPU, and a device that is really there."""
    if machine.device == "cuda" and not torch.cuda.is_available():
        raise RunError(
            f"machine {machine.name}",
            "device is cuda, but torch sees no CUDA device; use --machine laptop, or a CUDA build of torch",
        )
    torch.set_num_threads(machine.threads)


def check_processes(machine: Machine) -> None:
    """Raise RunError where the processes of this run are not as many as the machine's devices."""
    if processes() != machine.devices:
        found = "this is one process on its own" if processes() == 1 else f"{processes()} processes were started"
        raise RunError(
            f"machine {machine.name}",
            f"devices is {machine.devices}, but {found}; `vlmlab run` starts one for each device, or say "
            f"--set machine.devices={processes()}",
        )


def stored_tokenizer(recipe: Recipe, *, sources: dict[str, OpenSource], store: Store) -> Tokenizer:
    """The recipe's tokenizer, trained once for equal sources and settings; replicates share it, whatever their seed."""
    key = digest(
        [
            "tokenizer",
            recipe.tokenizer.plain(),
            recipe.template.plain(),
            {name: source.fingerprint() for name, source in sources.items()},
        ]
    )
    folder = store.folder / f"tokenizer-{key}"
    with contextlib.ExitStack() as stack:
        if not (folder / "done.json").exists():
            store.try_lock(folder.name, stack, seconds=None)
        if not (folder / "done.json").exists():
            tokenizer = build_tokenizer(recipe, sources)
            folder.mkdir(parents=True, exist_ok=True)
            tokenizer.save(folder)
            write_json(folder / "done.json", {"size": tokenizer.size})
            return tokenizer
    return Tokenizer.load(folder)


def fresh_model(recipe: Recipe, *, machine: Machine) -> VisionLanguageModel:
    """The recipe's model before its first stage."""
    options = BuildOptions(
        attention=machine.attention,
        gradient_checkpointing=machine.gradient_checkpointing,
        compile=machine.compile,
        device=machine.device,
    )
    return build_model(
        recipe.model, vocabulary=recipe.vocabulary(), seed=recipe.seed, precision=recipe.precision, options=options,
        seeds={component: recipe.component_seed(component) for component in COMPONENTS},
    )  # fmt: skip


def run_stages(
    recipe: Recipe, *, tokenizer: Tokenizer, sources: dict[str, OpenSource], machine: Machine, store: Store,
    directory: RunDirectory, watcher: Watcher, trackers: Trackers, world: World,
) -> VisionLanguageModel:  # fmt: skip
    """Train each stage, or take it from the store. Returns the model after the last."""
    model = fresh_model(recipe, machine=machine)
    identities = initial_identities(recipe)
    done: list[str] = []
    for name in recipe.stages:
        content = stage_content(recipe, name, before=identities, tokenizer=tokenizer.fingerprint(), sources=sources)
        identity = digest(content)
        with stage_lock(store, identity, world):
            reused = world.tell(store.path(identity) is not None if world.leads else None)
            stop = 0
            if reused:
                store.load(identity, components(model))
            else:
                result = train_one(
                    recipe, name, identity=identity, content=content, model=model, tokenizer=tokenizer,
                    sources=sources, machine=machine, store=store, watcher=watcher, trackers=trackers, world=world,
                )  # fmt: skip
                stop = result.stop
                if result.sharded:
                    model = fresh_model(recipe, machine=machine)
                    for earlier in (*done, identity):
                        store.load(earlier, components(model))
        done.append(identity)
        if world.leads:
            record = record_stage(directory, name, identity=identity, reused=reused, store=store)
            trackers.finish(name, metrics=directory.stage(name) / "metrics.jsonl")
            watcher.stage_finished(name, record)
        if stop:
            raise Interrupted(f"stage {name}, which is done", number=stop)
        identities = identities_after(recipe, name, before=identities, identity=identity)
    return model


@contextlib.contextmanager
def stage_lock(store: Store, identity: str, world: World) -> Generator[None]:
    """Held by the leading process for all. While another run trains the stage the others hear of it now and then, so
    that no operation among processes lasts long."""
    with contextlib.ExitStack() as stack:
        while True:
            got = world.leads and store.try_lock(identity, stack, seconds=None if world.size == 1 else 60.0)
            if world.tell(got):
                break
        yield


def record_stage(directory: RunDirectory, name: str, *, identity: str, reused: bool, store: Store) -> StageRecord:
    """Copy a finished stage's record and metrics from the store into the run directory."""
    own = directory.stage(name) / "summary.json"
    mine = own.exists() and read_json(own)["identity"] == identity and not read_json(own)["reused"]
    record = store.record(identity).model_copy(update={"reused": reused and not mine, "name": name})
    own.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(store.folder / identity / "metrics.jsonl", own.parent / "metrics.jsonl")
    write_json(own, record.model_dump(mode="json"))
    return record


def train_one(
    recipe: Recipe, name: str, *, identity: str, content: dict[str, Any], model: VisionLanguageModel,
    tokenizer: Tokenizer, sources: dict[str, OpenSource], machine: Machine, store: Store, watcher: Watcher,
    trackers: Trackers, world: World,
) -> StageResult:  # fmt: skip
    """Train one stage into the store."""
    stage = recipe.stages[name]
    drawn = {source: sources[source] for source, weight in stage.mixture.items() if weight > 0}
    metrics = store.work(identity) / "metrics.jsonl"

    def told(row: StepRecord, done: float) -> None:
        trackers.step(name, row, metrics=metrics)
        watcher.step(name, row, done)

    result = train_stage(
        model, recipe=recipe, name=name, tokenizer=tokenizer, sources=drawn, machine=machine,
        folder=store.work(identity), content=content, sees="vision" in used_components(recipe, name), world=world,
        listener=told,
        on_ledger=lambda rows: watcher.stage_started(name, stage, rows),
    )  # fmt: skip
    counts = result.counts
    record = StageRecord(
        name=name, objective=stage.objective.kind, identity=identity, reused=False, steps=counts.steps,
        tokens=counts.tokens, learned=counts.learned, visual=counts.visual, images=counts.images,
        documents=counts.documents, loss_first=counts.loss_first or 0.0, loss_last=counts.loss_last,
        skipped=counts.skipped, useful_flops=counts.useful_flops, seconds=counts.seconds,
        data_seconds=counts.data_seconds, cpu_seconds=counts.cpu_seconds,
        mfu=utilisation(
            counts.useful_flops, seconds=counts.seconds, peak=peak(machine, precision=recipe.precision)
        ),
        peak_memory=counts.peak_memory, ledger=result.ledger, refusals=result.refusals,
    )  # fmt: skip
    if world.leads:
        store.finish(identity, weights=result.weights, record=record)
    world.wait()
    return result


def save_model(directory: RunDirectory, *, recipe: Recipe, model: VisionLanguageModel, tokenizer: Tokenizer) -> None:
    """Write model/: one safetensors file a component, and the tokenizer."""
    directory.model.mkdir(parents=True, exist_ok=True)
    for component, module in components(model).items():
        save_tensors(directory.model / f"{component}.safetensors", dict(module.state_dict()))
    tokenizer.save(directory.model)
