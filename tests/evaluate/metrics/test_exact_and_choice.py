from __future__ import annotations

from vlmlab.evaluate.metrics.choice import Candidate, choice_accuracy, most_likely, most_likely_per_token
from vlmlab.evaluate.metrics.exact import exact_match


def test_exact_match_strips_and_lowers_only() -> None:
    assert exact_match("  Red\n", ["red"]) == 1.0
    assert exact_match("red.", ["red"]) == 0.0
    assert exact_match("blue", ["red", "Blue"]) == 1.0


def test_sum_and_mean_over_the_candidates_own_tokens_can_disagree() -> None:
    short, long = Candidate("no", -3.0, 1), Candidate("a long one", -4.0, 4)
    assert most_likely([long, short]).text == "no"
    assert most_likely_per_token([long, short]).text == "a long one"


def test_equals_go_to_the_first() -> None:
    assert most_likely([Candidate("a", -1.0, 1), Candidate("b", -1.0, 1)]).text == "a"


def test_choice_is_right_or_wrong() -> None:
    assert choice_accuracy("a", "a") == 1.0
    assert choice_accuracy("a", "b") == 0.0
