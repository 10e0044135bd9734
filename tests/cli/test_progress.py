"""The line of progress: loss, speed, utilisation and time left within 80 columns."""

from __future__ import annotations

import io

from rich.console import Console

from tests.micro import micro_recipe
from tests.report.made_run import made_steps
from vlmlab.cli.progress import ProgressWatcher, step_words

ROW = made_steps("text", steps=20, last=0.7, tokens_per_step=1000, seconds=2.0)[0].model_copy(
    update={"loss": 1.2345, "tokens_per_second": 10_234.0, "mfu": 0.314}
)


def test_a_line_in_words() -> None:
    assert step_words(ROW) == "loss 1.234 · 10.2 k tok/s · MFU 31 %"
    bare = {"loss": None, "tokens_per_second": None, "mfu": None, "skipped": 2}
    assert step_words(ROW.model_copy(update=bare)) == "no finite step · 2 skipped"


def test_it_fits_eighty_columns() -> None:
    console = Console(width=80, file=io.StringIO(), force_terminal=True)
    with ProgressWatcher(console) as watcher:
        watcher.stage_started("language", micro_recipe().stages["language"], [])
        watcher.step("language", ROW, 0.5)
    text = console.file.getvalue()
    assert "MFU 31 %" in text
    assert "…" not in text
