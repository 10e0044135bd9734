"""Section of the page: test images with what was asked and said."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from enum import Enum
from itertools import groupby

from vlmlab.records.run import GalleryRecord
from vlmlab.report import numbers
from vlmlab.report.markup import Markup, join, tag
from vlmlab.report.words import metric_words, shots_words

PICTURE = re.compile(r"data:image/(png|jpeg|webp|gif);base64,[A-Za-z0-9+/=]+")
"""The only pictures that the page shows: nothing is fetched from elsewhere, and no SVG of unknown origin is drawn."""


class Verdict(Enum):
    """How an answer is marked."""

    RIGHT = "right"
    PARTLY = "partly right"
    WRONG = "wrong"
    GRADED = "graded"
    """Captions: a score, no right or wrong."""


MARKS = {Verdict.RIGHT: "✓", Verdict.PARTLY: "≈", Verdict.WRONG: "✗", Verdict.GRADED: ""}


def verdict(entry: GalleryRecord, metric: str) -> Verdict:
    """Right is the full score, wrong is none of it."""
    if metric == "cider":
        return Verdict.GRADED
    if entry.score >= 1.0:
        return Verdict.RIGHT
    return Verdict.PARTLY if entry.score > 0.0 else Verdict.WRONG


def gallery_section(gallery: Sequence[GalleryRecord], metrics: dict[str, str]) -> Markup:
    """Cards by benchmark. `metrics` maps each benchmark to its metric.

    The switch that leaves only the mistakes is one check box and one rule of the style sheet; it needs no script.
    """
    switch = tag(
        "label.switch",
        tag("input", attributes={"type": "checkbox", "id": "mistakes"}),
        " show only what was not right",
    )
    parts: list[Markup] = []
    for benchmark, group in groupby(gallery, key=lambda entry: entry.benchmark):
        metric = metrics.get(benchmark, "exact_match")
        cards = [_card(entry, metric) for entry in group]
        parts += [tag("h3", benchmark, " ", tag("span.metric", metric_words(metric))), tag("div.gallery", *cards)]
    words = (
        "A fixed draw of test items, as many well answered as badly where there are both: it shows how the model "
        "errs, the table above how often. “Blank” is the answer when the query's image is plain grey."
    )
    return join([tag("p", words), switch, *parts])


def _card(entry: GalleryRecord, metric: str) -> Markup:
    mark = verdict(entry, metric)
    question = entry.question or "Caption this image."
    answer = entry.prediction.strip() or "(nothing)"
    lines = [
        tag("p.question", question),
        tag(
            "p.answer",
            tag("span.mark", MARKS[mark], attributes={"aria-hidden": "true"}),
            answer,
            " ",
            tag("span.verdict", _verdict_words(entry, mark)),
        ),
        tag(
            "p.references",
            tag("span.quiet", "reference " if len(set(entry.answers)) == 1 else "references "),
            _references(entry.answers),
        ),
        None
        if entry.blank_prediction is None
        else tag("p.references", tag("span.quiet", "blank "), entry.blank_prediction.strip() or "(nothing)"),
        tag("p.item", f"{entry.item} · {shots_words(entry.shots)}"),
    ]
    name = mark.name.lower()
    return tag(f"article.item-card.{name}", _picture(entry), tag("div.said", *lines))


def _verdict_words(entry: GalleryRecord, mark: Verdict) -> str:
    match mark:
        case Verdict.GRADED:
            return f"CIDEr {numbers.score(100 * entry.score)}"
        case Verdict.PARTLY:
            return f"partly right, {numbers.score(100 * entry.score)} of 100"
        case _:
            return mark.value


def _references(answers: Sequence[str]) -> str:
    """Ten people's answers as `red (8), crimson (2)`; captions one after the other."""
    counted = Counter(answers)
    if all(number == 1 for number in counted.values()):
        return " / ".join(answers)
    return ", ".join(f"{answer} ({number})" if len(counted) > 1 else answer for answer, number in counted.most_common())


def _picture(entry: GalleryRecord) -> Markup:
    if entry.image is None:
        return tag("div.no-picture", "text only")
    if not PICTURE.fullmatch(entry.image):
        return tag("div.no-picture", "picture not readable")
    about = entry.question or "an image to be captioned"
    return tag(
        "img",
        attributes={"src": entry.image, "alt": f"Test image {entry.item}: {about}", "loading": "lazy", "width": "112"},
    )
