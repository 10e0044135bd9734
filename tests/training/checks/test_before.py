"""Groups, gradients, first losses; the refusal; and that a checked model is as it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.micro import micro_recipe
from tests.training.checks.subjects import (
    ALL,
    checks,
    contrastive_subject,
    failed,
    images,
    optimizer_of,
    subject,
    text,
)
from vlmlab.errors import TrainingError
from vlmlab.models.trainable import fingerprint
from vlmlab.recipe.optim import Schedule
from vlmlab.training.checks.before import check_before_first_step
from vlmlab.training.checks.expectation import FIRST_LOSS
from vlmlab.training.checks.gradients import GRADIENTS
from vlmlab.training.checks.groups import probe_groups
from vlmlab.training.checks.subject import Subject, fresh_components, key_biases

Groups = list[dict[str, Any]]


def _drop(groups: Groups, _: Subject) -> None:
    groups[0]["params"].pop()


def _zero(groups: Groups, _: Subject) -> None:
    groups[0]["lr"] = 0.0


def _swapped(groups: Groups, _: Subject) -> None:
    groups[-1]["lr"] = 7e-4


def _twice(groups: Groups, _: Subject) -> None:
    groups[1]["params"].append(groups[0]["params"][0])


def _frozen(groups: Groups, subject: Subject) -> None:
    groups[0]["params"].append(next(subject.model.vision.parameters()))


def _copy(groups: Groups, _: Subject) -> None:
    groups[0]["params"][0] = torch.nn.Parameter(groups[0]["params"][0].detach().clone())


def _decayed(groups: Groups, _: Subject) -> None:
    groups[0]["weight_decay"] = 0.3


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_drop, "is in 0 groups instead of one"),
        (_zero, "has learning rate 0 where the recipe says 0.001"),
        (_swapped, "has learning rate 0.0007 where the recipe says 0.001"),
        (_twice, "is in 2 groups instead of one"),
        (_frozen, "vision.encoder.embeddings.patch_embedding.weight, which does not train"),
        (_copy, "that is not the model's, which does not train"),
        (_decayed, "has weight decay 0.3 where the recipe says 0.05"),
    ],
)
def test_groups_that_are_not_the_recipe_s_are_refused(spoil: Callable[[Groups, Subject], None], words: str) -> None:
    stage = subject(train=("connector", "language"))
    optimizer = optimizer_of(stage)
    assert probe_groups(stage, optimizer).outcome == "ok"
    spoil(optimizer.param_groups, stage)
    check = probe_groups(stage, optimizer)
    assert check.outcome == "failed"
    assert words in check.words


def test_switches_that_are_not_the_recipe_s_are_refused() -> None:
    stage = subject(train=("connector", "language"))
    optimizer = optimizer_of(stage)
    next(stage.model.connector.parameters()).requires_grad_(False)
    next(stage.model.vision.parameters()).requires_grad_(True)
    words = probe_groups(stage, optimizer).words
    assert "should train but takes no gradient" in words
    assert "is frozen but takes a gradient" in words


def test_a_warm_up_as_long_as_the_stage_is_named() -> None:
    stage = subject()
    assert "never reached" in probe_groups(stage, optimizer_of(stage)).words
    schedule = stage.stage.optimizer.model_copy(update={"schedule": Schedule(warmup=0)})
    short = replace(stage, stage=stage.stage.model_copy(update={"optimizer": schedule}))
    assert "never" not in probe_groups(short, optimizer_of(short)).words


def test_gradients_reach_everything_or_are_refused() -> None:
    assert checks(subject(), images())[GRADIENTS].outcome == "ok"
    detached = subject()
    detached.model.connector.register_forward_hook(
        lambda module, inputs, output: [tokens.detach() for tokens in output]
    )
    found = checks(detached, images())
    assert failed(found) == {GRADIENTS}
    assert "no gradient reaches vision.encoder.embeddings.patch_embedding.weight" in found[GRADIENTS].words
    idle = subject()
    idle.model.connector.register_forward_hook(lambda module, inputs, output: [tokens * 0.0 for tokens in output])
    assert "exactly zero for" in checks(idle, images())[GRADIENTS].words


def test_the_gradient_of_a_key_s_bias_may_be_zero() -> None:
    stage = subject()
    for bias in key_biases(stage.model, stage.objective):
        bias.register_hook(lambda gradient: gradient * 0.0)
    assert checks(stage, images())[GRADIENTS].outcome == "ok"


def test_gradients_that_reach_a_frozen_tensor_are_refused() -> None:
    stage = subject(train=("connector", "language"))
    stage.model.vision.encoder.post_layernorm.weight.requires_grad_(True)
    found = checks(stage, images())
    assert failed(found) == {GRADIENTS}
    assert "frozen tensors have a gradient: vision.encoder.post_layernorm.weight" in found[GRADIENTS].words


def test_gradients_that_are_not_finite_are_refused() -> None:
    stage = subject()
    next(stage.model.connector.parameters()).register_hook(lambda gradient: gradient * torch.inf)
    assert "not finite" in checks(stage, images())[GRADIENTS].words


def test_batches_of_text_are_passed_by_until_an_image_comes() -> None:
    stage = subject()
    assert checks(stage, text(), text(), images())[GRADIENTS].outcome == "ok"
    check = checks(stage, *[text()] * 6)[GRADIENTS]
    assert check.outcome == "note"
    assert "no image in the first 4 batches" in check.words
    taken = iter([images(), images()])
    checks(stage, *[next(taken)])
    check_before_first_step(stage, name="join", optimizer=optimizer_of(stage), batches=taken, fresh=ALL)
    assert next(taken, None) is None


def test_the_first_loss_of_a_fresh_language_model_is_near_guessing() -> None:
    assert checks(subject(), images())[FIRST_LOSS].outcome == "ok"
    loud = subject()
    loud.model.language.causal.model.norm.register_forward_hook(lambda module, inputs, output: output * 6.0)
    found = checks(loud, images())
    assert failed(found) == {FIRST_LOSS}
    assert "ln(64) + 0.2 of a fresh language model" in found[FIRST_LOSS].words


def test_a_trained_language_model_may_not_do_worse_than_guessing() -> None:
    # What it reads is shuffled for it: the tokenizer is another one.
    loud = subject()
    loud.model.language.causal.model.norm.register_forward_hook(lambda module, inputs, output: output * 6.0)
    trained = checks(loud, images(), fresh=frozenset())
    assert "is this its tokenizer?" in trained[FIRST_LOSS].words
    assert failed(trained) == {FIRST_LOSS}
    assert not failed(checks(subject(), images(), fresh=frozenset()))


@pytest.mark.parametrize("loss", ["sigmoid", "softmax"])
def test_the_first_loss_of_pairs(loss: str) -> None:
    batch = images([[14], [20], [17], [12]])
    assert not failed(checks(contrastive_subject(loss), batch))
    spoilt = contrastive_subject(loss)
    spoilt.objective.register_forward_hook(lambda module, inputs, output: replace(output, total=output.total * 4.0))
    found = checks(spoilt, batch)
    assert failed(found) == {FIRST_LOSS}


def test_a_failure_refuses_to_train_and_says_all_that_is_wrong() -> None:
    stage = subject()
    optimizer = optimizer_of(stage)
    with torch.no_grad():
        stage.model.language.causal.model.norm.weight.mul_(6.0)
    stage.model.connector.register_forward_hook(lambda module, inputs, output: [tokens.detach() for tokens in output])
    with pytest.raises(TrainingError, match=r"(?s)stages\.join: gradients: .*\nstages\.join: first loss: "):
        check_before_first_step(stage, name="join", optimizer=optimizer, batches=iter([images()]), fresh=ALL)


def test_a_checked_model_is_as_it_was() -> None:
    stage = subject()
    optimizer = optimizer_of(stage)
    stage.model.vision.eval()
    parameter = next(stage.model.connector.parameters())
    parameter.grad = torch.ones_like(parameter)
    gradient = parameter.grad
    stage.model.connector.register_buffer("calls", torch.zeros(()))
    stage.model.connector.register_forward_hook(
        lambda module, inputs, output: [output, module.get_buffer("calls").add_(1), torch.rand(())][0]
    )
    modes = [part.training for part in stage.model.modules()]
    weights, draws = fingerprint(stage.model), torch.get_rng_state()
    check_before_first_step(stage, name="join", optimizer=optimizer, batches=iter([images()]), fresh=ALL)
    assert fingerprint(stage.model) == weights
    assert torch.equal(torch.get_rng_state(), draws)
    assert [part.training for part in stage.model.modules()] == modes
    assert parameter.grad is gradient
    assert torch.equal(gradient, torch.ones_like(parameter))
    assert all(other.grad is None for other in stage.model.parameters() if other is not parameter)
    assert float(stage.model.connector.get_buffer("calls")) == 0.0
    assert not optimizer.state


def test_models_that_draw_are_compared_at_equal_draws() -> None:
    stage = subject()
    stage.model.language.causal.model.norm.register_forward_hook(
        lambda module, inputs, output: output + 0.1 * torch.rand(output.shape)
    )
    assert not failed(checks(stage, images()))


def test_fresh_components_are_those_no_earlier_stage_trained() -> None:
    recipe = micro_recipe()
    assert fresh_components(recipe, "vision") == ALL
    assert fresh_components(recipe, "language") == ALL - {"vision"}
    assert fresh_components(recipe, "join") == {"connector", "objective"}
