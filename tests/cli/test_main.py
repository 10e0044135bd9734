"""The command line: what it prints, its exit status, and that it stays light."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import vlmlab
from tests.cli.calling import call
from tests.golden import ROOT
from vlmlab.cli import main as cli


def test_plan_in_words(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, "plan", "tiny", "--set", "name=other", "--set", "machine.name=here") == 0
    assert capsys.readouterr().out.startswith("other on here (two laptop cores")


def test_plan_json_is_one_object(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, "plan", "tiny", "--machine", "one-gpu", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["recipe"] == "tiny"
    assert shown["machine"] == "one-gpu"
    assert shown["total_parameters"] == sum(shown["parameters"].values())


def test_explain(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, "explain", "model.connector.perceiver.latents") == 0
    assert "default 64" in capsys.readouterr().out
    assert call(monkeypatch, "explain", "--all") == 0
    assert capsys.readouterr().out == (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")


def test_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"vlmlab {vlmlab.__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [("plan", "tinny"), ("plan",), ("plna", "tiny"), ("explain", "model.vison"), ("plan", "tiny", "--set", "sed=1")],
)
def test_the_users_mistakes_are_status_2_and_go_to_standard_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    assert call(monkeypatch, *arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err
    assert "Traceback" not in shown.err


def test_ctrl_c_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vlmlab.recipe.load.load_recipe", interrupted)
    assert call(monkeypatch, "plan", "tiny") == 130
    assert "interrupted; run the same command again to continue" in capsys.readouterr().err


def test_our_own_mistakes_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise AssertionError("ours")

    monkeypatch.setattr("vlmlab.recipe.load.load_recipe", broken)
    monkeypatch.setattr(sys, "argv", ["vlmlab", "plan", "tiny"])
    with pytest.raises(AssertionError, match="ours"):
        cli.main()


def test_help_plan_and_public_names_import_no_torch() -> None:
    """One process runs the three: what none of them imported is not in sys.modules at the end."""
    program = """
        import contextlib, io, sys
        import vlmlab
        from vlmlab.cli.main import main
        for arguments in (["--help"], ["plan", "recipes/tiny.yaml"], ["explain", "model"]):
            sys.argv = ["vlmlab", *arguments]
            with contextlib.redirect_stdout(io.StringIO()) as shown, contextlib.suppress(SystemExit):
                main()
            assert shown.getvalue(), arguments
        vlmlab.plan_recipe, vlmlab.Recipe, vlmlab.Machine, vlmlab.load_recipe, vlmlab.load_machine
        heavy = {"torch", "numpy", "transformers", "tokenizers", "PIL", "matplotlib", "pyarrow", "rich"}
        heavy &= set(sys.modules)
        assert not heavy, heavy
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], cwd=ROOT, env=environment, check=True, timeout=60)


def test_public_names_are_listed_once_and_lead_somewhere() -> None:
    assert sorted(vlmlab.__all__) == sorted(vlmlab._PLACES)
    for module, attribute in vlmlab._PLACES.values():
        source = Path(ROOT / "src" / module.replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8")
        assert any(f"{word} {attribute}" in source for word in ("def", "class")), (
            f"{module} does not define {attribute}"
        )
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = vlmlab.nothing
