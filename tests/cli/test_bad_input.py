"""Bad input as a user meets it: `vlmlab run` ends with status 2 and says where, what was found, and what to do.

Each reader and check has its own tests of the details; here every kind of mistake travels the whole way.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.cli.calling import call
from tests.micro import micro_tree
from vlmlab.files import read_jsonl

STAGE = {
    "objective": {"kind": "next_token"},
    "train": {"language": {"mode": "full"}},
    "mixture": {"mine": 1.0},
    "duration": {"steps": 4},
    "batch": {"rows": 2, "length": 64},
    "optimizer": {"schedule": {"warmup": 1}},
}


def tree(path: str = "good.jsonl", form: str = "text", **changes: Any) -> dict[str, Any]:
    """The micro recipe with one JSONL source and one stage; dots in `changes` are written as two underscores."""
    source = {"kind": "jsonl", "form": form, "path": path}
    return micro_tree(
        **{"evaluation__benchmarks": {}, "data__sources": {"mine": source}, "stages": {"only": STAGE}, **changes}
    )


def only(**changes: Any) -> dict[str, Any]:
    """The stage with some of its fields replaced."""
    return {"only": STAGE | changes}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of a user: a few files, good and bad."""
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (32, 32), (200, 0, 0)).save("a.png")
    lines = {
        "good.jsonl": [json.dumps({"text": f"line {number} of the corpus"}) for number in range(20)],
        "empty.jsonl": [],
        "broken.jsonl": [json.dumps({"text": "a good line"}), '{"text": '],
        "long.jsonl": [json.dumps({"text": "far too long " * 100})],
        "captions.jsonl": [json.dumps({"image": "a.png", "text": "red"})],
        "gone.jsonl": [json.dumps({"image": "gone.png", "text": "red"})],
    }
    for name, rows in lines.items():
        Path(name).write_text("".join(row + "\n" for row in rows), encoding="utf-8")
    parquet.write_table(pyarrow.table({"url": ["x"], "text": ["y"]}), "columns.parquet")
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, recipe: dict[str, Any]) -> int:
    Path("mine.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    return call(monkeypatch, "run", "mine.yaml", "--set", "machine.threads=1", "--set", "machine.store=store", "--json")


def test_the_same_recipe_without_a_mistake_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, tree()) == 0
    assert json.loads(capsys.readouterr().out)["scores"] == []


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        pytest.param(
            tree() | {"modle": {}}, ("mine.yaml: modle: no such field", "did you mean 'model'?"), id="unknown field"
        ),
        pytest.param(
            tree(model__connector={"kind": "mpl"}),
            ("mine.yaml: model.connector: kind 'mpl' is not one of linear, mlp,", "did you mean 'mlp'?"),
            id="wrong kind",
        ),
        pytest.param(
            tree(model__image={"side": 300}, model__vision__patch=14),
            ("mine.yaml: model.image: side 300 is not a multiple of the patch size 14; nearest: 294, 308",),
            id="impossible geometry",
        ),
        pytest.param(
            tree(model__language__heads=3),
            ("mine.yaml: model.language: width 16 is not a multiple of heads 3; give head_width",),
            id="impossible heads",
        ),
        pytest.param(
            tree("nothing.jsonl"),
            ("data.sources.mine.path: there is no file nothing.jsonl; expected a file or a glob",),
            id="missing file",
        ),
        pytest.param(
            tree("gone.jsonl", "caption"),
            ("data.sources.mine: 51 samples refused", "mine/gone.jsonl#0.0: image file gone.png cannot be read"),
            id="missing image",
        ),
        pytest.param(
            tree("empty.jsonl"),
            ("data.sources.mine: the source is empty (empty.jsonl); expected at least one line",),
            id="empty source",
        ),
        pytest.param(
            tree(stages=only(mixture={"mine": -1.0})),
            ("mine.yaml: stages.only.mixture.mine: is -1.0",),
            id="negative weight",
        ),
        pytest.param(
            tree(stages=only(mixture={"mine": 0.0})),
            ("mine.yaml: stages.only.mixture: all weights are zero; at least one must be positive",),
            id="weights all zero",
        ),
        pytest.param(
            tree("broken.jsonl", stages=only(duration={"steps": 100}, batch={"rows": 4, "length": 64})),
            ("100 of 200 samples refused", "broken.jsonl#1: ", "broken JSON", "Mend or remove them"),
            id="broken line",
        ),
        pytest.param(
            tree(data__sources={"mine": {"kind": "parquet", "form": "caption", "path": "columns.parquet"}}),
            ("columns.parquet: found the columns url, text; form caption expects image and text",),
            id="columns",
        ),
        pytest.param(
            tree("long.jsonl", stages=only(batch={"rows": 2, "length": 64, "long_documents": "refuse"})),
            ("mine/long.jsonl#0: the document has", "but a row has 64 (batch.length); raise it, or set"),
            id="long document",
        ),
        pytest.param(
            tree("captions.jsonl", "caption", stages=only(batch={"rows": 2, "length": 16})),
            ("mine/captions.jsonl#0: the document has", "but a row has 16", "raise batch.length"),
            id="never cut inside an image",
        ),
        pytest.param(
            tree("captions.jsonl", "caption", stages=only(batch={"rows": 2, "length": 64, "images": 0})),
            ("mine/captions.jsonl#0: the document has 1 images but a row may hold 0; raise batch.images",),
            id="too many images",
        ),
    ],
)
def test_a_mistake_is_status_2_and_one_message(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    recipe: dict[str, Any],
    words: tuple[str, ...],
) -> None:
    assert run(monkeypatch, recipe) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "Traceback" not in shown.err
    message = shown.err[shown.err.index("vlmlab: ") :]
    for part in words:
        assert part in message


def test_ctrl_c_in_the_middle_continues_later(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal's Ctrl-C: the whole process group gets the signal, loader workers included."""
    steps = 80
    Path("mine.yaml").write_text(json.dumps(tree(stages=only(duration={"steps": steps}))), encoding="utf-8")

    def command(store: str, **settings: object) -> list[str]:
        fields = {"threads": 1, "log_every": 1, "store": store, **settings}
        sets = [word for name, value in fields.items() for word in ("--set", f"machine.{name}={value}")]
        return ["run", "mine.yaml", "--out", f"runs/{store}", "--json", *sets]

    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("vlmlab")), *command("stopped", workers=1, checkpoint_seconds=1e-9)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A suite started in the background ignores Ctrl-C, and its children would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 100
    while sum(len(path.read_text().splitlines()) for path in Path("stopped").glob("*.work/metrics.jsonl")) < 5:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped by Ctrl-C in stage only at step" in errors
    assert "Traceback" not in errors
    assert not Path("runs/stopped/manifest.json").exists()

    assert call(monkeypatch, *command("stopped")) == call(monkeypatch, *command("whole")) == 0
    found, expected = (
        [(row["step"], row["loss"]) for row in read_jsonl(Path(f"runs/{store}/stages/only/metrics.jsonl"))]
        for store in ("stopped", "whole")
    )
    assert [step for step, _ in expected] == list(range(1, steps + 1))
    assert found == expected
