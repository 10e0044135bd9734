"""A look at a sample as one self-contained page."""

from __future__ import annotations

from importlib import resources
from itertools import groupby

from vlmlab.data.look_record import LookRecord, PictureRecord, TokenRecord
from vlmlab.data.look_text import length_words, where_words
from vlmlab.report.markup import Markup, raw, tag

TINTS = 6
"""Documents of a row take turns through so many tints."""


def look_page(record: LookRecord) -> str:
    """HTML without anything outside of it; light and dark, from 390 px of width up."""
    style = resources.files("vlmlab.data").joinpath("look.css").read_text(encoding="utf-8")
    head = tag(
        "head",
        tag("meta", attributes={"charset": "utf-8"}),
        tag("meta", attributes={"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        tag("title", f"{record.key}: what the model sees"),
        tag("style", raw(style)),
    )
    sections = [_header(record), _document(record)]
    if record.refused is not None:
        sections.append(tag("p.refused", tag("strong", "Not used in training: "), record.refused))
    else:
        sections += [_tokens(record), _row(record)]
    body = tag("body", tag("main", *sections))
    return f"<!doctype html>\n{tag('html', head, body, attributes={'lang': 'en'}).html}\n"


def _header(record: LookRecord) -> Markup:
    return tag(
        "header",
        tag(
            "p.quiet", f"What the model sees · recipe {record.recipe} · objective {record.objective.replace('_', ' ')}"
        ),
        tag("h1", record.key),
        tag("p.quiet", where_words(record)),
    )


def _document(record: LookRecord) -> Markup:
    parts: list[Markup] = []
    for part in record.document:
        if part.image is not None and part.image < len(record.images):
            parts.append(_picture(record.images[part.image]))
        elif part.image is not None:
            parts.append(tag("p.refused", "an image that cannot be read"))
        else:
            parts.append(tag(f"p.part.{'learned' if part.learn else 'given'}", _visible_edges(part.text or "")))
    legend = tag(
        "p.legend",
        tag("span.swatch.learned", "learned"),
        tag("span.swatch.given", "given"),
        tag("span.swatch.visual", "visual"),
    )
    return tag("section", tag("h2", "Document"), legend, tag("div.document", *parts))


def _picture(image: PictureRecord) -> Markup:
    height, width = image.view_size
    size = {"image-rendering": "pixelated"} if max(height, width) < 160 else {}
    style = ";".join(f"{name}:{value}" for name, value in size.items())
    return tag(
        "div.picture",
        tag(
            "figure",
            tag("img", attributes={"src": image.image, "alt": f"image {image.key} as decoded"}),
            tag("figcaption", f"as decoded, {image.size[1]} x {image.size[0]}"),
        ),
        tag(
            "figure",
            tag(
                "img",
                attributes={"src": image.view, "alt": f"image {image.key} as the backbone sees it", "style": style},
            ),
            tag(
                "figcaption",
                f"view, {width} x {height}: {image.grid[1]} x {image.grid[0]} patches, "
                f"{image.visual_tokens} visual tokens",
            ),
        ),
    )


def _tokens(record: LookRecord) -> Markup:
    own = [token for token in record.tokens if token.segment == record.segment]
    names = {token.id: token.text for token in record.tokens}
    chips: list[Markup] = []
    for image, group in groupby(own, key=lambda token: token.image):
        run = list(group)
        chips += [_chip(token, names) for token in run] if image is None else [_visual_chip(run)]
    return tag(
        "section",
        tag("h2", "Tokens"),
        tag(
            "p.quiet",
            f"{length_words(record)}. Under each token its id; a learned token is predicted from the one before it.",
        ),
        tag("div.chips", *chips),
    )


def _chip(token: TokenRecord, names: dict[int, str]) -> Markup:
    look = "learned" if token.learned else "mark" if token.kind in ("mark", "special") else "given"
    target = (
        "predicts nothing" if token.target is None else f"predicts {names.get(token.target, '')!r} ({token.target})"
    )
    title = f"position {token.place}, {token.kind}, {'learned' if token.learned else 'given'}; {target}"
    return tag(
        f"span.chip.{look}", tag("b", _visible(token.text)), tag("small", str(token.id)), attributes={"title": title}
    )


def _visual_chip(run: list[TokenRecord]) -> Markup:
    title = f"positions {run[0].place} to {run[-1].place}, filled by the connector; never learned"
    return tag(
        "span.chip.visual",
        tag("b", f"{run[0].text} × {len(run)}"),
        tag("small", str(run[0].id)),
        attributes={"title": title},
    )


def _row(record: LookRecord) -> Markup:
    used = sum(document.length for document in record.row)
    pieces: list[Markup] = []
    for (segment, kind, _), group in groupby(
        record.tokens, key=lambda token: (token.segment, _strip_kind(token), token.image)
    ):
        run = list(group)
        tint = f".tint{(segment - 1) % TINTS}" if segment else ""
        pieces.append(
            tag(f"i.{kind}{tint}", attributes={"style": f"flex-grow:{len(run)}", "title": _strip_title(run, record)})
        )
    heads = ("", "document", "positions", "learned", "visual", "images")
    rows = [
        tag(
            "tr" + (".own" if document.segment == record.segment else ""),
            tag("td", tag(f"span.dot.tint{(document.segment - 1) % TINTS}")),
            tag("td.key", document.key),
            *(
                tag("td.num", str(number))
                for number in (document.length, document.learned, document.visual, document.images)
            ),
        )
        for document in record.row
    ]
    table = tag(
        "table",
        tag(
            "thead", tag("tr", *(tag("th" + (".num" if number > 1 else ""), head) for number, head in enumerate(heads)))
        ),
        tag("tbody", *rows),
    )
    return tag(
        "section",
        tag("h2", "Packed row"),
        tag(
            "p.quiet",
            f"{len(record.row)} documents in {used} of {record.length} positions. They never see each other. "
            "Full height: learned; middle: given; hatched: visual; empty: padding.",
        ),
        tag(
            "div.strip",
            *pieces,
            attributes={"role": "img", "aria-label": f"{len(record.row)} documents in a row of {record.length}"},
        ),
        tag("div.scroll", table),
    )


def _strip_kind(token: TokenRecord) -> str:
    if token.kind in ("padding", "visual"):
        return token.kind
    return "learned" if token.learned else "given"


def _strip_title(run: list[TokenRecord], record: LookRecord) -> str:
    where = f"positions {run[0].position} to {run[-1].position}"
    if not run[0].segment:
        return f"padding, {where}"
    return f"{record.row[run[0].segment - 1].key}, {where}: {_strip_kind(run[0])}"


def _visible_edges(text: str) -> str:
    """A text whose first and last spaces and line ends are visible; those inside would keep its lines from breaking."""
    inner = text.strip()
    if not inner:
        return _visible(text)
    start = text.index(inner)
    return _visible(text[:start]) + inner + _visible(text[start + len(inner) :])


def _visible(text: str) -> str:
    """Spaces and line ends that count, made visible."""
    return text.replace(" ", "·").replace("\n", "↵")
