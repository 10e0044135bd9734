"""The one match from connector specs to modules."""

from __future__ import annotations

from typing import assert_never

from torch import nn

from vlmlab.models.connectors.perceiver import PerceiverConnector
from vlmlab.models.connectors.pointwise import LinearConnector, MLPConnector
from vlmlab.models.connectors.pooling import AveragePoolConnector, PixelShuffleConnector
from vlmlab.recipe.connector import MLP, AveragePool, Connector, Linear, Perceiver, PixelShuffle
from vlmlab.recipe.language import Language


def build_connector(spec: Connector, *, vision_width: int, language: Language) -> nn.Module:
    """A connector from patch states of `vision_width` to visual tokens of the language model's width."""
    width = language.width
    match spec:
        case Linear():
            return LinearConnector(vision_width=vision_width, language_width=width)
        case MLP():
            hidden = width if spec.hidden is None else spec.hidden
            return MLPConnector(vision_width=vision_width, hidden=hidden, language_width=width)
        case Perceiver():
            return PerceiverConnector(
                spec,
                vision_width=vision_width,
                projection_hidden=language.mlp if spec.projection_hidden is None else spec.projection_hidden,
                language_width=width,
                epsilon=language.norm_epsilon,
            )
        case AveragePool():
            return AveragePoolConnector(window=spec.window, vision_width=vision_width, language_width=width)
        case PixelShuffle():
            norm_mlp = spec.projection == "norm_mlp"
            return PixelShuffleConnector(
                window=spec.window, norm_mlp=norm_mlp, vision_width=vision_width, language_width=width
            )
        case _:
            assert_never(spec)
