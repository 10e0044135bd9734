"""HTML that cannot forget to escape: text becomes markup only through `tag`, `join` and `raw`."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

VOID = frozenset({"img", "meta", "input", "circle", "line", "rect", "path", "polyline", "polygon"})
"""Elements that we write without a closing tag."""


@dataclass(frozen=True, slots=True)
class Markup:
    """HTML that is already safe."""

    html: str


Child = str | Markup | None


def raw(text: str) -> Markup:
    """Text of ours that is markup already, such as the style sheet. Never data."""
    return Markup(text)


def tag(head: str, *children: Child, attributes: Mapping[str, str] | None = None) -> Markup:
    """One element. `head` is its name and classes; strings among the children are escaped, None is left out.

    >>> tag("td.num", "<b>").html
    '<td class="num">&lt;b&gt;</td>'
    """
    name, *classes = head.split(".")
    given = ({"class": " ".join(classes)} if classes else {}) | dict(attributes or {})
    written = "".join(f' {key}="{html.escape(value, quote=True)}"' for key, value in given.items())
    if name in VOID:
        assert not children, f"<{name}> takes no children"
        return Markup(f"<{name}{written}{'' if name in ('img', 'meta', 'input') else '/'}>")
    return Markup(f"<{name}{written}>{join(children).html}</{name}>")


def join(children: Iterable[Child], *, between: str = "") -> Markup:
    """Children one after the other, strings escaped."""
    return Markup(between.join(_safe(child) for child in children if child is not None))


def _safe(child: str | Markup) -> str:
    return child.html if isinstance(child, Markup) else html.escape(child, quote=True)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    title: str
    numeric: bool = False


def table(caption: str, columns: Iterable[Column], rows: Iterable[Iterable[Child]], *, label: str = "") -> Markup:
    """A table in a box of its own that scrolls sideways where the window is narrow.

    The first cell of a row is its header. The box can take the focus, so that it scrolls from the keyboard too.
    """
    columns = list(columns)
    head = tag(
        "tr",
        *(tag("th.num" if column.numeric else "th", column.title, attributes={"scope": "col"}) for column in columns),
    )
    body = []
    for row in rows:
        cells = list(row)
        assert len(cells) == len(columns), f"{len(cells)} cells in a table of {len(columns)} columns"
        first, *others = zip(cells, columns, strict=True)
        body.append(
            tag(
                "tr",
                tag("th.num" if first[1].numeric else "th", first[0], attributes={"scope": "row"}),
                *(tag("td.num" if column.numeric else "td", cell) for cell, column in others),
            )
        )
    name = label or caption
    inner = tag("table", tag("thead", head), tag("tbody", *body), attributes={"aria-label": name})
    box = tag("div.scroll", inner, attributes={"tabindex": "0", "role": "region", "aria-label": name})
    # The caption stands outside the box: inside, it would be cut where the table is wider than the window.
    return join([tag("p.caption", caption) if caption else None, box])
