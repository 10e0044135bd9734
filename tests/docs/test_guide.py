"""The guides run as they stand: every fenced block, in order, in one empty folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```(\w+)(?: title=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block of a guide."""

    language: str
    title: str | None
    text: str


def blocks(guide: Path) -> list[Block]:
    return [
        Block(language, title or None, text)
        for language, title, text in FENCE.findall(guide.read_text(encoding="utf-8"))
    ]


def execute(block: Block, folder: Path) -> str:
    """Run a block; its output."""
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "2",
    }
    match block.language:
        case "python":
            command = [sys.executable, "-c", block.text]
        case "bash":
            command = ["bash", "-euo", "pipefail", "-c", block.text]
        case "yaml":
            assert block.title, "a yaml block of a guide says which file it is: ```yaml title=NAME"
            (folder / block.title).write_text(block.text, encoding="utf-8")
            return ""
        case _:
            return ""
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=580, check=False
    )
    assert done.returncode == 0, f"{block.text}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.mark.timeout(600)  # half a minute on two quiet cores; two threads that share them with other work take minutes
def test_your_data_learns_handwritten_digits(tmp_path: Path) -> None:
    output = [execute(block, tmp_path) for block in blocks(ROOT / "docs" / "guides" / "your-data.md")]
    assert "1437 to learn from, 360 held out" in output[0]
    report = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    (row,) = report["scores"]
    assert row["benchmark"] == "digits"
    assert row["items"] == 360
    assert row["score"] >= 85.0
    assert row["blank"] <= 30.0
    assert row["gain_interval"][0] > 0
    assert (tmp_path / "runs" / "digits" / "report.html").exists()


def test_the_guide_shows_the_shipped_recipe() -> None:
    (recipe,) = (block.text for block in blocks(ROOT / "docs" / "guides" / "your-data.md") if block.language == "yaml")
    shipped = (ROOT / "recipes" / "digits.yaml").read_text(encoding="utf-8")
    assert shipped.endswith(recipe), "recipes/digits.yaml and the guide say the same"


def test_a_study_is_designed_as_the_guide_says(tmp_path: Path) -> None:
    """The guide's study takes an hour; its page and its design are what runs here."""
    steps = blocks(ROOT / "docs" / "guides" / "studies.md")
    shown = "".join(execute(block, tmp_path) for block in steps if block.language in ("yaml", "bash"))
    assert "perceiver" in shown
    assert "shuffle_reads_better" in shown
