"""Calling the command line inside the test's process."""

from __future__ import annotations

import sys

import pytest

from vlmlab.cli import main as cli


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Exit status of one command."""
    monkeypatch.setattr(sys, "argv", ["vlmlab", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return 0 if stop.value.code is None else int(stop.value.code)
