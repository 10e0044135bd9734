"""VQA accuracy as the official evaluation of VQAv2 computes it, quirks included (metrics.md, section 1)."""

from __future__ import annotations

import re
from collections.abc import Sequence

LEAST_REFERENCES = 4
"""With fewer references not even a perfect answer could reach 1: three of the *others* must agree with it."""

MARKS = ';/[]"{}()=+\\_-><@`,?!'
"""Punctuation that is deleted or becomes a space. Apostrophe, colon and dollar sign are not among it."""

MOST_STOPS = 32
"""The official code hands a flag of value 32 to the place of a count, so the 33rd full stop and those after it stay."""

_COMMA_IN_NUMBER = re.compile(r"\d,\d")
_STOP = re.compile(r"\.(?!\d)")

_COUNTED = "zero one two three four five six seven eight nine ten"
NUMBERS = {word: str(value) for value, word in enumerate(_COUNTED.split())}
NUMBERS["none"] = "0"

ARTICLES = frozenset({"a", "an", "the"})

_CONTRACTED = """
    'ow's'at 'twas ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't
    he'd he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am might've mightn't mightn't've must've mustn't
    needn't not've o'clock oughtn't shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll
    somebody's someone'd someone'd've someone'll someone's something'd something'd've something'll that's there'd
    there'd've there're there's they'd they'd've they'll they're they've wasn't we'd've we've weren't what'll what're
    what's what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've
    wouldn't wouldn't've y'all y'all'd've y'all'll you'd you'd've you'll you're you've
"""


def _contractions() -> dict[str, str]:
    """Every word of the list by each spelling that lacks exactly one of its apostrophes: dont, couldn'tve, couldnt've.

    That rule gives the official table but for two things: its four entries with a capital I can never match (the text
    is lower case by then) and are left out; and its entry for "somebody'd" runs the wrong way round, and is kept so.
    """
    table = {"somebody'd": "somebodyd"}
    for word in _CONTRACTED.split():
        for place, letter in enumerate(word):
            if letter == "'":
                table[word[:place] + word[place + 1 :]] = word
    return table


CONTRACTIONS = _contractions()


def strip_punctuation(text: str) -> str:
    """Delete each mark if the *original* text has it beside a space, or has digit-comma-digit anywhere; else make it a
    space. Then delete full stops that no digit follows, at most 32 of them.

    >>> [strip_punctuation(text) for text in ("1,000 dollars", "t-shirt", "u.s.a.", "3.5")]
    ['1000 dollars', 't shirt', 'usa', '3.5']
    """
    number = _COMMA_IN_NUMBER.search(text) is not None
    stripped = text
    for mark in MARKS:
        delete = number or f"{mark} " in text or f" {mark}" in text
        stripped = stripped.replace(mark, "" if delete else " ")
    return _STOP.sub("", stripped, count=MOST_STOPS)


def normalise_words(text: str) -> str:
    """Lower-case and split; number words to digits; articles dropped; contractions expanded, in this order."""
    digits = (NUMBERS.get(word, word) for word in text.lower().split())
    return " ".join(CONTRACTIONS.get(word, word) for word in digits if word not in ARTICLES)


def normalise(text: str) -> str:
    """What predictions and references go through where the references are not all the same string."""
    return normalise_words(strip_punctuation(text))


def _clean(text: str) -> str:
    return text.replace("\n", " ").replace("\t", " ").strip()


def vqa_accuracy(prediction: str, references: Sequence[str]) -> float:
    """Mean over the references of min(1, matches among the *others* / 3); between 0 and 1.

    Leave-one-out is by place, not by text (the official records carry an id each). Nothing is normalised where all
    references are the same string: with ten times "yes" the prediction "Yes" scores 0.
    """
    assert len(references) >= LEAST_REFERENCES
    given = _clean(prediction)
    answers = [_clean(reference) for reference in references]
    if len(set(answers)) > 1:
        given = normalise(given)
        answers = [normalise(answer) for answer in answers]
    matches = [answer == given for answer in answers]
    total = sum(matches)
    return sum(min(1.0, (total - match) / 3) for match in matches) / len(matches)
