"""From specs to modules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from vlmlab.models.attention import Kernel, register_attention
from vlmlab.models.connectors.build import build_connector
from vlmlab.models.initialise import initialise, seeded
from vlmlab.models.language.build import build_causal
from vlmlab.models.language.causal import CausalLanguageModel
from vlmlab.models.model import Precision, VisionLanguageModel
from vlmlab.models.vision.backbone import VisionBackbone
from vlmlab.models.vision.build import build_encoder
from vlmlab.recipe.recipe import Model


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What a machine says about a model; none of it may change a result beyond rounding."""

    attention: Kernel = "auto"
    gradient_checkpointing: bool = False
    compile: bool = False
    device: str = "cpu"


def build_model(
    model: Model,
    *,
    vocabulary: int,
    seed: int,
    precision: Precision,
    options: BuildOptions | None = None,
    seeds: Mapping[str, int] | None = None,
) -> VisionLanguageModel:
    """The model of a recipe, with float32 parameters, on `options.device`.

    Fresh parts are drawn on the CPU from (seed, name); `seeds` names components with a seed of their
    own. On the meta device nothing is drawn and nothing is loaded.
    Raises RecipeError where published weights do not fit the recipe's numbers.
    """
    options = BuildOptions() if options is None else options
    of = dict.fromkeys(("vision", "connector", "language"), seed) | dict(seeds or {})
    register_attention()
    vision = VisionBackbone(
        build_encoder(model.vision, seed=of["vision"], device=options.device),
        model.vision,
        gradient_checkpointing=options.gradient_checkpointing,
    )
    language = CausalLanguageModel(
        build_causal(model.language, vocabulary=vocabulary, seed=of["language"], device=options.device),
        model.language,
        attention=_kernel(options),
        gradient_checkpointing=options.gradient_checkpointing,
    )
    # Constructors draw from torch's global generator; what they draw is replaced.
    with torch.device("meta" if options.device == "meta" else "cpu"), seeded(seed, "constructor"):
        connector = build_connector(model.connector, vision_width=model.vision.width, language=model.language)
    if options.device != "meta":
        initialise(connector, seed=of["connector"], prefix="connector")
    built = VisionLanguageModel(model, vision=vision, connector=connector, language=language, precision=precision)
    if options.compile and options.device != "meta":
        for block in (*vision.blocks, *language.blocks):
            block.compile()
    return built.to(options.device)


def _kernel(options: BuildOptions) -> Kernel:
    """Compiled blocks want shapes that repeat: groups of segments change their sizes with every batch."""
    return "sdpa" if options.compile and options.attention == "auto" else options.attention


def components(model: VisionLanguageModel) -> dict[str, nn.Module]:
    """The parts that a stage names in `train`."""
    return {"vision": model.vision, "connector": model.connector, "language": model.language}
