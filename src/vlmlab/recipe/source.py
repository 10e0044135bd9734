"""Sources: where documents come from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from vlmlab.recipe.spec import Spec

TrainingFamily = Literal["captions", "pages", "binding", "facts", "twins", "binding_text", "rendered", "dialogues"]


class Scenes(Spec):
    """Difficulty of the generated world's pictures: one master render a scene; the recipe's image policy resizes it."""

    master: int = Field(default=96, ge=16, le=4096)
    """Pixels of the longer side of the master render."""
    objects: tuple[int, int] = (1, 3)
    """Fewest and most objects of a scene."""
    glyph: tuple[float, float] = (0.2, 0.28)
    """Smallest and largest height of a sign's letters, as a share of the picture's shorter side."""
    jitter: float = Field(default=1.0, ge=0.0, le=1.0)
    """How far things leave the middle of their cells, as a share of the free room around them; 0 is easiest to see."""
    aspect: tuple[float, float] = (1.0, 1.0)
    """Smallest and largest ratio of width to height."""
    caption_style: Literal["descriptive", "alt_text"] = "descriptive"
    """descriptive: what is in the picture. alt_text: short, noisy, sometimes unrelated."""
    caption_noise: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of captions replaced by another scene's."""

    @model_validator(mode="after")
    def _ranges(self) -> Scenes:
        for name in ("objects", "glyph", "aspect"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"{name} must be a pair of positive numbers, the smaller first; found {low}, {high}")
        return self


class World(Spec):
    """The generated world: its vocabulary, its entities and what is true of them. A function of `seed` alone."""

    seed: int = Field(default=0, ge=0)
    """Draws names, emblems and facts."""
    entities: int = Field(default=24, ge=4, le=400)
    """Named places, each with an emblem that captions name and facts that only text tells."""
    words: int = Field(default=32, ge=4, le=400)
    """Words that signs can show."""
    scenes: Scenes = Field(default_factory=Scenes)
    """Pictures of every source and benchmark that does not say otherwise."""


class WorldSource(Spec):
    """Documents of one family of the generated world, rendered on the fly."""

    kind: Literal["world"]
    """The generated world."""
    family: TrainingFamily
    """captions: image and caption. pages: interleaved, several images whose order matters. binding: pages that name
    things with nonce words. facts, twins, binding_text: text only. rendered: pages of text as images. dialogues:
    several turns, several images."""
    size: int = Field(default=50_000, ge=1)
    """Documents before they repeat."""
    scenes: Scenes | None = None
    """Pictures of this source; null means data.world.scenes."""


class JsonlSource(Spec):
    """One JSON object a line, images as files beside it."""

    kind: Literal["jsonl"]
    """JSON lines."""
    path: str
    """The file, or a glob; relative to the working directory. hf://datasets/OWNER/NAME@REVISION/PATH reads a hub
    dataset."""
    form: Literal["text", "caption", "question", "llava"]
    """text: {text}. caption: {image, text}. question: {image, question, answer}. llava: {id, image, conversations}."""
    images: str = ""
    """Folder that image paths are relative to; empty means the folder of the file."""


class WebdatasetSource(Spec):
    """Tar shards of {key}.jpg|png|webp with {key}.txt or {key}.json beside it (img2dataset's layout)."""

    kind: Literal["webdataset"]
    """Tar shards."""
    path: str
    """A tar, or a glob of them; hf://datasets/… for a hub dataset."""


class ParquetSource(Spec):
    """Parquet with the columns of a published dataset."""

    kind: Literal["parquet"]
    """Parquet files."""
    path: str
    """A file, or a glob of them; hf://datasets/… for a hub dataset."""
    form: Literal["obelics", "cauldron", "caption"]
    """obelics: images, texts, metadata (interleaved; images as bytes). cauldron: images, texts [{user, assistant}].
    caption: image, text."""
    max_images: int = Field(default=30, ge=1)
    """Documents with more images are skipped and counted."""


Source = Annotated[WorldSource | JsonlSource | WebdatasetSource | ParquetSource, Field(discriminator="kind")]


class BadSamples(Spec):
    """How many samples may be refused before the run stops."""

    in_a_row: int = Field(default=50, ge=0)
    """Refused one after the other in one source."""
    share: float = Field(default=0.05, ge=0.0, le=1.0)
    """Share of a source's samples, counted once 200 were read."""


class Data(Spec):
    """What the recipe reads."""

    world: World = Field(default_factory=World)
    """The generated world that world sources and world benchmarks show."""
    sources: dict[str, Source] = Field(default_factory=dict)
    """Sources by name; stages mix them by these names."""
    bad_samples: BadSamples = Field(default_factory=BadSamples)
    """Policy for samples that cannot be used."""
