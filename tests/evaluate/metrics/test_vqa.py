from __future__ import annotations

import pytest

from vlmlab.evaluate.metrics.vqa import CONTRACTIONS, normalise, normalise_words, strip_punctuation, vqa_accuracy


@pytest.mark.parametrize(("matches", "score"), [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (9, 1.0), (10, 1.0)])
def test_score_by_number_of_matching_references(matches: int, score: float) -> None:
    references = ["cat"] * matches + [f"other{index}" for index in range(10 - matches)]
    assert vqa_accuracy("cat", references) == pytest.approx(score)


def test_nothing_is_normalised_where_all_references_are_the_same() -> None:
    assert vqa_accuracy("Yes", ["yes"] * 10) == 0.0
    assert vqa_accuracy("Yes", ["yes"] * 9 + ["no"]) == pytest.approx(1.0)


def test_white_space_is_cleaned_even_where_nothing_is_normalised() -> None:
    assert vqa_accuracy("  yes\n", ["yes\t"] * 10) == 1.0
    assert vqa_accuracy("red\ncar", ["red car"] * 10) == 1.0


def test_references_that_differ_in_white_space_alone_count_as_the_same_string() -> None:
    assert vqa_accuracy("Yes", ["yes"] * 9 + [" yes "]) == 0.0


def test_leave_one_out_is_by_place_not_by_text() -> None:
    # Compared by text, all equal references would be dropped at once: the score would be 0.
    assert vqa_accuracy("cat", ["cat"] * 10) == 1.0


def test_both_sides_are_normalised() -> None:
    references = ["The t-shirt", "t shirt", "a t-shirt", "T Shirt", *["coat"] * 6]
    assert vqa_accuracy("t-shirt.", references) == 1.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,000 dollars", "1000 dollars"),
        ("t-shirt", "t shirt"),
        ("u.s.a.", "usa"),
        ("3.5", "3.5"),
        ("3.", "3"),
        ("red, blue", "red blue"),
        ("red,blue", "red blue"),
        ("red -blue", "red blue"),
        ("a-b 1,000", "ab 1000"),
        ("dog's $5 at 10:30", "dog's $5 at 10:30"),
        ("what?!", "what  "),
    ],
)
def test_punctuation(text: str, expected: str) -> None:
    assert strip_punctuation(text) == expected


def test_the_rule_looks_at_the_original_text() -> None:
    # After "," became a space, "-" would stand beside one; the decision is taken on the original, where it does not.
    assert strip_punctuation("x,-y") == "x  y"


def test_at_most_32_full_stops_are_deleted() -> None:
    assert strip_punctuation("." * 40) == "." * 8


def test_numbers_and_articles() -> None:
    assert normalise_words("None of THE two A ten an eleven") == "0 of 2 10 eleven"


def test_contractions_come_last_and_match_by_a_missing_apostrophe() -> None:
    assert normalise_words("dont couldnt've couldn'tve whos") == "don't couldn't've couldn't've who's"
    assert normalise_words("Im Ive") == "im ive"


def test_the_table_has_the_official_entries() -> None:
    assert len(CONTRACTIONS) == 114
    assert CONTRACTIONS["somebody'd"] == "somebodyd"
    assert CONTRACTIONS["'ows'at"] == "'ow's'at"
    assert CONTRACTIONS["y'alld've"] == "y'all'd've"
    assert "id" not in CONTRACTIONS
    assert "hell" not in CONTRACTIONS


def test_punctuation_before_words() -> None:
    assert normalise("The U.S.A., two") == "usa 2"
