from __future__ import annotations

import math

import pytest

from vlmlab.evaluate.metrics.cider import Cider, count_ngrams, tokenize


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("A man's dog can't see.", ["a", "man", "'s", "dog", "ca", "n't", "see"]),
        ('the "t-shirt" (red), at 10:30 --', ["the", "t-shirt", "red", "at", "10:30"]),
        ("1,000 cats... and the u.s.a. flag!", ["1,000", "cats", "and", "the", "u.s.a.", "flag"]),
        ("they'll cannot", ["they", "'ll", "can", "not"]),
    ],
)
def test_tokens(text: str, tokens: list[str]) -> None:
    assert tokenize(text) == tokens


def test_counts_are_raw() -> None:
    unigrams, bigrams, _, fourgrams = count_ngrams(["a", "b", "a", "b"])
    assert unigrams[("a",)] == 2
    assert bigrams == {("a", "b"): 2, ("b", "a"): 1}
    assert sum(fourgrams.values()) == 1


def test_against_a_corpus_computed_by_hand() -> None:
    # Two images. log N = log 2. "a" is in both (weight 0), every other n-gram in one (weight log 2 each).
    cider = Cider([["a cat"], ["a dog"]])
    # "a cat": unigrams (cat) and the bigram agree: 1 + 1 + 0 + 0, over four n, times ten.
    assert cider.score("a cat", ["a cat"]) == pytest.approx(5.0)
    # "cat": unigram cosine 1; no bigram; lengths 0 and 1 in bigrams.
    assert cider.score("cat", ["a cat"]) == pytest.approx(10 / 4 * math.exp(-1 / 72))
    # "cat cat cat a": h = 3 log 2, r = log 2, clipped to r: 1 / 3; its bigrams do not occur; 3 of them against 1.
    assert cider.score("cat cat cat a", ["a cat"]) == pytest.approx(10 / 4 / 3 * math.exp(-4 / 72))


def test_mean_over_references() -> None:
    cider = Cider([["a cat", "one kitten"], ["a dog"]])
    both = cider.score("a cat", ["a cat", "one kitten"])
    assert both == pytest.approx((cider.score("a cat", ["a cat"]) + cider.score("a cat", ["one kitten"])) / 2)
    assert cider.score("a cat", ["one kitten"]) == 0.0


def test_frequencies_count_images_not_references() -> None:
    # "cat" is in three references of one image: its document frequency is still 1.
    once = Cider([["cat"], ["dog"]])
    thrice = Cider([["cat", "cat", "cat"], ["dog"]])
    assert thrice.score("cat", ["cat"]) == once.score("cat", ["cat"]) == pytest.approx(2.5)


def test_a_subset_of_one_image_scores_nothing() -> None:
    assert Cider([["a red cat on a mat"]]).score("a red cat on a mat", ["a red cat on a mat"]) == 0.0


def test_a_perfect_caption_scores_ten_and_is_not_the_bound_of_a_metric_in_percent() -> None:
    cider = Cider([["a red cat sits on a mat"], ["two blue dogs run in rain"]])
    assert cider.score("A red cat sits on a mat.", ["a red cat sits on a mat"]) == pytest.approx(10.0)


def test_an_empty_caption_scores_nothing() -> None:
    assert Cider([["a cat"], ["a dog"]]).score("", ["a cat"]) == 0.0


def test_unseen_words_lower_the_score_by_the_norm() -> None:
    # tf-idf of an unseen word: log N - log max(1, 0) = log 2, as for a word of one image.
    cider = Cider([["cat"], ["dog"]])
    assert cider.score("cat zebra", ["cat"]) == pytest.approx(10 / 4 / math.sqrt(2) * math.exp(-1 / 72))
