import csv
import io
import json
import re
from importlib import resources
from pathlib import Path

import pytest
from rich.console import Console

from tests.report.made_run import HOSTILE
from tests.report.made_study import ARMS, claims, made_study, small_study, write_study
from tests.report.test_page import OUTSIDE, Outline, outline
from tests.report.test_page import _luminance as luminance
from tests.study.made_studies import some_studies
from vlmlab.errors import StudyError
from vlmlab.records.study import ComponentsRecord, StudyRecord
from vlmlab.report import numbers
from vlmlab.report.study_claims import ruling
from vlmlab.report.study_figures import claim_strip, forest_axis
from vlmlab.report.study_page import study_page, write_study_page
from vlmlab.report.study_record import CONDITIONAL, arm_name, held_field, read_study
from vlmlab.report.study_tables import write_study_tables
from vlmlab.report.study_trust import rough_replicates
from vlmlab.report.study_words import VERDICTS, meaning, study_summary

STYLES = ("style.css", "study.css")


@pytest.fixture(scope="module")
def record() -> StudyRecord:
    return made_study()


@pytest.fixture(scope="module")
def page(record: StudyRecord) -> str:
    return study_page(record)


def text_of(page: str) -> str:
    return "".join(outline(page).text)


def terminal(record: StudyRecord, *, width: int = 80) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    console.print(study_summary(record))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_written_beside_the_record_and_the_same_twice(record: StudyRecord, page: str, tmp_path: Path) -> None:
    folder = write_study(record, tmp_path / "connectors")
    path = write_study_page(folder)
    assert path == folder / "study.html"
    assert path.read_text(encoding="utf-8") == page
    assert read_study(folder) == record


def test_self_contained_and_escaped(page: str) -> None:
    assert not OUTSIDE.search(page)
    assert not {name for name, _ in outline(page).elements} & {"link", "script", "iframe", "object", "embed", "base"}
    assert HOSTILE not in page
    assert HOSTILE in text_of(page)


def test_figures_and_pictures_have_text_and_anchors_are_unique(page: str) -> None:
    elements = outline(page).elements
    pictures = [attributes for name, attributes in elements if name == "img"]
    assert len(pictures) == 4
    assert all(attributes["alt"] for attributes in pictures)
    figures = [
        at for at, (name, attributes) in enumerate(elements) if name == "svg" and "aria-hidden" not in attributes
    ]
    assert len(figures) > 60
    assert all(elements[at + 1][0] == "title" and elements[at][1]["role"] == "img" for at in figures)
    anchors = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(anchors) == len(set(anchors))
    links = [str(attributes["href"]).removeprefix("#") for name, attributes in elements if name == "a"]
    assert set(links) <= set(anchors)


def test_every_verdict_is_shown_and_explained(record: StudyRecord, page: str) -> None:
    assert {claim.verdict for claim in record.claims} == set(VERDICTS)
    text = text_of(page)
    for verdict in VERDICTS:
        assert ruling(verdict).html in page
        assert meaning(verdict, confidence=0.95) in text
    for claim in record.claims:
        assert claim.words in text
        assert claim.because in text


def test_every_number_of_the_claims_is_there(record: StudyRecord, page: str) -> None:
    text = text_of(page)
    for claim in record.claims:
        if claim.unit == "points" and claim.estimate is not None:
            assert f"{numbers.gain(claim.estimate)} points" in text
            for interval in (claim.interval, claim.interval_alone, *(part.interval for part in claim.parts)):
                assert interval is not None
                assert numbers.interval(interval, signed=True) in text
    assert "14 replicates, 9 more than there are" in text
    assert "at the common learning rate, 2e-3" in text


def test_says_what_happened(page: str) -> None:
    text = text_of(page)
    for words in (
        "Which connector reads best at nine visual tokens?",
        "The study is not complete: 19 of 20 replicates ended; 1 of them diverged and count as chance; 1 missing",
        "1 of 5 diverged",
        "4 ended, 1 missing (seed 4)",
        "loss not finite at step 812",
        "tuning at 4e-3",
        "held equal",
        "stages.joined.duration.steps",
        "model.connector.latents",
        "50 % of the way",
        "was not found so",
        "saved by the store",
        "54 %",
        "vlmlab study run studies/examples/connectors.yaml",
        "knowledge at 4 shots failed its calibration gate",
        "include two kinds of noise",
    ):
        assert words in text
    assert CONDITIONAL not in text


