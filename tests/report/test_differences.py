from tests.report.made_run import base_recipe, recipe
from vlmlab.report.differences import Difference, differences


def test_made_recipe_against_its_base() -> None:
    assert differences(base_recipe().plain(), recipe().plain()) == (
        Difference("model.image.side", "32", "48"),
        Difference("stages.joined.train.vision.mode", "full", None),
        Difference("stages.joined.train.vision.learning_rate", "null", None),
        Difference("stages.joined.train.vision.weight_decay", "null", None),
        Difference("stages.joined.mixture.dialogues", None, "2.0"),
    )


def test_no_difference() -> None:
    assert differences(recipe().plain(), recipe().plain()) == ()


def test_another_kind_shows_fields_gained_and_lost() -> None:
    base = {"connector": {"kind": "mlp", "hidden": None}}
    here = {"connector": {"kind": "average_pool", "window": 2}}
    assert differences(base, here) == (
        Difference("connector.kind", "mlp", "average_pool"),
        Difference("connector.window", None, "2"),
        Difference("connector.hidden", "null", None),
    )


def test_null_false_and_empty_are_told_apart() -> None:
    base = {"a": None, "b": False, "c": "", "d": {}, "e": [0, 4]}
    here = {"a": False, "b": None, "c": " x", "d": {"e": 1}, "e": [0]}
    assert [(row.path, row.base, row.here) for row in differences(base, here)] == [
        ("a", "null", "false"),
        ("b", "false", "null"),
        ("c", '""', '" x"'),
        ("d.e", None, "1"),
        ("e", "[0, 4]", "[0]"),
    ]


def test_a_name_is_no_difference() -> None:
    assert differences({"name": "a", "about": "x", "seed": 0}, {"name": "b", "about": "y", "seed": 0}) == ()


def test_a_whole_part_is_one_row() -> None:
    stage = {"steps": 1, "rows": 2, "length": 3, "packing": True, "mixture": {"a": 1.0}}
    assert differences({"stages": {"old": stage}}, {"stages": {"new": stage, "old": stage}}) == (
        Difference("stages.new", None, "5 fields"),
    )
    assert differences({"stages": {"old": stage}}, {"stages": {}}) == (Difference("stages", "5 fields", None),)
