"""No dead knobs: every leaf of the recipe, changed, changes a batch, the trained model or the scores.

Where one does not, it is listed as inert with the reason.

A field that changes nothing would let somebody run an ablation that measures nothing.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.micro import micro_machine, micro_tree
from vlmlab.data.loader import StageLoader
from vlmlab.data.sources.open import open_sources
from vlmlab.data.tokenizer import Tokenizer, build_tokenizer
from vlmlab.errors import VlmlabError
from vlmlab.evaluate.run import evaluate
from vlmlab.models.build import BuildOptions, build_model, components
from vlmlab.models.model import VisionLanguageModel
from vlmlab.recipe.path import replace
from vlmlab.recipe.recipe import Recipe
from vlmlab.recipe.spec import flatten
from vlmlab.training.train import train_stage

INERT = {
    "name": "names the run directory",
    "about": "words for people",
    "model.vision.preset": "its numbers are written into the fields below it",
    "model.language.preset": "its numbers are written into the fields below it",
    "model.language.max_positions": "a limit that is checked; rotary positions need no table",
    "model.language.rope_scaling": "fresh tiny models have none; loaded ones are compared with it",
    "data.bad_samples.in_a_row": "a limit on refused samples; the generated world has none",
    "data.bad_samples.share": "a limit on refused samples; the generated world has none",
    "template.instruction": "stands in few-shot prompts only: tested in tests/evaluate",
    "evaluation.resamples": "Monte Carlo noise of the intervals; three items have too few outcomes to show it",
    "data.sources.facts.scenes": "the family has no pictures",
    "stages.language.image": "the stage's sources have no pictures",
    "stages.language.batch.images": "the stage's sources have no pictures",
    **{
        f"stages.{stage}.nonfinite_steps": "a limit on steps that are not finite; these stages have none"
        for stage in ("vision", "language", "join")
    },
    "stages.language.batch.streams": "every document of the stage fills a row: two streams deal out as one does",
    "stages.vision.mixture.captions": "the only source of the stage: its share is one whatever its weight",
}
"""Leaves that may change without changing a result, and why."""

TOGETHER = {
    # A leaf that is meaningful only with others: what is changed instead.
    "seeds": {"seeds": {"vision": 5}},
    "model.vision.heads": {"model.vision.heads": 1},
    "model.vision.width": {"model.vision.width": 24},
    "model.vision.patch": {"model.vision.patch": 16},
    "model.vision.side": {"model.vision.side": 40},
    "model.vision.feature_layer": {"model.vision.feature_layer": -2},
    "model.vision.mean": {"model.vision.mean": [0.4, 0.5, 0.5]},
    "model.vision.std": {"model.vision.std": [0.4, 0.5, 0.5]},
    "model.vision.kind": {"model.vision.kind": "clip"},
    "model.vision.weights.kind": {},
    "model.language.weights.kind": {},
    "model.image.policy": {"model.image.policy": "pad", "data.world.scenes.aspect": [0.5, 2.0]},
    "model.image.side": {"model.image.side": 24},
    "model.image.resampler": {"model.image.resampler": "pillow", "model.image.side": 24},
    "model.image.interpolation": {"model.image.interpolation": "bilinear", "model.image.side": 24},
    "model.connector.kind": {"model.connector": {"kind": "linear"}},
    "model.fusion.kind": {},
    "model.language.kind": {"model.language.kind": "qwen2"},
    "model.language.width": {"model.language.width": 24},
    "model.language.heads": {"model.language.heads": 4},
    "model.language.kv_heads": {"model.language.kv_heads": 1},
    "model.language.head_width": {"model.language.head_width": 12},
    "model.language.vocabulary": {},
    "tokenizer.kind": {},
    "precision": {"precision": "bfloat16"},
    "stages.vision.batch.images": {},
    "stages.vision.batch.packing": {},
    "stages.vision.batch.long_documents": {
        "stages.vision.batch.long_documents": "skip",
        "stages.vision.batch.length": 40,
    },
    "stages.vision.objective.text.width": {"stages.vision.objective.text.width": 24},
    "stages.vision.objective.text.heads": {"stages.vision.objective.text.heads": 4},
    "stages.language.batch.packing": {"stages.language.batch.packing": False, "stages.language.batch.length": 256},
    "stages.vision.batch.streams": {"stages.vision.batch.streams": 2},
    "stages.join.batch.streams": {"stages.join.batch.streams": 3},
    "evaluation.confidence": {"evaluation.confidence": 0.8},
    "data.world.scenes.caption_style": {"data.world.scenes.caption_style": "alt_text"},
    "data.world.scenes.objects": {"data.world.scenes.objects": [2, 3]},
    "data.world.scenes.glyph": {"data.world.scenes.glyph": [0.3, 0.35]},
    "data.world.scenes.aspect": {"data.world.scenes.aspect": [0.5, 2.0]},
    "data.world.scenes.master": {"data.world.scenes.master": 48},
}
"""Leaves whose next value is not simply "a little more"; {} means that only one value exists for a fresh tiny model."""

BASE: dict[str, Any] = {
    "evaluation__benchmarks": {
        "general": {
            "kind": "world", "family": "general", "items": 3, "shots": [0, 1], "demonstration_seeds": [0],
            "decoding": {"max_tokens": 3, "temperature": 1.0, "top_p": 0.9},
        }
    }
}  # fmt: skip


def base_tree() -> dict[str, Any]:
    return Recipe.model_validate_json(json.dumps(micro_tree(**BASE))).plain()


def more(value: Any, path: str) -> Any:
    """Another legal value of a leaf."""
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case float():
            return value * 0.5 if value else 0.5
        case str() if path.endswith("loss"):
            return "softmax"
        case str() if path.endswith(".split"):
            return "validation"
        case str() if path.endswith("schedule.kind"):
            return "constant"
        case str() if path.endswith("long_documents"):
            return "skip"
        case str() if path.endswith("family"):
            return {
                "captions": "rendered",
                "dialogues": "pages",
                "facts": "twins",
                "twins": "facts",
                "general": "reading",
            }[value]
        case str() if path.startswith("template."):
            return f"{value}!"
        case list() if path.endswith("betas"):
            return [0.8, 0.9]
        case list() if path.endswith("shots"):
            return [0, 2]
        case list() if path.endswith("demonstration_seeds"):
            return [7]
    raise AssertionError(f"no other value is known for {path} = {value!r}; add it to TOGETHER")


@dataclass
class Effects:
    """What a recipe does, computed from cheap to dear."""

    recipe: Recipe
    folder: Path
    _cache: dict[str, Any] = field(default_factory=dict)

    def signatures(self) -> Iterator[Callable[[], str]]:
        yield lambda: self._cached("digest of batches", self.batches)
        yield lambda: self._cached("digest of model", self.model)
        yield lambda: self._cached("digest of training", self.training)
        yield lambda: self._cached("digest of evaluation", self.evaluation)

    def _sources(self) -> Any:
        return self._cached(
            "sources", lambda: open_sources(self.recipe.data, root=Path(), names=self.recipe.drawn_sources())
        )

    def _tokenizer(self) -> Tokenizer:
        return self._cached("tokenizer", lambda: build_tokenizer(self.recipe, self._sources()))

    def _cached(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self._cache:
            self._cache[name] = make()
        return self._cache[name]

    def batches(self) -> str:
        digest = hashlib.sha256()
        for name in self.recipe.stages:
            with StageLoader(
                recipe=self.recipe,
                stage=name,
                tokenizer=self._tokenizer(),
                sources=self._sources(),
                workers=0,
                prefetch=1,
            ) as loader:
                batch = next(iter(loader)).batch
            for tensor in (batch.ids, batch.targets, batch.positions, batch.segments, batch.pixels):
                digest.update(tensor.numpy().tobytes())
        return digest.hexdigest()

    def fresh(self) -> VisionLanguageModel:
        options = BuildOptions(attention="auto", gradient_checkpointing=False, compile=False, device="cpu")
        return build_model(
            self.recipe.model,
            vocabulary=self.recipe.vocabulary(),
            seed=self.recipe.seed,
            precision=self.recipe.precision,
            options=options,
        )

    def model(self) -> str:
        return digest_of(self.fresh())

    def trained(self) -> VisionLanguageModel:
        def train() -> VisionLanguageModel:
            model = self.fresh()
            for name in self.recipe.stages:
                work = self.folder / name
                shutil.rmtree(work, ignore_errors=True)
                train_stage(
                    model, recipe=self.recipe, name=name, tokenizer=self._tokenizer(), sources=self._sources(),
                    machine=micro_machine(self.folder), folder=work, content={},
                )  # fmt: skip
            return model

        return self._cached("trained", train)

    def training(self) -> str:
        return digest_of(self.trained())

    def evaluation(self) -> str:
        folder = self.folder / "evaluation"
        shutil.rmtree(folder, ignore_errors=True)
        record = evaluate(
            self.trained(), recipe=self.recipe, tokenizer=self._tokenizer(), machine=micro_machine(self.folder),
            folder=folder, root=Path(), progress=None,
        )  # fmt: skip
        rows = "".join(path.read_text() for path in sorted(folder.glob("*.jsonl")))
        scores = record.model_dump(mode="json", exclude={"seconds", "cpu_seconds"})
        return hashlib.sha256((rows + json.dumps(scores)).encode()).hexdigest()


def digest_of(model: VisionLanguageModel) -> str:
    digest = hashlib.sha256()
    for module in components(model).values():
        for name, tensor in module.state_dict().items():
            digest.update(name.encode() + tensor.detach().float().numpy().tobytes())
    return digest.hexdigest()


def changed(tree: dict[str, Any], changes: dict[str, Any]) -> Recipe:
    for path, value in changes.items():
        tree = replace(tree, path, value, schema=Recipe)
    return Recipe.model_validate_json(json.dumps(tree))


def changes_of(path: str, value: Any) -> dict[str, Any]:
    if path in TOGETHER:
        return TOGETHER[path]
    if path.startswith("stages.") and path.endswith(".image"):
        return {path: {"policy": "square", "side": 24}}
    if path.endswith(".image") or path.endswith(".scenes"):
        return {path: {"policy": "square", "side": 24} if path.endswith("image") else {"master": 32, "objects": [3, 3]}}
    if path.endswith((".kind", ".mode")) and "schedule" not in path:
        return {}
    if ".train." in path and value is None:
        return {path: 0.37 if path.endswith("weight_decay") else 3.7e-4}
    return {path: more(value, path)}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Effects:
    return Effects(Recipe.model_validate_json(json.dumps(base_tree())), tmp_path_factory.mktemp("base"))


TREE = base_tree()
LEAVES = flatten(TREE)


def test_every_inert_leaf_exists() -> None:
    assert set(INERT) <= set(LEAVES)
    assert set(TOGETHER) <= set(LEAVES)


@pytest.mark.parametrize("path", [path for path in LEAVES if path not in INERT and changes_of(path, LEAVES[path])])
def test_a_changed_leaf_changes_something(path: str, base: Effects, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    changes = changes_of(path, LEAVES[path])
    reference = base
    if len(changes) > 1:
        others = {name: value for name, value in changes.items() if name != path}
        reference = Effects(changed(TREE, others), tmp_path / "reference")
    try:
        effects = Effects(changed(TREE, changes), tmp_path)
        for mine, theirs in zip(effects.signatures(), reference.signatures(), strict=True):
            if mine() != theirs():
                return
    except VlmlabError as error:
        pytest.fail(f"{changes} is not a legal change: {error}")
    pytest.fail(
        f"{changes} changes no batch, no weight and no score; remove the field, or list it as inert with the reason"
    )
