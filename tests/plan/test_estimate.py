"""The plan of a whole recipe: steps, tokens, time, money, memory, notes and words."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.golden import recipes
from tests.plan.variants import recipe_with
from vlmlab.plan.estimate import plan, words
from vlmlab.plan.expectation import WORLD, expectation
from vlmlab.plan.record import Plan
from vlmlab.recipe.load import load_machine, load_recipe
from vlmlab.recipe.machine import Hardware, Machine

LAPTOP = Machine()


@pytest.mark.parametrize("recipe", recipes(), ids=lambda path: path.stem)
@pytest.mark.parametrize("machine", ["laptop", "one-gpu", "eight-gpu"])
def test_shipped_recipes_plan_on_every_machine(recipe: Path, machine: str) -> None:
    result = plan(load_recipe(recipe).recipe, load_machine(machine))
    assert Plan.model_validate_json(result.model_dump_json()) == result
    assert 0 < result.useful < result.executed
    for stage in result.stages:
        assert 0 < stage.fill <= 1
        assert stage.learned_tokens <= stage.tokens
        assert stage.visual_tokens < stage.tokens
        assert stage.memory.total > 0
    text = words(result)
    assert text.startswith(f"{result.recipe} on {machine}")
    assert f"{result.total_parameters:,}" in text
    assert all(len(line) < 200 for line in text.splitlines())


def test_steps_follow_the_duration() -> None:
    result = plan(recipe_with({}), LAPTOP)
    vision, joint = result.stages
    assert vision.steps == 3
    per_step = joint.tokens / joint.steps
    assert (joint.steps - 1) * per_step < 2000 <= joint.steps * per_step
    assert vision.documents == vision.images == 18


def test_documents_of_a_step_by_hand() -> None:
    recipe = recipe_with({"stages.joint.batch.packing": False, "stages.joint.duration": {"steps": 10}})
    stage = plan(recipe, LAPTOP).stages[1]
    captions, facts = WORLD["captions"], WORLD["facts"]
    visual = recipe.model.connector.tokens(recipe.model.image.grid(40, 40, patch=8))
    assert stage.documents == 2 * 10
    assert stage.images == 10
    assert stage.tokens == round(10 * (captions.text_tokens + visual + facts.text_tokens))
    assert stage.visual_tokens == 10 * visual
    assert stage.fill == pytest.approx(stage.tokens / (10 * 2 * 128))
    assert stage.epochs == pytest.approx({"captions": 10 / 50_000, "facts": 10 / 50_000})


def test_marks_take_positions() -> None:
    changes = {"stages.joint.batch.packing": False, "stages.joint.duration": {"steps": 10}}
    plain, marked = (plan(recipe_with({**changes, "model.fusion.marks": marks}), LAPTOP) for marks in (False, True))
    assert marked.stages[1].tokens - plain.stages[1].tokens == 2 * 10


def test_an_image_budget_limits_packing() -> None:
    free, tight = (
        plan(
            recipe_with({"stages.joint.mixture": {"captions": 1}, "stages.joint.batch.images": images}), LAPTOP
        ).stages[1]
        for images in (16, 1)
    )
    assert tight.fill < free.fill
    assert tight.images / tight.steps == pytest.approx(2, abs=0.5)


def test_time_and_money() -> None:
    hardware = Hardware(peak_float32=1e12, peak_bfloat16=4e12, utilisation=0.5, price_per_hour=3.0)
    one = plan(recipe_with({}), Machine(hardware=hardware))
    assert one.seconds == pytest.approx(one.executed / 0.5e12)
    assert one.price == pytest.approx(one.seconds / 3600 * 3.0)
    two = plan(recipe_with({"precision": "bfloat16"}), Machine(hardware=hardware, devices=2))
    assert two.seconds == pytest.approx(one.seconds / 8)
    assert two.price == pytest.approx(one.price / 4)


def test_memory_is_exact_for_parameters_and_bounded_by_micro_rows() -> None:
    recipe = recipe_with({})
    whole, micro = (plan(recipe, Machine(micro_rows=rows)).stages[1] for rows in (None, 1))
    assert whole.memory.optimizer == 8 * sum(whole.trained.values()) == 2 * whole.memory.gradients
    assert whole.memory.weights == 4 * plan(recipe, LAPTOP).total_parameters
    assert micro.memory.activations == pytest.approx(whole.memory.activations / 2)
    checkpointed = plan(recipe, Machine(gradient_checkpointing=True)).stages[1]
    assert checkpointed.memory.activations < whole.memory.activations
    assert checkpointed.seconds > whole.seconds


def test_prompts_of_the_evaluation() -> None:
    benchmarks = {
        "general": {
            "kind": "world",
            "family": "general",
            "items": 10,
            "shots": [0, 4],
            "demonstration_seeds": [0, 1, 2],
        },
        "text": {"kind": "world", "family": "text", "items": 10, "shots": [0]},
    }
    assert plan(recipe_with({"evaluation.benchmarks": benchmarks}), LAPTOP).prompts == 10 * (1 + 3) * 2 + 10
    assert (
        plan(recipe_with({"evaluation.benchmarks": benchmarks, "evaluation.blank_control": False}), LAPTOP).prompts
        == 50
    )


def test_what_is_not_pinned_is_said() -> None:
    hub = {"kind": "hub", "name": "google/siglip-so400m-patch14-384"}
    assert (
        "model.vision.weights.revision is not pinned; give a commit hash"
        in plan(recipe_with({"model.vision.weights": hub}), LAPTOP).notes
    )
    assert not plan(recipe_with({"model.vision.weights": {**hub, "revision": "0" * 40}}), LAPTOP).notes
    notes = plan(load_recipe("llava-1b").recipe, load_machine("eight-gpu")).notes
    assert {note.split(" is not pinned")[0] for note in notes} >= {
        "model.vision.weights.revision",
        "model.language.weights.revision",
        "tokenizer.revision",
        "data.sources.captions.path",
    }


def test_too_little_memory_and_many_epochs_are_said() -> None:
    small = plan(load_recipe("llava-1b").recipe, LAPTOP)
    assert any("stages.pretrain needs about" in note and "machine.micro_rows" in note for note in small.notes)
    again = plan(recipe_with({"data.sources.facts.size": 2}), LAPTOP)
    assert any("stages.joint repeats data.sources.facts" in note for note in again.notes)


def test_obelics_expectation_is_that_of_its_card() -> None:
    pages = expectation(load_recipe("llava-1b").recipe.data.sources["pages"])
    assert pages.text_tokens == pytest.approx(115e9 / 141_047_697, rel=0.01)
    assert pages.images == pytest.approx(353e6 / 141_047_697, rel=0.01)


def test_what_does_not_fit_is_cut_into_shards() -> None:
    large, small = Hardware(memory_gib=80), Hardware(memory_gib=1e-3)
    recipe = recipe_with({})

    def state(machine: Machine) -> list[int]:
        return [stage.memory.weights + stage.memory.optimizer for stage in plan(recipe, machine).stages]

    whole = state(Machine(hardware=large))
    assert state(Machine(hardware=large, devices=4)) == whole
    assert state(Machine(hardware=small, devices=4, parallel="replicate")) == whole
    for machine in (Machine(hardware=small, devices=4), Machine(hardware=large, devices=4, parallel="shard")):
        for cut, uncut in zip(state(machine), whole, strict=True):
            assert cut == pytest.approx(uncut / 4, rel=1e-3)
