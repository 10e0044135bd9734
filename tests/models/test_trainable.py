from __future__ import annotations

import json

import pytest
import torch

from tests.models.tiny import VOCABULARY, stage_spec, tiny_model
from vlmlab.errors import TrainingError
from vlmlab.models.build import components
from vlmlab.models.model import VisionLanguageModel
from vlmlab.models.objectives.build import build_objective
from vlmlab.models.trainable import ParameterGroup, fingerprint, set_trainable
from vlmlab.recipe.stage import Stage


def groups_of(model: VisionLanguageModel, stage: Stage) -> list[ParameterGroup]:
    objective = build_objective(
        stage.objective, model=model, recipe_model=model.spec, vocabulary=VOCABULARY, seed=0, loss_chunk=16
    )
    return set_trainable(model, objective, stage)


@pytest.mark.parametrize("tied", [True, False])
def test_every_trained_parameter_is_in_one_group(tied: bool):
    model = tiny_model(connector="perceiver", language={"tied": tied})
    groups = groups_of(model, stage_spec())
    members = [id(parameter) for group in groups for parameter in group.parameters]
    trained = [id(parameter) for parameter in model.parameters() if parameter.requires_grad]
    assert sorted(members) == sorted(trained)
    assert all(len(group.names) == len(group.parameters) for group in groups)


def test_decay_is_for_matrices_that_multiply_states():
    model = tiny_model(connector="perceiver", language={"tied": False})
    names = {group.group: set() for group in groups_of(model, stage_spec())}
    for group in groups_of(model, stage_spec()):
        names[group.group] |= set(group.names)
        assert group.group == "decay" or group.weight_decay == 0.0
    assert "language.causal.lm_head.weight" in names["decay"]
    assert "vision.encoder.embeddings.patch_embedding.weight" in names["decay"]
    for name in (
        "language.causal.model.embed_tokens.weight",
        "vision.encoder.embeddings.position_embedding.weight",
        "connector.latents",
        "connector.norm.weight",
        "vision.encoder.post_layernorm.bias",
    ):
        assert name in names["no_decay"]


def test_a_tied_table_is_an_embedding_and_is_not_decayed():
    groups = groups_of(tiny_model(), stage_spec(train=("language",)))
    decayed = [name for group in groups if group.group == "decay" for name in group.names]
    assert not any("embed_tokens" in name or "lm_head" in name for name in decayed)


def test_rates_come_from_the_stage():
    plain = stage_spec(train=("connector",)).plain()
    plain["train"] = {
        "connector": {"mode": "full", "learning_rate": 3e-4, "weight_decay": 0.5},
        "language": {"mode": "full"},
    }

    groups = groups_of(tiny_model(), Stage.model_validate_json(json.dumps(plain)))
    assert {(g.component, g.group): (g.learning_rate, g.weight_decay) for g in groups} == {
        ("connector", "decay"): (3e-4, 0.5),
        ("connector", "no_decay"): (3e-4, 0.0),
        ("language", "decay"): (1e-3, 0.05),
        ("language", "no_decay"): (1e-3, 0.0),
    }


def test_frozen_components_neither_train_nor_are_in_training_mode():
    model = tiny_model()
    groups_of(model, stage_spec(train=("connector",)))
    assert {name: part.training for name, part in components(model).items()} == {
        "vision": False,
        "connector": True,
        "language": False,
    }
    groups_of(model, stage_spec(train=("language",)))
    assert not any(parameter.requires_grad for parameter in model.connector.parameters())


def test_blocks_that_nothing_depends_on_do_not_train():
    model = tiny_model(vision={"feature_layer": -2})
    names = [name for group in groups_of(model, stage_spec()) for name in group.names]
    assert any("encoder.layers.1" in name for name in names)
    assert not any("encoder.layers.2" in name or "post_layernorm" in name for name in names)


def test_a_component_that_the_objective_does_not_use_is_refused():
    with pytest.raises(TrainingError, match="connector would train"):
        groups_of(tiny_model(), stage_spec("contrastive", train=("vision", "connector")))


def test_the_objectives_own_parts_always_train():
    groups = groups_of(tiny_model(), stage_spec("contrastive", train=()))
    assert {group.component for group in groups} == {"objective"}
    names = {name: group.group for group in groups for name in group.names}
    assert names["objective.text.positions.weight"] == "no_decay"
    assert names["objective.logit_scale"] == "no_decay"
    assert names["objective.image_projection.weight"] == "decay"


def test_a_stage_in_which_nothing_trains_is_refused():
    with pytest.raises(TrainingError, match="no parameter trains"):
        groups_of(tiny_model(), stage_spec(train=()))


def test_fingerprints_show_what_moved():
    model = tiny_model()

    def fingerprints() -> dict[str, str]:
        return {name: fingerprint(part) for name, part in components(model).items()}

    def moved(before: dict[str, str]) -> set[str]:
        return {name for name, value in fingerprints().items() if value != before[name]}

    before = fingerprints()
    assert moved(before) == set()
    with torch.no_grad():
        model.connector.first.bias.add_(1.0)
    assert moved(before) == {"connector"}
    with torch.no_grad():
        model.vision.encoder.post_layernorm.bias[0] += 1e-7
    assert moved(before) == {"connector", "vision"}
