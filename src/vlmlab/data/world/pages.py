"""Pages of several pictures: travel pages whose sentences belong to the pictures beside them, and printed words."""

from __future__ import annotations

from vlmlab.data.document import Picture
from vlmlab.data.rows import CaptionRow, InterleavedRow
from vlmlab.data.world.content import Draft
from vlmlab.data.world.describe import describe
from vlmlab.data.world.glyphs import natural_width
from vlmlab.data.world.layout import master_size
from vlmlab.data.world.questions import scene_with
from vlmlab.data.world.scene import Page, PagePicture, split_of
from vlmlab.data.world.vocabulary import CONNECTING, TINTS

CONNECTING_SHARE = 0.3
MOST_LINES = 3
LINE_STEP = 1.3
"""Height of a printed line, as a multiple of its letters'."""
NARROWEST = 0.55
"""Narrowest letter that a line may be squeezed to, as a share of its height."""


def page_row(draft: Draft) -> InterleavedRow:
    """Two to five pictures, each beside its own sentences: before it on some pages, after it on others, never both on
    one page. No sentence counts the pictures, so that only their order says which belongs to which."""
    draws = draft.draws
    text_first = draws.chance(0.5)
    items: list[str | Picture] = []
    for place in range(draws.integer(2, 5)):
        scene = scene_with(draft, sign=draws.chance(0.3), flag=draws.chance(0.3))
        text = describe(draws, scene, draft.content.facts.entities, voice="travel")
        picture = draft.picture(scene, place)
        items += [text, picture] if text_first else [picture, text]
        if draws.chance(CONNECTING_SHARE):
            items.append(draws.choose(CONNECTING))
    return InterleavedRow(draft.key, tuple(items))


def rendered_row(draft: Draft) -> CaptionRow:
    """A picture of printed words; its caption is the words."""
    page = _page(draft)
    while split_of(draft.content.seed, page.signature()) != draft.split:
        page = _page(draft)
    return CaptionRow(draft.key, PagePicture(f"{draft.key}/0", page), page.text)


def _page(draft: Draft) -> Page:
    draws, scenes = draft.draws, draft.scenes
    height, width = master_size(draws, scenes)
    glyph = max(3, round(draws.number(*scenes.glyph) * min(height, width)))
    most = max(1, min(MOST_LINES, int(height / (LINE_STEP * glyph))))
    lines = tuple(_line(draft, glyph=glyph, width=width) for _ in range(draws.integer(1, most)))
    longest = max(len(line) for line in lines)
    letter = max(1, min(round(natural_width(2, glyph) / 2), int(0.92 * width / longest)))
    return Page(height, width, lines, letter, glyph, draws.below(len(TINTS)), draws.chance(0.3))


def _line(draft: Draft, *, glyph: int, width: int) -> str:
    """As many words as fit at the narrowest letter, at least one and at most four."""
    fits = int(0.92 * width / (NARROWEST * glyph))
    line = draft.word()
    for _ in range(3):
        longer = f"{line} {draft.word()}"
        if len(longer) > fits or draft.draws.chance(0.25):
            break
        line = longer
    return line
