"""A look at a sample as text for the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby

from vlmlab.data.look_record import LookRecord, TokenRecord
from vlmlab.wording import table

STRIP = 96
"""Characters of the packed row's strip."""

_LETTERS = "123456789abcdefghijklmnopqrstuvwxyz"


def look_text(record: LookRecord) -> str:
    """Document, tokens and packed row in plain characters; a run of visual tokens takes one line."""
    blocks = [_heading(record), _document(record)]
    if record.refused is not None:
        blocks.append(f"refused: {record.refused}")
    else:
        blocks += [_tokens(record), _row(record)]
    return "\n\n".join(blocks)


def where_words(record: LookRecord) -> str:
    """Which sample this is and how it was found."""
    how = f"sample {record.index} of {record.source}"
    if record.draw is not None:
        return f"draw {record.draw} of stage {record.stage}: {how}, epoch {record.epoch}"
    return f"{how}, as stage {record.stage} sees it"


def length_words(record: LookRecord) -> str:
    """How much of the document is in the row."""
    learned = sum(token.learned for token in record.tokens if token.segment == record.segment)
    words = f"{record.kept} positions, {learned} learned"
    if record.kept < record.positions:
        words += f"; cut from {record.positions} to fit a row of {record.length}"
    return words


def _heading(record: LookRecord) -> str:
    return f"{record.key}\n{where_words(record)}"


def _document(record: LookRecord) -> str:
    lines = ["document"]
    for part in record.document:
        if part.image is None:
            lines.append(f"  {'learn' if part.learn else 'given'}  {json.dumps(part.text, ensure_ascii=False)}")
        elif part.image < len(record.images):
            image = record.images[part.image]
            lines.append(
                f"  image  {image.size[1]} x {image.size[0]} -> view {image.view_size[1]} x {image.view_size[0]}, "
                f"{image.grid[1]} x {image.grid[0]} patches -> {image.visual_tokens} visual tokens  ({image.key})"
            )
        else:
            lines.append("  image  cannot be read")
    return "\n".join(lines)


def _tokens(record: LookRecord) -> str:
    own = [token for token in record.tokens if token.segment == record.segment]
    names = {token.id: token.text for token in record.tokens}
    rows = [("token", "id", "position", "learned", "predicts"), *_token_rows(own, names)]
    return f"tokens ({length_words(record)})\n{table(rows)}"


def _token_rows(tokens: list[TokenRecord], names: dict[int, str]) -> Iterator[tuple[str, ...]]:
    # A run is the visual positions of one image, or any other single position (numbers below zero keep those apart).
    for number, group in groupby(tokens, key=lambda token: -1 - token.position if token.image is None else token.image):
        run = list(group)
        first, last = run[0], run[-1]
        target = "" if last.target is None else json.dumps(names.get(last.target, str(last.target)), ensure_ascii=False)
        if number >= 0:
            yield f"{first.text} x {len(run)}", str(first.id), f"{first.place}-{last.place}", "", target
        else:
            text = json.dumps(first.text, ensure_ascii=False)
            yield text, str(first.id), str(first.place), "yes" if first.learned else "", target


def _row(record: LookRecord) -> str:
    used = sum(document.length for document in record.row)
    lines = [f"packed row ({len(record.row)} documents, {used} of {record.length} positions)", f"  {_strip(record)}"]
    rows = [("document", "segment", "positions", "learned", "visual", "images")]
    rows += [
        (
            document.key,
            str(document.segment),
            str(document.length),
            str(document.learned),
            str(document.visual),
            str(document.images),
        )
        for document in record.row
    ]
    lines.append(table(rows))
    return "\n".join(lines)


def _strip(record: LookRecord) -> str:
    """The row from left to right: a character stands for the document in the middle of its stretch, `.` for padding."""
    width = min(STRIP, len(record.tokens))
    places = ((2 * number + 1) * len(record.tokens) // (2 * width) for number in range(width))
    segments = (record.tokens[place].segment for place in places)
    return "".join("." if not segment else _LETTERS[(segment - 1) % len(_LETTERS)] for segment in segments)
