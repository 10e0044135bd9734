"""Look: one sample at every stage of its way to the model - document, encoded example, packed row."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image as Pillow

from vlmlab.batch import IGNORED, Batch
from vlmlab.data.collate import collate
from vlmlab.data.document import Document, Image, Text
from vlmlab.data.encode import Encoder
from vlmlab.data.look_page import look_page
from vlmlab.data.look_record import Kind, LookRecord, PackedRecord, PartRecord, PictureRecord, TokenRecord
from vlmlab.data.look_text import look_text
from vlmlab.data.mishaps import Refusal
from vlmlab.data.mixture import Mixture
from vlmlab.data.pack import Packable, Packer
from vlmlab.data.reading import Reader, Sent
from vlmlab.data.rows import as_document
from vlmlab.data.sources.contract import OpenSource
from vlmlab.data.tokenizer import Tokenizer
from vlmlab.errors import DataError, near
from vlmlab.recipe.recipe import Recipe
from vlmlab.recipe.stage import Contrastive

__all__ = ["LookRecord", "look", "look_page", "look_text"]

SHOWN_SIDE = 512
"""Longest side of a decoded image in the record; larger ones are shrunk for show."""


@dataclass(frozen=True, slots=True)
class _Choice:
    source: str
    index: int
    draw: int | None
    epoch: int | None


def look(
    recipe: Recipe,
    *,
    stage: str,
    tokenizer: Tokenizer,
    sources: Mapping[str, OpenSource],
    source: str | None = None,
    position: int = 0,
    key: str | None = None,
) -> LookRecord:
    """What the model sees of one sample under a stage.

    `position` is the number of a draw in the stage's mixture or, with a `source`, an index into that source; a `key`
    names the sample by itself. The packed row is the one that this sample would open: after it come the mixture's draws
    from that place on (or from its beginning).
    """
    spec = recipe.stages[stage]
    reader = _reader(recipe, stage=stage, tokenizer=tokenizer, sources=sources)
    choice = _choose(reader.mixture, sources, source=source, position=position, key=key)
    row = sources[choice.source].row(choice.index)
    document = as_document(row, recipe.template)
    encoder = Encoder(tokenizer, recipe.model, recipe.image_policy(spec))
    sent = reader.read_row(choice.source, choice.index, number=0 if choice.draw is None else choice.draw)
    refused = sent.outcome.reason if isinstance(sent.outcome, Refusal) else None
    packed: list[Packable] = []
    tokens: list[TokenRecord] = []
    if refused is None:
        packed = _packed_row(
            reader, sent, recipe=recipe, stage=stage, first=0 if choice.draw is None else choice.draw + 1
        )
        batch = collate(
            [[item.example for item in packed]], length=spec.batch.length, tokenizer=tokenizer, model=recipe.model
        )
        tokens = _tokens(batch, tokenizer=tokenizer)
    records = _packed_records(packed)
    return LookRecord(
        recipe=recipe.name,
        stage=stage,
        objective=spec.objective.kind,
        source=choice.source,
        index=choice.index,
        draw=choice.draw,
        epoch=choice.epoch,
        key=document.key,
        refused=refused,
        document=_parts(document),
        images=_pictures(document, encoder=encoder),
        positions=_positions(document, encoder=encoder),
        kept=len(packed[0].example) if packed else 0,
        length=spec.batch.length,
        segment=1 if packed else 0,
        row=records,
        tokens=tokens,
    )


def _reader(recipe: Recipe, *, stage: str, tokenizer: Tokenizer, sources: Mapping[str, OpenSource]) -> Reader:
    spec = recipe.stages[stage]
    mixed = {name: sources[name] for name, weight in spec.mixture.items() if weight > 0}
    sizes = {name: len(source) for name, source in mixed.items()}
    return Reader(
        mixture=Mixture(spec.mixture, sizes, seed=recipe.stage_seed(stage), purpose=f"stage/{stage}"),
        sources=sources,
        encoder=Encoder(tokenizer, recipe.model, recipe.image_policy(spec)),
        template=recipe.template,
        rows=spec.batch,
        pairs=isinstance(spec.objective, Contrastive),
    )


def _choose(
    mixture: Mixture, sources: Mapping[str, OpenSource], *, source: str | None, position: int, key: str | None
) -> _Choice:
    if key is not None:
        # The source's name stands before the first / or #.
        name = key.replace("#", "/").partition("/")[0] if source is None else source
        if name not in sources:
            raise DataError(key, f"no such source{near(name, sources)}")
        return _Choice(name, sources[name].find(key), None, None)
    if position < 0:
        raise DataError("position", f"found {position}; expected 0 or more")
    if source is None:
        draw = mixture.draw(position)
        return _Choice(draw.source, draw.index, position, draw.epoch)
    if source not in sources:
        raise DataError(f"data.sources.{source}", f"no such source{near(source, sources)}")
    size = len(sources[source])
    if position >= size:
        raise DataError(f"data.sources.{source}", f"there is no sample {position}; expected 0 to {size - 1}")
    return _Choice(source, position, None, None)


def _packed_row(reader: Reader, sent: Sent, *, recipe: Recipe, stage: str, first: int) -> list[Packable]:
    """The row that the sample opens, filled with the draws after it."""
    spec = recipe.stages[stage]
    packing = spec.batch.packing and not isinstance(spec.objective, Contrastive)
    packer = Packer(rows=1, length=spec.batch.length, images=spec.batch.images, packing=packing)
    packer.add(sent.packable())
    for number in range(first, first + spec.batch.length):
        if packer.full:
            break
        other = reader.read(number)
        if not isinstance(other.outcome, Refusal):
            packer.add(other.packable())
    return packer.close().rows[0]


def _packed_records(packed: list[Packable]) -> list[PackedRecord]:
    records: list[PackedRecord] = []
    start = 0
    for segment, item in enumerate(packed, start=1):
        example = item.example
        records.append(
            PackedRecord(
                key=example.key,
                source=item.source,
                segment=segment,
                start=start,
                length=len(example),
                learned=sum(example.learn),
                visual=sum(image.length for image in example.images),
                images=len(example.images),
            )
        )
        start += len(example)
    return records


def _tokens(batch: Batch, *, tokenizer: Tokenizer) -> list[TokenRecord]:
    """The positions of a batch of one row, read back from its tensors."""
    ids, targets = batch.ids[0].tolist(), batch.targets[0].tolist()
    segments, places = batch.segments[0].tolist(), batch.positions[0].tolist()
    visual = {
        position: number
        for number, span in enumerate(batch.spans)
        for position in range(span.start, span.start + span.length)
    }
    marks = (tokenizer.image_start, tokenizer.image_end)
    special = (tokenizer.bos, tokenizer.eos)

    def kind(position: int) -> Kind:
        if not segments[position]:
            return "padding"
        if position in visual:
            return "visual"
        if ids[position] in marks:
            return "mark"
        return "special" if ids[position] in special else "text"

    names = {tokenizer.bos: "<bos>", tokenizer.eos: "<eos>"}
    return [
        TokenRecord(
            position=position,
            place=places[position],
            segment=segments[position],
            id=token,
            text=names.get(token, tokenizer.token_text(token)) if segments[position] else "<pad>",
            kind=kind(position),
            image=visual.get(position),
            learned=position > 0 and targets[position - 1] != IGNORED,
            target=None if targets[position] == IGNORED else targets[position],
        )
        for position, token in enumerate(ids)
    ]


def _parts(document: Document) -> list[PartRecord]:
    parts: list[PartRecord] = []
    images = 0
    for part in document.parts:
        match part:
            case Text(text, learn):
                parts.append(PartRecord(text=text, image=None, learn=learn))
            case Image():
                parts.append(PartRecord(text=None, image=images, learn=False))
                images += 1
    return parts


def _pictures(document: Document, *, encoder: Encoder) -> list[PictureRecord]:
    """The images that can be read; a sample with one that cannot says so in `refused`."""
    records: list[PictureRecord] = []
    for image in document.images:
        try:
            pixels = image.picture.pixels()
            view = encoder.view(image.picture)
        except DataError:
            break
        shown = view.pixels.permute(1, 2, 0).numpy()
        records.append(
            PictureRecord(
                key=image.picture.key,
                size=(pixels.shape[0], pixels.shape[1]),
                image=_data_uri(pixels),
                view_size=(shown.shape[0], shown.shape[1]),
                view=_data_uri(shown),
                grid=(view.grid.height, view.grid.width),
                visual_tokens=encoder.model.connector.tokens(view.grid),
            )
        )
    return records


def _positions(document: Document, *, encoder: Encoder) -> int:
    """Length of the whole encoded document; 0 where an image cannot be read."""
    try:
        return len(encoder.encode(document))
    except DataError:
        return 0


def _data_uri(pixels: np.ndarray) -> str:
    image = Pillow.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
    written = io.BytesIO()
    image.save(written, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(written.getvalue()).decode()}"