def test_a_budget_that_is_equal_in_all_arms_is_one_bar(page: str) -> None:
    budgets = page.split('<section id="budgets"')[1].split("</section>")[0]
    text = text_of(f"<section{budgets}</section>")
    assert text.count("every arm: updates, spent 2.4 k, planned 2.4 k") == 1
    assert text.count(": positions of the language model, spent") == len(ARMS)


def test_long_names_of_arms_break_after_slashes_and_underscores() -> None:
    assert arm_name("pixel_shuffle/<b>").html == "pixel_<wbr>shuffle/<wbr>&lt;b&gt;"


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_contrast_of_the_colour_that_only_studies_have(theme: int) -> None:
    css = [resources.files("vlmlab.report").joinpath(name).read_text(encoding="utf-8") for name in STYLES]
    colours = [
        dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", text.split(":root {")[1 + theme].split("}")[0])) for text in css
    ]
    for ground in ("paper", "raised", "wash"):
        high, low = sorted(map(luminance, (colours[1]["depends"], colours[0][ground])), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 4.5


def test_a_conditional_result_says_so_wherever_it_appears(tmp_path: Path) -> None:
    record = small_study()
    page = study_page(record)
    parsed = outline(page)
    for anchor in ("claims", "arms", "design", "benchmarks", "reading"):
        assert CONDITIONAL in page.split(f'<section id="{anchor}"')[1].split("</section>")[0]
    assert CONDITIONAL in page.split("</header>")[0]
    assert "noise is not in the intervals" in " ".join(parsed.text)
    assert "holds*" in terminal(record)
    assert CONDITIONAL in terminal(record).replace("\n", " ")
    for path in write_study_tables(tmp_path, record):
        assert all(row["condition"] == CONDITIONAL for row in csv.DictReader(io.StringIO(path.read_text())))


def test_one_claim_shows_one_interval() -> None:
    text = text_of(study_page(small_study()))
    assert "simultaneous +" not in text
    assert "chances to be wrong" not in text


@pytest.mark.parametrize("record", some_studies(), ids=lambda record: record.name)
def test_a_record_that_holds_little_is_drawn_with_what_it_holds(record: StudyRecord) -> None:
    page = study_page(record)
    assert "Every run ended well" in text_of(page)
    for absent in ("arms", "budgets", "benchmarks", "curves", "items", "calibration", "noise"):
        assert f'id="{absent}"' not in page


def test_before_anything_ran_and_with_one_replicate(record: StudyRecord) -> None:
    nothing = [
        arm.model_copy(update={"spent": None, "replicates": [], "missing": [0, 1], "diverged": []})
        for arm in record.arms
    ]
    empty = record.model_copy(
        update={"arms": nothing, "cells": [], "claims": [], "curves": [], "benchmarks": [], "seeds": [0, 1]}
    )
    text = text_of(study_page(empty))
    assert "0 of 8 replicates ended; 8 missing" in text
    assert "not run" in text
    assert "puts no claim to the test" in text
    one = [cell.model_copy(update={"interval": None, "replicates": [cell.mean], "seeds": [0]}) for cell in record.cells]
    text = text_of(study_page(record.model_copy(update={"cells": one, "seeds": [0]})))
    assert "one replicate: no interval" in text
    assert "One replicate shows no noise" in text


def test_a_measure_that_an_arm_lacks_is_named(record: StudyRecord) -> None:
    cells = [cell for cell in record.cells if (cell.arm, cell.measure) != ("pooling", "general at 4 shots")]
    text = text_of(study_page(record.model_copy(update={"cells": cells})))
    assert "no replicate of pooling has this measure" in text


def test_interval_far_beyond_the_others_ends_in_an_arrow() -> None:
    first, *others = claims()[:4]
    wide = first.model_copy(update={"interval": (-900.0, 916.6), "interval_alone": (-700.0, 716.6)})
    axis = forest_axis([wide, *others])
    assert axis.high < 100
    assert "-7,0" in claim_strip(wide, axis).html
    assert "-7,0" not in claim_strip(others[0], axis).html


def test_zero_is_inside_the_axis_even_where_everything_is_positive() -> None:
    axis = forest_axis(claims()[-1:])
    assert axis.low < 0 < axis.high
    assert 0.0 in axis.ticks


@pytest.mark.parametrize(
    ("hold", "field"),
    [
        ("updates of stages.joined", "updates"),
        ("supervised_tokens", "supervised_tokens"),
        ("the same in all arms", None),
        ("total_flops within 1 %", "total_flops"),
    ],
)
def test_held_budget_is_found_in_its_words(record: StudyRecord, hold: str, field: str | None) -> None:
    assert held_field(record.model_copy(update={"hold": hold})) == field


def test_rough_replicates_fall_with_the_effect() -> None:
    sources = ComponentsRecord(seed=3.0, item=0.7, residual=0.0)
    counts = [rough_replicates(sources, effect) for effect in (1.0, 2.0, 5.0, 100.0)]
    # The exact power of the t test at a difference of 5/3 standard deviations: 74 % with 6 of each arm, 82 % with 7.
    assert counts[2] == 7
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == 2


def test_terminal_summary_fits_eighty_columns(record: StudyRecord) -> None:
    written = terminal(record)
    assert max(map(len, written.splitlines())) <= 80
    flat = re.sub(r"\s+", " ", written)
    assert record.verdict in flat
    assert "+3.1 to +13.5" in flat
    assert "not complete: 19 of 20 replicates ended" in flat
    assert "deeper_helps: 14 replicates, 9 more than there are, would probably decide" in flat


def test_markup_of_rich_in_names_is_text(record: StudyRecord) -> None:
    claim = record.claims[0].model_copy(update={"name": "[red]x[/red]", "words": "[bold]y"})
    written = terminal(record.model_copy(update={"claims": [claim], "verdict": "[link=a]z", "notes": ["[/]"]}))
    for words in ("[red]x[/red]", "[bold]y", "[link=a]z", "note: [/]"):
        assert words in written


def test_tables(record: StudyRecord, tmp_path: Path) -> None:
    paths = write_study_tables(tmp_path, record)
    tables = {path.name: list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))) for path in paths}
    rows = tables["claims.csv"]
    assert [row["verdict"] for row in rows] == [claim.verdict for claim in record.claims]
    assert float(rows[0]["estimate"]) == 8.3
    assert rows[5]["estimate"] == ""
    assert len(tables["arms.csv"]) == len(record.cells)
    assert {row["arm"]: row["diverged"] for row in tables["arms.csv"]}["resampler_deep"] == "1"
    assert {row["arm"] for row in tables["benchmarks.csv"]} == set(ARMS)


