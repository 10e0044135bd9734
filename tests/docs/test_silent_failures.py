"""The page of silent failures names tests that exist, and every check that there is."""

from __future__ import annotations

import ast
import re

from tests.golden import ROOT
from vlmlab.run.check import MOVES
from vlmlab.training.checks.expectation import FIRST_LOSS
from vlmlab.training.checks.gradients import GRADIENTS
from vlmlab.training.checks.groups import GROUPS
from vlmlab.training.checks.isolation import CAUSALITY, ISOLATION
from vlmlab.training.checks.placement import PLACEMENT
from vlmlab.training.checks.supervision import DOCUMENTS, SUPERVISION

PAGE = (ROOT / "docs" / "silent-failures.md").read_text(encoding="utf-8")


def test_every_proof_exists() -> None:
    proofs = set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE))
    assert len(proofs) > 30
    for file, name in sorted(proofs):
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        assert any(isinstance(node, ast.FunctionDef) and node.name == name for node in tree.body), f"{file}::{name}"


def test_every_check_is_on_the_page() -> None:
    rows = re.findall(r"^\| ([\w -]+) \|", PAGE.split("## Resuming")[0], re.MULTILINE)
    checks = {GROUPS, SUPERVISION, DOCUMENTS, PLACEMENT, ISOLATION, CAUSALITY, GRADIENTS, FIRST_LOSS, MOVES}
    assert set(rows) - {"check", "---"} == checks
