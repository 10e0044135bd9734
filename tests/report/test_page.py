import re
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path

import pytest

from tests.report.made_run import HOSTILE, made_scores, write_run
from vlmlab.errors import RunError
from vlmlab.files import read_json, read_jsonl, write_json, write_jsonl
from vlmlab.records.run import StageRecord, StepRecord
from vlmlab.report import numbers
from vlmlab.report.markup import VOID
from vlmlab.report.page import write_report

OUTSIDE = re.compile(
    r"""(?:src|href|srcset|action|data|poster)\s*=\s*["']?\s*(?:https?:)?//|url\(|@import""", re.IGNORECASE
)


class Outline(HTMLParser):
    """Collects elements and checks that every one of them is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID | {"wbr"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID | {"wbr"}:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def outline(page: str) -> Outline:
    parsed = Outline()
    parsed.feed(page)
    assert parsed.open == []
    return parsed


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "made")


@pytest.fixture(scope="module")
def page(run: Path) -> str:
    return write_report(run).read_text(encoding="utf-8")


def test_written_beside_the_record(run: Path, page: str) -> None:
    assert (run / "report.html").read_text(encoding="utf-8") == page


def test_self_contained(page: str) -> None:
    assert not OUTSIDE.search(page)
    names = {name for name, _ in outline(page).elements}
    assert not names & {"link", "script", "iframe", "object", "embed", "base"}


def test_data_is_escaped(page: str) -> None:
    assert HOSTILE not in page
    assert "&lt;script&gt;alert(&#x27;boo&#x27;)&lt;/script&gt;" in page
    assert HOSTILE in "".join(outline(page).text)


def test_every_score_is_there(page: str) -> None:
    for score in made_scores():
        assert f">{numbers.score(score.score)}<" in page
        assert f">{numbers.interval(score.interval)}<" in page
        if score.gain is not None and score.gain_interval is not None:
            assert f">{numbers.gain(score.gain)}<" in page
            assert f">{numbers.interval(score.gain_interval, signed=True)}<" in page


def test_figures_and_pictures_have_text(page: str) -> None:
    elements = outline(page).elements
    pictures = [attributes for name, attributes in elements if name == "img"]
    assert len(pictures) == 20
    assert all(attributes["alt"] for attributes in pictures)
    figures = [
        index for index, (name, attributes) in enumerate(elements) if name == "svg" and "aria-hidden" not in attributes
    ]
    assert len(figures) > 18
    assert all(elements[index + 1][0] == "title" and elements[index][1]["role"] == "img" for index in figures)
    headers = [attributes for name, attributes in elements if name == "th"]
    assert all("scope" in attributes for attributes in headers)


def test_one_name_an_anchor(page: str) -> None:
    elements = outline(page).elements
    anchors = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(anchors) == len(set(anchors))
    links = [attributes["href"] for name, attributes in elements if name == "a"]
    assert {str(link).removeprefix("#") for link in links} <= set(anchors)


def test_same_record_same_bytes_with_and_without_manifest(run: Path, page: str, tmp_path: Path) -> None:
    other = write_run(tmp_path / "made", complete=False)
    assert write_report(other).read_text(encoding="utf-8") == page


def test_says_what_happened(page: str) -> None:
    text = "".join(outline(page).text)
    for words in (
        "At 4 shots it beats its blank-image control on 5 of 5 image benchmarks",
        "reused from the store",
        "17",
        "pages.parquet#412",
        "2e-3",
        "red (8), crimson (2)",
        "vlmlab run runs/made/recipe.resolved.json --set seed=1 --out runs/made-seed-1",
        "1.79 M parameters",
        "loss by source",
        "gradient norm by component",
        "useful MFU",
        "612 MiB",
        "3 steps skipped: loss or gradient was not finite",
    ):
        assert words in text


def test_without_base_and_evaluation(tmp_path: Path) -> None:
    page = write_report(write_run(tmp_path / "made", base=False, evaluated=False)).read_text(encoding="utf-8")
    text = "".join(outline(page).text)
    assert "derives from no other" in text
    assert "asks no benchmark" in text
    assert 'id="scores"' not in page


def test_picture_from_elsewhere_is_not_shown(tmp_path: Path) -> None:
    run = write_run(tmp_path / "made")
    path = run / "evaluation" / "gallery.json"
    rows = read_json(path)
    rows[0]["image"] = "//example.org/tracker.png"
    rows[1]["image"] = 'data:image/png;base64,AAAA" onerror="alert(1)'
    write_json(path, rows)
    page = write_report(run).read_text(encoding="utf-8")
    assert "tracker" not in page
    assert "onerror" not in page
    assert page.count("picture not readable") == 2


def test_unfinished_run_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    run = write_run(tmp_path / "made")
    (run / "evaluation" / "summary.json").unlink()
    with pytest.raises(RunError, match="the run is not finished"):
        write_report(run)
    assert not (run / "report.html").exists()


def _luminance(colour: str) -> float:
    channels = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_contrast(theme: int) -> None:
    """WCAG 2 AA: 4.5 to 1 for text of every colour on every ground."""
    css = resources.files("vlmlab.report").joinpath("style.css").read_text(encoding="utf-8")
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", css.split(":root {")[1 + theme].split("}")[0]))
    for ground in ("paper", "raised", "wash"):
        for ink in ("ink", "quiet", "score", "blank", "good", "bad", "partly", "link"):
            high, low = sorted((_luminance(colours[ink]), _luminance(colours[ground])), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 4.5, f"{ink} on {ground}"


def test_plan_stands_beside_what_was_measured(page: str) -> None:
    row = page.split('<section id="cost"')[1].split("joined")[2].split("</tr>")[0]
    assert "27,000,000" in row
    assert "26,880,000" in row
    assert "222 T" in row


def test_without_plan_and_with_a_damaged_one(tmp_path: Path) -> None:
    run = write_run(tmp_path / "made")
    path = run / "plan.json"
    value = read_json(path)
    del value["stages"][1]["tokens"]
    write_json(path, value)
    with pytest.raises(RunError, match=r"plan\.json: stages\.1\.tokens: Field required"):
        write_report(run)
    path.unlink()
    assert "FLOPs planned" not in write_report(run).read_text(encoding="utf-8")


def test_a_record_of_an_older_version_is_drawn_with_what_it_holds(tmp_path: Path) -> None:
    """Fields of training that came later are missing there: no curve by source, no utilisation, speeds from counts."""
    run = write_run(tmp_path / "made")
    later = {name for name, field in StepRecord.model_fields.items() if not field.is_required()}
    for path in run.glob("stages/*/metrics.jsonl"):
        write_jsonl(path, [{k: v for k, v in row.items() if k not in later} for row in read_jsonl(path)])
    later = {name for name, field in StageRecord.model_fields.items() if not field.is_required()}
    for path in run.glob("stages/*/summary.json"):
        write_json(path, {k: v for k, v in read_json(path).items() if k not in later})
    page = write_report(run).read_text(encoding="utf-8")
    text = "".join(outline(page).text)
    assert "loss by source" not in text
    assert "tokens a second" in text
    assert page.count("svg") < write_report(write_run(tmp_path / "new")).read_text(encoding="utf-8").count("svg")
    assert "nan" not in text.lower().split()
