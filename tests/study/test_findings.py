"""The catalogue loads, keeps its own rules, and says clearly which file and entry break them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from vlmlab.errors import CatalogueError
from vlmlab.recipe.explain import explain
from vlmlab.recipe.strict_yaml import parse_yaml
from vlmlab.study.catalogue import FOLDER, Catalogue, load_catalogue
from vlmlab.study.findings import FAMILIES, Open, Tie, Wins

ENTRY = """
    source: table 1
    certainty: verified
    family: connector
    statement: One beats the other.
    fields: [model.connector.kind]
    measure: score
    arms: {one: {scores: {score: 3.0}}, other: {scores: {score: 1.0}}}
    direction: {kind: wins, winner: one, over: other, measure: score, margin: 2.0, words: "+2.0."}
    small_scale: {test: yes, how: Try it.}
"""


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


def write(folder: Path, *entries: str, paper: str = "Made") -> Path:
    """A catalogue of one file whose entries are E-1, E-2, …"""
    folder = folder / "findings"
    folder.mkdir(exist_ok=True)
    text = "".join(f"  E-{number}:{entry.rstrip()}\n" for number, entry in enumerate(entries, start=1))
    (folder / f"{paper.lower()}.yaml").write_text(
        f"paper: {paper}\nabout: Made up.\nfindings:\n{text}", encoding="utf-8"
    )
    return folder


def test_every_entry_loads(catalogue: Catalogue) -> None:
    counts = {file.paper: len(file.findings) for file in catalogue.papers}
    assert counts == {
        "AIM": 20, "AIMv2": 13, "Flamingo": 8, "Idefics1": 2, "Idefics2": 20, "Idefics3": 1, "MM1": 18, "MM1.5": 6,
        "VILA": 17,
    }  # fmt: skip
    assert len(catalogue.findings) == 105
    tests = [finding.entry.small_scale.test for finding in catalogue.findings.values()]
    assert {word: tests.count(word) for word in set(tests)} == {"yes": 77, "partly": 25, "no": 3}
    assert {finding.entry.family for finding in catalogue.findings.values()} == set(FAMILIES)


def test_conflicts_are_symmetric_and_between_papers(catalogue: Catalogue) -> None:
    pairs = {(finding.id, other) for finding in catalogue.findings.values() for other in finding.entry.conflicts}
    assert len(pairs) == 2 * 32
    assert {(other, one) for one, other in pairs} == pairs
    assert all(catalogue.findings[one].paper != catalogue.findings[other].paper for one, other in pairs)


def test_fields_are_fields_of_recipes(catalogue: Catalogue) -> None:
    """A field that recipes lack stands under `missing`, so that no finding looks testable which is not."""
    for path in {path for finding in catalogue.findings.values() for path in finding.entry.fields}:
        assert explain(path), path
    for finding in catalogue.findings.values():
        assert finding.entry.fields or finding.entry.missing, finding.id


def test_published_numbers_as_their_tables_have_them(catalogue: Catalogue) -> None:
    """A few cells by hand, and every kind of direction."""
    trained = catalogue.get("V-2").entry
    assert trained.arms["c: trained in pretraining"].scores == {"0-shot": 66.8, "4-shot": 68.8, "COCO 4-shot": 113.5}
    assert isinstance(trained.direction, Wins)
    assert trained.direction.margin == 11.2
    assert trained.margin_certainty() == "verified"
    interleaved = catalogue.get("M-D2").entry
    assert interleaved.arms[">= 50 % interleaved"].scores["8-shot"] == "> 61"
    assert interleaved.certainty == "secondary"
    tokens = catalogue.get("I2-F4b").entry
    assert isinstance(tokens.direction, Tie)
    assert tokens.direction.margin == 0.5
    assert isinstance(catalogue.get("M-L1").entry.direction, Open)


def test_certainty_is_kept_by_number(catalogue: Catalogue) -> None:
    mask = catalogue.get("A-5").entry
    assert mask.certainty == "verified"
    assert mask.arm_certainty("causal, used bidirectional") == "memory"
    assert mask.arm_certainty("causal, used causal") == "verified"
    assert mask.margin_certainty() == "memory"


def test_a_margin_is_no_surer_than_the_scores_it_rests_on(catalogue: Catalogue) -> None:
    order = ("verified", "secondary", "memory")
    for finding in catalogue.findings.values():
        direction = finding.entry.direction
        if isinstance(direction, Wins) and direction.margin is not None:
            arms = [arm for arm in (direction.winner, direction.over) if arm is not None]
            weakest = max(order.index(finding.entry.arm_certainty(arm)) for arm in arms)
            assert order.index(finding.entry.margin_certainty()) >= weakest, finding.id


def test_filters_and_near_names(catalogue: Catalogue) -> None:
    assert [finding.id for finding in catalogue.select(paper="vila", family="connector")] == ["V-3"]
    assert {finding.id for finding in catalogue.select(testable="no")} == {"A-18", "A2-13", "M15-6"}
    assert catalogue.get("i2-f4b").id == "I2-F4b"
    for call, words in (
        (lambda: catalogue.get("V2"), "V2: no such finding; did you mean 'V-2'?"),
        (lambda: catalogue.get("nonsense"), "nonsense: no such finding; `vlmlab findings` lists them"),
        (lambda: catalogue.select(paper="VILLA"), "--paper: 'VILLA' fits no finding; did you mean 'VILA'?"),
        (
            lambda: catalogue.select(family="conector"),
            "--family: 'conector' fits no finding; did you mean 'connector'?",
        ),
        (lambda: catalogue.select(testable="maybe"), "--testable: 'maybe' fits no finding; known: no, partly, yes"),
    ):
        with pytest.raises(CatalogueError) as refused:
            call()
        assert str(refused.value) == words


def test_a_small_catalogue_is_fine(tmp_path: Path) -> None:
    assert list(load_catalogue(write(tmp_path, ENTRY)).findings) == ["E-1"]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("family: connector", "family: conector", "family: 'conector' is not one of objective,"),
        ("statement:", "statment:", "statment: no such field in findings.E-1; did you mean 'statement'?"),
        ("certainty: verified", "certainty: sure", "certainty: 'sure' is not one of verified, secondary, memory"),
        ("winner: one", "winner: ones", "direction.winner: 'ones' is not an arm; did you mean 'one'?"),
        ("over: other", "over: another", "direction.over: 'another' is not an arm; did you mean 'other'?"),
        ("over: other", "over: one", "direction: 'one' cannot win over itself"),
        ("measure: score, margin", "measure: scores, margin", "direction.measure: no arm has a score for 'scores'"),
        ("margin: 2.0", "margin: 3.0", "direction.margin: 3, but the scores of its arms differ by 2"),
        ("over: other, measure: score, ", "", "direction.margin: say over which arm and on which measure"),
        ("{one: {", "{'': {}, one: {", "arms: an arm without a name"),
        ("{one: {", "{null: {}, one: {", "a key must be text"),
        ("arms: {one", "arms: {one: {}, one", "the key 'one' occurs twice"),
        ("small_scale:", "conflicts: [E-9]\n    small_scale:", "conflicts: no finding 'E-9'; did you mean 'E-1'?"),
        ("small_scale:", "conflicts: [E-1]\n    small_scale:", "conflicts: it names itself"),
        ("small_scale:", "study: studies/no.yaml\n    small_scale:", "study: no file studies/no.yaml"),
        ("small_scale:", "recipes: {two: no.yaml}\n    small_scale:", "recipes: 'two' is not an arm"),
        ("{test: yes,", "{test: maybe,", "small_scale.test: 'maybe' is not one of yes, partly, no"),
        ("fields: [model.connector.kind]", "", "fields: is missing"),
    ],
)  # fmt: skip
def test_errors_name_file_and_entry(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert old in ENTRY
    folder = write(tmp_path, ENTRY.replace(old, new, 1))
    with pytest.raises(CatalogueError) as refused:
        load_catalogue(folder)
    assert f"{folder / 'made.yaml'}: " in str(refused.value)
    assert problem in str(refused.value)
    assert "E-1" in str(refused.value)


def test_a_conflict_needs_both_sides(tmp_path: Path) -> None:
    one_sided = ENTRY.replace("small_scale:", "conflicts: [E-2]\n    small_scale:")
    with pytest.raises(CatalogueError, match=r"E-1: conflicts: E-2 \(.*made\.yaml\) does not name it in turn"):
        load_catalogue(write(tmp_path, one_sided, ENTRY))


def test_a_tie_holds_what_it_says(tmp_path: Path) -> None:
    line = next(line for line in ENTRY.splitlines() if "direction:" in line)
    tie = ENTRY.replace(line, '    direction: {kind: tie, margin: 0.5, words: "Within 0.5."}')
    with pytest.raises(CatalogueError, match=r"direction\.margin: 0\.5, but the scores of its arms differ by 2"):
        load_catalogue(write(tmp_path, tie))


def test_every_problem_at_once_and_ids_only_once(tmp_path: Path) -> None:
    write(tmp_path, ENTRY, paper="Alpha")
    folder = write(tmp_path, ENTRY, paper="Beta")
    with pytest.raises(CatalogueError, match=r"beta\.yaml: E-1: stands in .*alpha\.yaml too"):
        load_catalogue(folder)
    write(tmp_path, ENTRY.replace("family: connector", "family: no").replace("verified", "no"), paper="Alpha")
    with pytest.raises(CatalogueError) as refused:
        load_catalogue(folder)
    assert str(refused.value).count("alpha.yaml: E-1") == 2


def test_no_catalogue(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="no findings here"):
        load_catalogue(tmp_path)


def test_files_are_read_the_same_by_any_parser() -> None:
    """Our YAML is strict; other programs may read the catalogue too, `yes` and `no` left aside."""
    for file in FOLDER.glob("*.yaml"):
        tree = yaml.safe_load(file.read_text(encoding="utf-8"))
        for name, entry in tree["findings"].items():
            assert all(isinstance(arm, str) for arm in entry["arms"]), name


def test_studies_and_findings_name_each_other(catalogue: Catalogue) -> None:
    """A claim names a finding of the catalogue, and a finding's study has a claim about it."""
    root = FOLDER.parent
    testing: dict[str, set[str]] = {}
    for file in (root / "studies").rglob("*.yaml"):
        tree = parse_yaml(file.read_text(encoding="utf-8"), where=file.name)
        for claim in tree.get("claims", {}).values():
            if claim.get("finding") is not None:
                testing.setdefault(catalogue.get(claim["finding"]).id, set()).add(str(file.relative_to(root)))
    for finding in catalogue.findings.values():
        if finding.entry.study is not None or finding.id in testing:
            assert finding.entry.study in testing.get(finding.id, set()), finding.id
