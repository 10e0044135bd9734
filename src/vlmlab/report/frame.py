"""Frame: what every page of ours has around its content. It fetches nothing and runs no script."""

from __future__ import annotations

from importlib import resources

from vlmlab.report.markup import Markup, raw, tag

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def framed(title: str, body: Markup, *, styles: tuple[str, ...] = ()) -> str:
    """The whole page as text, with the house's style and further style sheets of this folder."""
    sheets = [
        resources.files("vlmlab.report").joinpath(name).read_text(encoding="utf-8") for name in ("style.css", *styles)
    ]
    head = tag(
        "head",
        tag("meta", attributes={"charset": "utf-8"}),
        tag("meta", attributes={"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        tag("meta", attributes={"http-equiv": "Content-Security-Policy", "content": POLICY}),
        tag("meta", attributes={"name": "color-scheme", "content": "light dark"}),
        tag("title", title),
        tag("style", raw("".join(sheets))),
    )
    return "<!doctype html>\n" + tag("html", head, body, attributes={"lang": "en"}).html + "\n"
