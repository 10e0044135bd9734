"""Findings: what published work says about design choices, with its numbers and how sure we are of each.

findings/PAPER.yaml holds one `PaperFile`: findings by id, arms by name. Nothing in it is filled by guessing: what a
paper does not say is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from vlmlab.recipe.spec import Spec

Certainty = Literal["verified", "secondary", "memory"]
"""verified: read in the paper, in its authors' code, configuration or card, or checked by executing; arithmetic on
verified numbers counts. secondary: third-party notes. memory: recalled or inferred; confirm before quoting."""

Testable = Literal["yes", "partly", "no"]

Family = Literal[
    "objective", "backbone", "resolution", "visual tokens", "connector", "fusion", "frozen or trained",
    "data mixture", "captions", "few-shot", "scaling", "optimisation", "probing",
]  # fmt: skip
"""Kinds of questions, by what differs between the arms."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a family asks, and what a study of a few CPU minutes an arm can say about it."""

    question: str
    small: str


FAMILIES: dict[Family, Kind] = {
    "objective": Kind(
        "What should a vision backbone predict in its pre-training, in which order, under which mask, with which head?",
        "The choice of target, mask and objective: both arms start from nothing on the same pictures. Differences of a "
        "head's width or a loss's weight lie near the noise of seeds.",
    ),
    "backbone": Kind(
        "Which vision backbone or language model should the model be built from?",
        "Weak against strong pre-training of one tiny architecture. Which published backbone is best cannot be asked.",
    ),
    "resolution": Kind(
        "How many pixels should the model see, in which shape?",
        "Yes: the pictures can be drawn so that their details are legible at one resolution and not at the other.",
    ),
    "visual tokens": Kind(
        "How many visual tokens should an image become, and should it be split?",
        "Yes, on questions that count and read; the numbers of tokens are smaller, so the direction carries over and "
        "the threshold does not.",
    ),
    "connector": Kind(
        "What should stand between patch states and language model?",
        "Yes, at equal visual tokens and at two budgets: connectors with learned latents converge late.",
    ),
    "fusion": Kind(
        "Where should visual tokens meet the language model?",
        "Yes with frozen parts that were pre-trained well enough to be worth freezing; operations are counted exactly.",
    ),
    "frozen or trained": Kind(
        "Which parts should train, how much of them, and when?",
        "Yes for what is learned and forgotten. Divergence at scale cannot be asked: tiny models rarely diverge.",
    ),
    "data mixture": Kind(
        "Which kinds of documents, in which shares?",
        "Presence or absence of a kind of document, yes. The best share depends on sizes that a small study lacks.",
    ),
    "captions": Kind(
        "How good must the captions be?",
        "Noisy against full captions of the same scenes, yes. Captions written by large models can only be imitated.",
    ),
    "few-shot": Kind(
        "What brings learning from demonstrations, and does it last?",
        "Yes, on binding of nonce names, where zero-shot is chance; a tiny language model learns it from documents "
        "that need it.",
    ),
    "scaling": Kind(
        "What do size, shape, duration and experts bring?",
        "Only trends over the small sizes themselves; where a trend bends at scale cannot be seen.",
    ),
    "optimisation": Kind(
        "Which learning rate, regularisation and order of steps?",
        "Slopes of a rule and gross collapse. Stability at scale cannot be asked.",
    ),
    "probing": Kind(
        "How should frozen features be read?",
        "Yes: one backbone is read in several ways, which costs little and is paired.",
    ),
}


class Arm(Spec):
    """One variant, with what was published about it."""

    scores: dict[str, float | str] = Field(default_factory=dict)
    """Score by measure, times 100 unless the measure says otherwise. Text where only a bound or a difference is known;
    nothing where no number is."""
    certainty: Certainty | None = None
    """Of this arm and its scores; null means the finding's."""


class Wins(Spec):
    """One arm should beat another."""

    kind: Literal["wins"]
    """One arm wins."""
    winner: str
    """The arm that should win."""
    over: str | None = None
    """The arm that the margin is taken against; null where the paper names none."""
    measure: str | None = None
    """The measure of the margin; null where no number is known."""
    margin: float | None = None
    """Published score of the winner minus that of the other arm."""
    certainty: Certainty | None = None
    """Of the margin; null means the finding's."""
    words: str
    """The margin in words, with those of other measures and arms."""


class Tie(Spec):
    """The arms should score alike."""

    kind: Literal["tie"]
    """No arm wins."""
    measure: str | None = None
    """The measure of the margin; null means every one."""
    margin: float | None = None
    """Largest published difference between two arms."""
    certainty: Certainty | None = None
    """Of the margin; null means the finding's."""
    words: str
    """The difference in words."""


class Open(Spec):
    """No arms compete, so that no verdict could agree or disagree."""

    kind: Literal["open"]
    """No direction."""
    words: str
    """Why."""


Direction = Annotated[Wins | Tie | Open, Field(discriminator="kind")]


class SmallScale(Spec):
    """Whether a study on the generated world with a tiny model can test the finding."""

    test: Testable
    """yes, partly or no."""
    how: str
    """How, or why not."""


class Entry(Spec):
    """One finding as its file says it."""

    source: str
    """Table, figure or section of the paper."""
    certainty: Certainty
    """Of everything in the entry that does not say otherwise."""
    family: Family
    """The kind of question."""
    statement: str = Field(min_length=1)
    """What was found, in our words."""
    fields: tuple[str, ...]
    """Fields of the recipe that differ between the arms, as far as recipes have them; names of stages and sources stand
    for those of any recipe."""
    missing: tuple[str, ...] = ()
    """What the arms need and no recipe can say yet."""
    measure: str
    """What was measured."""
    measure_certainty: Certainty | None = None
    """Of the measure; null means the finding's."""
    arms: dict[str, Arm] = Field(min_length=1)
    """Arms by name."""
    direction: Direction
    """What the paper concludes."""
    conflicts: tuple[str, ...] = ()
    """Findings that say otherwise; each names this one in turn."""
    small_scale: SmallScale
    """Whether a small study can test it."""
    study: str | None = None
    """The study that tests it, as a path below the folder that holds findings/; null where there is none."""
    recipes: dict[str, str] = Field(default_factory=dict)
    """Full-scale recipes by arm."""

    def arm_certainty(self, arm: str) -> Certainty:
        """How sure an arm's scores are."""
        return self.arms[arm].certainty or self.certainty

    def margin_certainty(self) -> Certainty:
        """How sure the direction's margin is."""
        stated = None if isinstance(self.direction, Open) else self.direction.certainty
        return stated or self.certainty


class Noise(Spec):
    """What a paper says about repeated runs of its own."""

    points: float = Field(gt=0)
    """Points of the measure."""
    certainty: Certainty
    """How sure we are."""
    words: str
    """In a sentence."""


class PaperFile(Spec):
    """A file of the catalogue."""

    paper: str = Field(min_length=1)
    """The paper or system."""
    about: str
    """What it is about, and what the names of its arms stand for."""
    noise: Noise | None = None
    """Differences between repeated runs, where the paper gives them."""
    findings: dict[str, Entry] = Field(min_length=1)
    """Findings by id, in the order of the paper."""


@dataclass(frozen=True, slots=True)
class Finding:
    """An entry with where it stands."""

    id: str
    paper: str
    where: str
    """The file."""
    entry: Entry
