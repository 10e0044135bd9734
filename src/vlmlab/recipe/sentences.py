"""The sentence under each field of a spec, read from the source when somebody asks; its lines are joined.

pydantic can do this itself while classes are made (use_attribute_docstrings), which costs every start of the command
line 0.09 of its 0.5 CPU seconds.
"""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap

from pydantic import BaseModel


@functools.cache
def sentences(spec: type[BaseModel]) -> dict[str, str]:
    """{field: the sentence under it}, fields of base classes included."""
    found: dict[str, str] = {}
    for owner in reversed(spec.__mro__):
        if issubclass(owner, BaseModel) and owner is not BaseModel:
            found |= _own(owner)
    return found


def _own(spec: type[BaseModel]) -> dict[str, str]:
    definition = ast.parse(textwrap.dedent(inspect.getsource(spec))).body[0]
    assert isinstance(definition, ast.ClassDef)
    found: dict[str, str] = {}
    for field, below in zip(definition.body, definition.body[1:], strict=False):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(sentence))):
                found[name] = " ".join(sentence.split())
    return found
