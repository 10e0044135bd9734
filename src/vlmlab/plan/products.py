"""The matrix products of every component: how many operations, and where their two factors come from.

A product of (m, k) and (k, n) costs 2 m n k operations forward. Backward it costs the same again for the gradient of
each factor that needs one, so what is frozen decides whether the factor is 0, 1 or 2. Only products are counted, as
torch's FlopCounterMode does; norms, activations, softmax and look-ups are not.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import assert_never

from vlmlab.recipe.connector import MLP, AveragePool, Connector, Linear, Perceiver, PixelShuffle
from vlmlab.recipe.image import Grid
from vlmlab.recipe.language import Language
from vlmlab.recipe.stage import TextTower
from vlmlab.recipe.vision import Vision


class Factor(Enum):
    """Where a factor comes from, which says when it needs a gradient."""

    DATA = "data"
    """Pixels: never."""
    PARAMETER = "parameter"
    """A weight of the component, or what depends on its weights alone: when the component trains."""
    ENTRY = "entry"
    """What enters the component: when something upstream trains."""
    INNER = "inner"
    """What a weight of the component has touched already: when it or something upstream trains."""


@dataclass(frozen=True, slots=True)
class Product:
    """One kind of matrix product."""

    operations: float
    """Of the forward pass."""
    left: Factor
    right: Factor = Factor.PARAMETER


@dataclass(frozen=True, slots=True)
class Cost:
    """Floating-point operations of one component."""

    forward: float
    backward: float

    @property
    def total(self) -> float:
        return self.forward + self.backward


def cost(products: list[Product], *, trains: bool, upstream: bool) -> Cost:
    """Forward and backward operations of a component that trains or not, behind something that trains or not."""
    needs = {
        Factor.DATA: False,
        Factor.PARAMETER: trains,
        Factor.ENTRY: upstream,
        Factor.INNER: trains or upstream,
    }
    return Cost(
        forward=sum(product.operations for product in products),
        backward=sum(product.operations * (needs[product.left] + needs[product.right]) for product in products),
    )


def vision_products(vision: Vision, *, views: float, grid: Grid) -> list[Product]:
    """`views` views of `grid` patches; every patch sees every other one, blocks after `feature_layer` do not run.

    Operations of a view with T states (patches, and CLIP's class token): 2 T width (3 patch^2) for the patches, then
    a block has 8 T width^2 (q, k, v, out), 4 T^2 width (scores, values) and 4 T width mlp.
    """
    states = grid.patches + (1 if vision.kind == "clip" else 0)
    blocks = vision.depth + 1 + vision.feature_layer
    patches = Product(2 * views * grid.patches * vision.width * 3 * vision.patch**2, Factor.DATA)
    return [
        patches,
        *_blocks(blocks, width=vision.width, mlp=vision.mlp, positions=views * states, pairs=views * states**2),
    ]


def connector_products(
    connector: Connector, *, vision: Vision, language: Language, views: float, grid: Grid
) -> list[Product]:
    """Patch states of `views` views to visual tokens. Linear maps cost 2 (rows) (in) (out) each."""
    narrow, wide = vision.width, language.width
    patches, tokens = views * grid.patches, views * connector.tokens(grid)
    match connector:
        case Linear() | AveragePool():
            return [Product(2 * tokens * narrow * wide, Factor.ENTRY)]
        case MLP():
            hidden = connector.hidden or wide
            return [
                Product(2 * tokens * narrow * hidden, Factor.ENTRY),
                Product(2 * tokens * hidden * wide, Factor.INNER),
            ]
        case PixelShuffle():
            merged = narrow * connector.window**2
            if connector.projection == "linear":
                return [Product(2 * tokens * merged * wide, Factor.ENTRY)]
            return [Product(2 * tokens * merged * wide, Factor.INNER), Product(2 * tokens * wide * wide, Factor.INNER)]
        case Perceiver():
            hidden = connector.projection_hidden or language.mlp
            if connector.projection == "linear":
                products = [Product(2 * patches * narrow * wide, Factor.ENTRY)]
            else:
                products = [
                    Product(2 * 2 * patches * narrow * hidden, Factor.ENTRY),
                    Product(2 * patches * hidden * wide, Factor.INNER),
                ]
            queries, keys = connector.heads * connector.head_width, connector.kv_heads * connector.head_width
            context = patches + tokens  # latents attend to the patches and to themselves
            scores = 2 * tokens * (grid.patches + connector.latents) * queries
            for block in range(connector.depth):
                # In the first block the queries come from the latents alone.
                query = Factor.PARAMETER if block == 0 else Factor.INNER
                products += [
                    Product(2 * tokens * wide * queries, query),
                    Product(2 * 2 * context * wide * keys, Factor.INNER),
                    Product(scores, query, Factor.INNER),
                    Product(scores, Factor.INNER, Factor.INNER),
                    Product(2 * tokens * queries * wide, Factor.INNER),
                    Product(3 * 2 * tokens * wide * 4 * wide, Factor.INNER),
                ]
            return products
        case _ as never:
            assert_never(never)


def language_products(
    language: Language, *, vocabulary: int, positions: float, pairs: float, learned: float
) -> list[Product]:
    """`positions` positions, `pairs` pairs of a position and one that it looks at, logits at `learned` positions.

    A block has 2 positions width (2 queries + 2 keys + 3 mlp) for its maps, where queries and keys are heads times head
    size, and 4 pairs queries for scores and values; the output layer has 2 learned width vocabulary.
    """
    width = language.width
    queries, keys = language.heads * language.head(), language.groups() * language.head()
    maps = language.depth * 2 * positions * width * (2 * queries + 2 * keys + 3 * language.mlp)
    attention = language.depth * 4 * pairs * queries
    return [
        Product(maps, Factor.INNER),
        Product(attention, Factor.INNER, Factor.INNER),
        Product(2 * learned * width * vocabulary, Factor.INNER),
    ]


def contrastive_products(
    tower: TextTower, *, embedding: int, image_width: int, rows: float, positions: float, pairs: float
) -> list[Product]:
    """The text tower over `positions` positions, both projections of `rows` pairs, and their similarities.

    The picture's side is a mean over patch states and one map: 2 rows width embedding. Similarities of all pictures
    with all texts: 2 rows^2 embedding.
    """
    return [
        *_blocks(tower.depth, width=tower.width, mlp=tower.mlp, positions=positions, pairs=pairs),
        Product(2 * rows * tower.width * embedding, Factor.INNER),
        Product(2 * rows * image_width * embedding, Factor.ENTRY),
        Product(2 * rows * rows * embedding, Factor.INNER, Factor.INNER),
    ]


def _blocks(depth: int, *, width: int, mlp: int, positions: float, pairs: float) -> list[Product]:
    """Transformer blocks with as many key as query heads and an MLP without a gate."""
    return [
        Product(depth * 2 * positions * width * (4 * width + 2 * mlp), Factor.INNER),
        Product(depth * 4 * pairs * width, Factor.INNER, Factor.INNER),
    ]
