"""CIDEr-D of captions (metrics.md, section 2), with document frequencies fixed over the benchmark's references.

Frequencies come from *all* items of the benchmark, not from those that are resampled: a bootstrap draw or a subset is
then scored on the same scale.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LONGEST = 4
"""n-grams of 1 to 4 words."""
SIGMA = 6.0
"""Width of the length penalty, in bigrams."""

Ngram = tuple[str, ...]

_TOKEN = re.compile(
    r"""
    (?:[^\W\d_]\.){2,}                        # abbreviations with inner stops: u.s.a.
    | (?:mr|mrs|ms|dr|st|prof|jr|sr|vs|etc)\. # and the commonest with one
    | [.]{2,} | --+                           # runs of stops and dashes
    | \d+(?:[.,:/]\d+)*                       # 1,000  3.5  10:30  1/2
      (?:-?[^\W\d_]+)*                        # 2nd  3d  4-door
    | ['’](?:s|re|ve|ll|d|m)\b                # clitics: dog 's
    | n['’]t\b
    | \w+?(?=n['’]t\b)                        # the word before n't
    | \w+(?:-\w+)*                            # words, hyphenated ones whole
    | \S
    """,
    re.VERBOSE,
)

_HALVES = {
    "cannot": ("can", "not"),
    "gonna": ("gon", "na"),
    "wanna": ("wan", "na"),
    "gotta": ("got", "ta"),
    "gimme": ("gim", "me"),
    "lemme": ("lem", "me"),
}

_PUNCTUATION = re.compile(r"""['’‘`"“”.?!,:;()\[\]{}…–—-]+""")


def tokenize(caption: str) -> list[str]:
    """Words in the manner of the Penn Treebank, lower case, without punctuation tokens.

    Our own approximation of the Stanford tokenizer that the official evaluation calls (a Java program): clitics split
    ("dog's" -> dog 's, "don't" -> do n't), hyphenated words and numbers stay whole, brackets go with the punctuation.
    """
    words: list[str] = []
    for token in _TOKEN.findall(caption.lower()):
        if _PUNCTUATION.fullmatch(token):
            continue
        words.extend(_HALVES.get(token, (token.replace("’", "'"),)))
    return words


def count_ngrams(words: Sequence[str]) -> tuple[Counter[Ngram], ...]:
    """Raw counts of the n-grams, one counter for each n from 1 to 4."""
    return tuple(
        Counter(tuple(words[start : start + n]) for start in range(len(words) - n + 1)) for n in range(1, LONGEST + 1)
    )


@dataclass(frozen=True, slots=True)
class _Vector:
    """A caption as TF-IDF weights: one mapping and one norm an n, and its length in bigrams."""

    weights: tuple[dict[Ngram, float], ...]
    norms: tuple[float, ...]
    length: int


class Cider:
    """Scores one caption against its references. Build it once from the references of the whole benchmark."""

    def __init__(self, corpus: Iterable[Sequence[str]]) -> None:
        """`corpus` has the references of each image."""
        self._frequency: Counter[Ngram] = Counter()
        images = 0
        for references in corpus:
            images += 1
            seen = {ngram for text in references for counts in count_ngrams(tokenize(text)) for ngram in counts}
            self._frequency.update(seen)
        self._log_images = math.log(images) if images else 0.0
        self._references: dict[str, _Vector] = {}

    def _vector(self, caption: str) -> _Vector:
        counts = count_ngrams(tokenize(caption))
        weights = tuple(
            {
                ngram: count * (self._log_images - math.log(max(1, self._frequency[ngram])))
                for ngram, count in part.items()
            }
            for part in counts
        )
        norms = tuple(math.sqrt(sum(weight * weight for weight in part.values())) for part in weights)
        return _Vector(weights, norms, sum(counts[1].values()))

    def score(self, prediction: str, references: Sequence[str]) -> float:
        """CIDEr-D of one image, the usual factor of 10 included; the corpus value is the mean over images."""
        given = self._vector(prediction)
        total = 0.0
        for text in references:
            if text not in self._references:
                self._references[text] = self._vector(text)
            total += _similarity(given, self._references[text])
        return 10.0 * total / (LONGEST * len(references))


def _similarity(given: _Vector, reference: _Vector) -> float:
    """Sum over n of the clipped cosine, times the penalty for another length."""
    total = 0.0
    for weights, norm, other, other_norm in zip(
        given.weights, given.norms, reference.weights, reference.norms, strict=True
    ):
        if norm == 0.0 or other_norm == 0.0:
            continue
        shared = sum(min(weight, other[ngram]) * other[ngram] for ngram, weight in weights.items() if ngram in other)
        total += shared / (norm * other_norm)
    return total * math.exp(-((given.length - reference.length) ** 2) / (2 * SIGMA * SIGMA))