def test_no_record_and_a_damaged_one(tmp_path: Path, record: StudyRecord) -> None:
    with pytest.raises(StudyError, match=r"found no study\.json; `vlmlab study run STUDY` writes it"):
        write_study_page(tmp_path)
    folder = write_study(record, tmp_path / "study")
    path = folder / "study.json"
    whole = json.loads(path.read_text(encoding="utf-8"))
    path.write_text("{", encoding="utf-8")
    with pytest.raises(StudyError, match="line 1 is not JSON"):
        read_study(folder)
    del whole["claims"][0]["verdict"]
    path.write_text(json.dumps(whole), encoding="utf-8")
    with pytest.raises(StudyError, match=r"claims\.0\.verdict: Field required"):
        read_study(folder)
    assert not (folder / "study.html").exists()


def test_picture_from_elsewhere_is_not_shown(record: StudyRecord) -> None:
    first = record.disagreements[0]
    picture = first.picture.model_copy(update={"image": 'data:image/png;base64,AA" onerror="alert(1)'})
    changed = record.model_copy(update={"disagreements": [first.model_copy(update={"picture": picture})]})
    page = study_page(changed)
    assert "onerror" not in page
    assert "picture not readable" in page


def test_every_class_that_the_page_uses_has_a_rule(page: str) -> None:
    css = "".join(resources.files("vlmlab.report").joinpath(name).read_text(encoding="utf-8") for name in STYLES)
    parsed: Outline = outline(page)
    used = {word for _, attributes in parsed.elements for word in (attributes.get("class") or "").split()}
    ruled = set(re.findall(r"\.([a-z][\w-]*)", css))
    assert used <= ruled
