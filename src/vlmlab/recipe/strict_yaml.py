"""Strict YAML, in the style of YAML 1.2: no surprises from words that look like something else.

`1e-4` is a number; yes, no, on, off and 2024-01-01 are text; repeated keys and tags such as !!python are refused.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

import yaml

from vlmlab.errors import RecipeError

# libyaml's parser is five times faster, where PyYAML was built with it.
_Base: Any = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader


class _Loader(_Base):
    """Only its resolver differs from the base's."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}


_NULL, _BOOL, _INT, _FLOAT, _TEXT = (f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str"))
_Loader.add_implicit_resolver(_NULL, re.compile(r"^(?:~|null|)$"), ["~", "n", ""])
_Loader.add_implicit_resolver(_BOOL, re.compile(r"^(?:true|false)$"), ["t", "f"])
_Loader.add_implicit_resolver(_INT, re.compile(r"^[-+]?[0-9]+$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    _FLOAT,
    re.compile(r"^[-+]?(?:(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+|\.inf)$|^\.nan$"),
    list("-+0123456789."),
)


def parse_yaml(text: str, *, where: str) -> Any:
    """Plain data of a YAML text. Raises RecipeError naming `where` and the line."""
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise RecipeError(where, f"not valid YAML: {_first_lines(error)}") from error
    return None if node is None else _plain(node, where=where, path=(), open_nodes=())


def _plain(node: yaml.Node, *, where: str, path: tuple[str, ...], open_nodes: tuple[int, ...]) -> Any:
    def refused(problem: str, at: yaml.Node) -> RecipeError:
        place = f"{'.'.join(path)}: " if path else ""
        return RecipeError(where, f"{place}{problem} (line {at.start_mark.line + 1})")

    if id(node) in open_nodes:
        raise refused("an alias refers to what it stands in", node)
    inside = (*open_nodes, id(node))
    match node:
        case yaml.ScalarNode():
            try:
                return _scalar(node)
            except KeyError:
                raise refused(
                    f"the tag {node.tag} is not allowed; give plain text, numbers, true, false or null", node
                ) from None
        case yaml.SequenceNode(tag="tag:yaml.org,2002:seq"):
            return [_plain(child, where=where, path=path, open_nodes=inside) for child in node.value]
        case yaml.MappingNode(tag="tag:yaml.org,2002:map"):
            mapping: dict[str, Any] = {}
            for key, child in node.value:
                if not isinstance(key, yaml.ScalarNode) or key.tag in (_NULL, _BOOL, _FLOAT):
                    raise refused("a key must be text", key)
                if key.value in mapping:
                    raise refused(f"the key '{key.value}' occurs twice", key)
                mapping[key.value] = _plain(child, where=where, path=(*path, key.value), open_nodes=inside)
            return mapping
        case _:
            raise refused(f"the tag {node.tag} is not allowed", node)


def _scalar(node: yaml.ScalarNode) -> Any:
    """Raises KeyError for an unknown tag. A tag such as !!int on a word that is no number is unknown too."""
    text = node.value
    match node.tag:
        case tag if tag == _TEXT:
            return text
        case tag if tag == _NULL:
            return None
        case tag if tag == _BOOL:
            return {"true": True, "false": False}[text]
        case tag if tag == _INT and re.fullmatch(r"[-+]?[0-9]+", text):
            return int(text)
        case tag if tag == _FLOAT and re.fullmatch(r"[-+.0-9a-zA-Z]+", text):
            return float(text.replace(".inf", "inf").replace(".nan", "nan")) if text[-1] in "fn" else float(text)
    raise KeyError(node.tag)


def _first_lines(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"{error.problem} (line {mark.line + 1}, column {mark.column + 1})"
    return str(error).splitlines()[0]


_Writing: Any = yaml.SafeDumper


class _Dumper(_Writing):
    """Quotes whatever this reader or one of YAML 1.1 would not take as text."""

    yaml_implicit_resolvers: ClassVar[dict[Any, list[tuple[str, re.Pattern[str]]]]] = {
        first: [*resolvers] for first, resolvers in yaml.SafeDumper.yaml_implicit_resolvers.items()
    }

    def ignore_aliases(self, data: Any) -> bool:
        """Equal parts are written out each time."""
        return True


for _first, _resolvers in _Loader.yaml_implicit_resolvers.items():
    _Dumper.yaml_implicit_resolvers.setdefault(_first, []).extend(_resolvers)


def yaml_text(tree: dict[str, Any]) -> str:
    """A tree as YAML that `parse_yaml` reads back as it is.

    >>> yaml_text({"name": "1e-4", "rate": 1e-4})
    "name: '1e-4'\\nrate: 0.0001\\n"
    """
    return yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
