"""Section of a study's page: test items on which arms disagree most, with each arm's answer."""

from __future__ import annotations

from itertools import groupby

from vlmlab.records.study import DisagreementRecord, StudyRecord
from vlmlab.report import numbers
from vlmlab.report.gallery import PICTURE
from vlmlab.report.markup import Markup, join, tag
from vlmlab.report.study_record import CONDITIONAL, arm_name, conditional
from vlmlab.report.words import shots_words


def items_section(record: StudyRecord) -> Markup | None:
    """Cards by benchmark: the picture, what was asked, and what each arm said, best arm first."""
    if not record.disagreements:
        return None
    words = (
        "Chosen because arms differ most on them, and so not typical: they show how arms differ, the claims how much. "
        "Bars are mean scores over replicates, the answer beside one is that of a single replicate."
    )
    if conditional(record):
        words += f" All of it is {CONDITIONAL}."
    parts: list[Markup] = [tag("p", words)]
    for benchmark, group in groupby(record.disagreements, key=lambda entry: entry.picture.benchmark):
        cards = [_card(entry, record) for entry in group]
        parts += [tag("h3", benchmark), tag("div.gallery.disagreements", *cards)]
    return join(parts)


def _card(entry: DisagreementRecord, record: StudyRecord) -> Markup:
    order = [arm.name for arm in record.arms if arm.name in entry.answers or arm.name in entry.scores]
    order.sort(key=lambda arm: -entry.scores.get(arm, 0.0))
    references = list(dict.fromkeys(entry.picture.answers))
    said = [
        tag("p.question", entry.picture.question or "Caption this image."),
        tag(
            "p.references",
            tag("span.quiet", "reference " if len(references) == 1 else "references "),
            " / ".join(references),
        ),
        tag("p.item", f"{entry.picture.item} · {shots_words(entry.picture.shots)}"),
    ]
    answers = tag("div.answers", *(_answer(arm, entry) for arm in order))
    return tag("article.item-card", _picture(entry), tag("div.said", *said), answers)


def _answer(arm: str, entry: DisagreementRecord) -> Markup:
    score = min(1.0, max(0.0, entry.scores.get(arm, 0.0)))
    answer = entry.answers.get(arm, "").strip() or "(nothing)"
    title = f"{arm}: mean score {numbers.score(100 * score)} of 100"
    shapes = [
        tag("rect.track", attributes={"x": "0", "y": "0", "width": "100%", "height": "100%"}),
        tag("rect.right", attributes={"x": "0", "y": "0", "width": f"{100 * score:.1f}%", "height": "100%"}),
    ]
    box = {"role": "img", "width": "36", "height": "7"}
    return tag(
        "p.answer-row",
        tag("svg.score-bar", tag("title", title), *shapes, attributes=box),
        tag("span.arm-name", arm_name(arm)),
        tag("span.answer-text", answer),
    )


def _picture(entry: DisagreementRecord) -> Markup:
    picture = entry.picture
    if picture.image is None:
        return tag("div.no-picture", "text only")
    if not PICTURE.fullmatch(picture.image):
        return tag("div.no-picture", "picture not readable")
    about = f"Test image {picture.item}: {picture.question or 'an image to be captioned'}"
    return tag("img", attributes={"src": picture.image, "alt": about, "loading": "lazy", "width": "112"})
