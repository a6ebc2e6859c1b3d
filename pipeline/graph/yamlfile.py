"""YAML with line numbers, read as plain data. This module does not know what the keys of a graph file mean.

Scalars follow YAML 1.2, not PyYAML's 1.1: `0010` and `2011_09_26` stay text (1.1 reads the numbers 8 and 20110926, which
loses a KITTI sequence), `1e-3` is a number, only `true` and `false` are booleans.
"""

from __future__ import annotations

import os
import re
from typing import Any

import yaml

from pipeline.errors import GraphError, Key, Where

MAX_CHARACTERS, MAX_DEPTH, MAX_VALUES, MAX_DIGITS = 1 << 20, 50, 100_000, 400
"""Far above any graph file. What a text of a few lines may stand for (aliases of aliases) has no other limit."""


class _Loader(yaml.SafeLoader):
    """SafeLoader that recognises numbers as YAML 1.2 does, and does not follow brackets to any depth."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            mark = self.peek_event().start_mark
            raise yaml.MarkedYAMLError(problem=f"needs at most {MAX_DEPTH} levels, got more", problem_mark=mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


_Loader.yaml_implicit_resolvers = {}

for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(?:[0-9]*\.[0-9]+|[0-9]+\.)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+|[-+]?\.(?:inf|Inf|INF)",
        list("-+.0123456789"),
    ),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first)


def read(text: str, file: str) -> tuple[Any, dict[Key, int | str]]:
    """Text -> plain data (dict, list, str, int, float, bool, None) and the line of every value.

    `${VAR}` and `${VAR:-default}` are replaced inside scalars, never across them: a value cannot break the file's
    structure, and a variable named in a comment need not exist. A scalar that is only a variable, whose value starts with
    [ or {, is read as a list or mapping.
    """
    if len(text) > MAX_CHARACTERS:
        raise GraphError(f"{file}: needs at most {MAX_CHARACTERS} characters, got {len(text)}; is it a graph file?")
    text, variables = _hide_variables(text, file)
    marks: dict[Key, int | str] = {}
    loader = None
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        data = None if root is None else _construct(loader, root, Where(file, marks), marks, variables)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise GraphError(f"{file}:{mark.line + 1 if mark else 1}: not valid YAML: {error.problem or error.context}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise GraphError(f"{file}:{line}: not valid YAML: the character {_code(error.character)} is not allowed") from None
    except yaml.YAMLError as error:
        raise GraphError(f"{file}: not valid YAML: {' '.join(str(error).split())}") from None
    finally:
        if loader is not None:
            loader.dispose()
    return data, marks


def _code(character: Any) -> str:
    return f"U+{character if isinstance(character, int) else ord(character):04X}"


# A variable is hidden from the YAML parser behind two characters of Unicode's private use area around its number:
# `{root: ${DATA}}` would otherwise end the mapping at the first brace.
_OPEN, _CLOSE = "\ue000", "\ue001"
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}\n]*))?\}")
_HIDDEN = re.compile(f"{_OPEN}([0-9]+){_CLOSE}")


def _hide_variables(text: str, file: str) -> tuple[str, list[tuple[str, str | None]]]:
    variables: list[tuple[str, str | None]] = []
    for mark in (_OPEN, _CLOSE):
        if mark in text:
            line = text.count("\n", 0, text.index(mark)) + 1
            raise GraphError(f"{file}:{line}: not valid YAML: the character {_code(mark)} is not allowed")

    def hide(match: re.Match[str]) -> str:
        variables.append((match[1], match[2]))
        return f"{_OPEN}{len(variables) - 1}{_CLOSE}"

    return _VARIABLE.sub(hide, text), variables


def _construct(
    loader: _Loader, node: Any, where: Where, marks: dict[Key, int | str], variables: list[tuple[str, str | None]]
) -> Any:
    marks.setdefault(where.path, node.start_mark.line + 1)
    if len(marks) > MAX_VALUES or len(where.path) > MAX_DEPTH:
        most = f"{MAX_VALUES} values" if len(marks) > MAX_VALUES else f"{MAX_DEPTH} levels"
        line = node.start_mark.line + 1
        raise GraphError(f"{where.file}:{line}: needs at most {most}, got more; aliases (*name) count as copies")
    if node.tag not in (loader.resolve(type(node), node.value, (True, False)), "tag:yaml.org,2002:str"):
        tag = node.tag.replace("tag:yaml.org,2002:", "!!")
        raise where.error(f"needs a plain value, got the tag {tag}")
    if isinstance(node, yaml.MappingNode):
        out: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise GraphError(f"{where.file}:{line}: needs a name as key, got a {key_node.id}")
            key = key_node.value  # as written: a node called 1 is "1"
            inner = where.child(key)
            if key in out:
                raise GraphError(f"{where.file}:{line}: {inner.name}: given twice, first on line {marks[inner.path]}")
            marks[inner.path] = line
            out[key] = _construct(loader, value_node, inner, marks, variables)
        return out
    if isinstance(node, yaml.SequenceNode):
        return [_construct(loader, item, where.child(i), marks, variables) for i, item in enumerate(node.value)]
    return _scalar(loader, node, where, marks, variables)


def _scalar(
    loader: _Loader, node: Any, where: Where, marks: dict[Key, int | str], variables: list[tuple[str, str | None]]
) -> Any:
    def reveal(match: re.Match[str]) -> str:
        name, default = variables[int(match[1])]
        value = os.environ.get(name)
        if not value and default is not None:
            value = default
        if value is None:
            raise where.error(f"needs the environment variable {name}, which is not set; export it or write ${{{name}:-default}}")
        return value

    value = _HIDDEN.sub(reveal, node.value)
    if value == node.value:
        return _value(loader, node, where)
    if node.style is not None:
        return value
    if _HIDDEN.fullmatch(node.value) and value[:1] in ("[", "{"):
        inner, inner_marks = read(value, where.file)
        line = where.mark
        marks.update({where.path + path: line for path in inner_marks})
        return inner
    tag = loader.resolve(yaml.ScalarNode, value, (True, False))
    return _value(loader, yaml.ScalarNode(tag, value, node.start_mark, node.end_mark), where)


def _value(loader: _Loader, node: Any, where: Where) -> Any:
    if node.tag.endswith((":int", ":float")) and len(node.value) > MAX_DIGITS:
        raise where.error(f"needs a number of at most {MAX_DIGITS} digits, got {len(node.value)}")
    return loader.construct_object(node)


def assign(data: dict[str, Any], marks: dict[Key, int | str], path: Key, value: Any, mark: str) -> None:
    """Put `value` at `path`; create mappings on the way. Messages about the value name `mark` instead of a line."""
    target = data
    for i, key in enumerate(path[:-1]):
        inner = target.get(key)
        if inner is None:
            inner = target[key] = {}
            marks[path[: i + 1]] = mark
        if not isinstance(inner, dict):
            raise GraphError(f"{mark}: {'.'.join(path[1 : i + 1])}: needs a mapping there to set {path[-1]}, got {inner!r}")
        target = inner
    target[path[-1]] = value
    for old in [p for p in marks if p[: len(path)] == path]:
        del marks[old]
    marks[path] = mark
