"""The README keeps its word: its commands parse, the cheap ones run, its recipe loads, its links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from tests.cli.calling import call
from tests.golden import ROOT
from vlmlab.cli.main import app
from vlmlab.recipe.connector import AveragePool
from vlmlab.recipe.load import load_recipe

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = sorted(set(re.findall(r"`(vlmlab [^`]+)`", README)))
VERBS = {
    "RECIPE": "recipes/tiny.yaml",
    "RUN": "runs/tiny",
    "PATH": "model.connector",
    "DIR": "world",
}
"""What the words in capitals may stand for."""


def arguments(command: str) -> list[str]:
    return [VERBS.get(word, word) for word in shlex.split(command)[1:]]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_parse(command: str) -> None:
    group = typer.main.get_command(app)
    verb, *rest = arguments(command)
    with group.make_context("vlmlab", [verb, *rest]) as context:
        chosen = group.get_command(context, verb)
        assert chosen is not None
        chosen.make_context(verb, rest, parent=context).close()


def test_every_verb_is_in_the_table() -> None:
    table = re.findall(r"^\| `vlmlab (\w+)", README, re.MULTILINE)
    assert sorted(table) == sorted(str(command.name) for command in app.registered_commands)


def test_cheap_commands_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    # Less text for the tokenizer, and a store of its own: the rest is the command of the README.
    light = ("--set", "tokenizer.documents=50", "--set", "machine.store=store")
    shown = {}
    for verb, more in (("plan", ()), ("look", light), ("explain", ()), ("world", ("--documents", "5", "--items", "5"))):
        (command,) = (command for command in COMMANDS if command.split()[1] == verb)
        assert call(monkeypatch, *arguments(command), *more) == 0, command
        shown[verb] = capsys.readouterr().out
        assert shown[verb], command
    assert "Parameters" in shown["plan"]
    assert "learned" in shown["look"]
    assert "pixel_shuffle" in shown["explain"]
    assert (tmp_path / "world" / "README.md").exists()


def test_the_recipe_loads(tmp_path: Path) -> None:
    (text,) = re.findall(r"^```yaml\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    (tmp_path / "pooled.yaml").write_text(text, encoding="utf-8")
    loaded = load_recipe(tmp_path / "pooled.yaml")
    assert isinstance(loaded.recipe.model.connector, AveragePool)
    assert loaded.base_name == "tiny"


def test_make_targets_and_links_exist() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"\bmake (\w+)", README)) <= targets
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    missing = [link for link in links if "://" not in link and not (ROOT / link).exists()]
    assert not missing


def test_the_torch_of_the_readme_is_that_of_the_constraints() -> None:
    pinned = re.findall(r"^torch==(\S+)", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"torch==([\d.]+)", README)) == set(pinned)
