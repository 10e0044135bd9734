"""The house keeps its shape: who imports whom, short files, empty __init__, no rag-bag modules, no blanket except."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "vlmlab"
MODULES = sorted(PACKAGE.rglob("*.py"))

LAYERS = (
    {"cli"},
    {"study"},
    {"run"},
    {"training", "evaluate", "exchange"},
    {"generation"},
    {"models", "data"},
    {"batch"},
    {"report"},
    {"plan"},
    {"records"},
    {"recipe"},
    {"errors", "files", "locks", "random_streams", "wording"},
)
"""From the top down. A module imports from its own part and from layers below, never from its layer's other parts."""
FLOOR = len(LAYERS) - 1
TORCH_FREE = {"report", "plan", "records", "recipe", "errors", "files", "locks", "random_streams", "wording"}
TORCH = {"torch", "transformers", "peft", "safetensors"}
MOST_LINES = 400


def level(part: str) -> int:
    for index, parts in enumerate(LAYERS):
        if part in parts:
            return index
    raise AssertionError(f"{part} has no layer: give it one in LAYERS")


def part_of(module: Path) -> str:
    return module.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(module: Path) -> Iterator[str]:
    """Every module that a file imports, lazily or not, as a dotted name; `from a import b` counts as a and as a.b."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=str(source), names=names, level=0):
                yield from (f"{source}.{name.name}" for name in names)
            case ast.ImportFrom():
                raise AssertionError(f"{module}: relative import on line {node.lineno}; write the whole name")


def name(module: Path) -> str:
    return str(module.relative_to(PACKAGE))


@pytest.fixture(params=[module for module in MODULES if module != PACKAGE / "__init__.py"], ids=name)
def module(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_imports_point_downwards(module: Path) -> None:
    part = part_of(module)
    for imported in imports(module):
        if imported.startswith("vlmlab."):
            other = imported.split(".")[1]
            if other in ("__version__", part):
                continue
            assert level(other) > level(part) or level(other) == FLOOR, f"{name(module)} imports {imported}"


def test_torch_stays_above_batch(module: Path) -> None:
    if part_of(module) in TORCH_FREE:
        assert not {imported.split(".")[0] for imported in imports(module)} & TORCH


def test_files_are_short_and_init_files_empty(module: Path) -> None:
    text = module.read_text(encoding="utf-8")
    assert len(text.splitlines()) < MOST_LINES
    if module.name == "__init__.py":
        assert text == ""
    else:
        assert ast.get_docstring(ast.parse(text)), "the file does not say what it is"


def test_no_rag_bags(module: Path) -> None:
    assert not {"utils", "util", "common", "helpers", "helper", "misc"} & set(
        module.relative_to(PACKAGE).with_suffix("").parts
    )


def test_no_blanket_except(module: Path) -> None:
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ExceptHandler) and _is_blanket(node.type):
            again = any(isinstance(inner, ast.Raise) and inner.exc is None for inner in ast.walk(node))
            assert again, f"{name(module)}:{node.lineno} catches everything and does not raise it again"


def _is_blanket(caught: ast.expr | None) -> bool:
    match caught:
        case None | ast.Name(id="Exception" | "BaseException"):
            return True
        case ast.Tuple(elts=parts):
            return any(_is_blanket(part) for part in parts)
        case _:
            return False


def test_the_checks_see_what_they_look_for(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("try:\n    import torch.nn\nexcept (ValueError, Exception):\n    from vlmlab.models import build\n")
    assert set(imports(bad)) == {"torch.nn", "vlmlab.models.build"}
    handlers = [node for node in ast.walk(ast.parse(bad.read_text())) if isinstance(node, ast.ExceptHandler)]
    assert [_is_blanket(handler.type) for handler in handlers] == [True]
    assert level("cli") < level("models") < level("recipe")
