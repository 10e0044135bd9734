"""The first 20 losses of every stage of recipes/tiny.yaml are as recorded.

See tests/golden/losses.py for how the recipe is made small. A change that is meant to move them raises NUMERICS in
vlmlab/run/identity.py, and `make golden` writes them anew.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.golden.losses import GOLDEN, STEPS, losses

TOLERANCE = 1e-3
"""Other kernels and numbers of threads move a loss by less than 1e-6 of itself; other processors round differently."""


def test_losses_are_as_recorded(tmp_path: Path) -> None:
    recorded = json.loads(GOLDEN.read_text(encoding="utf-8"))
    found = losses(tmp_path)
    assert list(found) == list(recorded), "the stages of recipes/tiny.yaml changed: if intended, `make golden`"
    for stage, values in found.items():
        assert len(values) == STEPS
        assert values == pytest.approx(recorded[stage], rel=TOLERANCE), f"{stage}: if intended, `make golden`"
