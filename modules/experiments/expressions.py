"""Small expressions: values of an axis (`2**n for n in 1..4`), and which cells to leave out (`steps > 20 and cfg < 5`).

They are read with Python's own grammar and worked out by hand: numbers, words, lists, comparisons, `and`, `or`, `not`,
`in`, arithmetic, and the functions below. Nothing else has a meaning, and no number or list grows beyond bounds.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from modules.contracts.errors import InvalidRequest
from modules.contracts.experiments import MOST_CELLS

LARGEST = 1e15
LONGEST = 2_000
"""Characters of an expression."""
_DOTS = re.compile(r"(?<![\w.])(-?\d+)\s*\.\.\s*(-?\d+)(?![\w.])")
_LOOP = re.compile(r"^(.*\S)\s+for\s+([A-Za-z]\w*)\s+in\s+(.+)$", re.DOTALL)

_OPERATORS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_COMPARISONS: dict[type, Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda one, many: one in many,
    ast.NotIn: lambda one, many: one not in many,
}


def evaluate(text: str, names: Mapping[str, Any]) -> Any:
    """What the expression comes to. Raises `InvalidRequest` with one sentence."""
    _check_length(text)
    try:
        tree = ast.parse(_DOTS.sub(r"range(\1, \2)", text.strip()), mode="eval")
        return _work(tree.body, names, text)
    except InvalidRequest:
        raise
    except (SyntaxError, ValueError, TypeError, ArithmeticError, RecursionError, MemoryError) as error:
        why = "it is not written as one" if isinstance(error, SyntaxError | RecursionError) else str(error)
        raise InvalidRequest(f"The expression {text[:120]!r} cannot be worked out: {why}.") from error


def evaluate_list(text: str) -> list[Any]:
    """The values of an expression that is a list, a number, or has the form `EXPRESSION for NAME in LIST`."""
    _check_length(text)
    looped = _LOOP.match(text.strip())
    if looped is None:
        found = evaluate(text, {})
        return list(found) if isinstance(found, list | tuple) else [found]
    body, name, source = looped.groups()
    return [evaluate(body, {name: value}) for value in evaluate_list(source)]


def _check_length(text: str) -> None:
    if len(text) > LONGEST:
        raise InvalidRequest(f"An expression has {len(text)} characters; at most {LONGEST} are allowed.")


def _work(node: ast.AST, names: Mapping[str, Any], text: str) -> Any:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float | str):
        return node.value
    if isinstance(node, ast.Name):
        return _name(node.id, names)
    if isinstance(node, ast.List | ast.Tuple):
        return [_work(item, names, text) for item in node.elts]
    if isinstance(node, ast.UnaryOp):
        return _alone(node, names, text)
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _bounded(node.op, _work(node.left, names, text), _work(node.right, names, text))
    if isinstance(node, ast.BoolOp):
        parts = (bool(_work(item, names, text)) for item in node.values)
        return all(parts) if isinstance(node.op, ast.And) else any(parts)
    if isinstance(node, ast.Compare):
        return _compare(node, names, text)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        return _call(node.func.id, [_work(item, names, text) for item in node.args])
    raise InvalidRequest(f"The expression {text[:120]!r} holds something other than numbers, words and comparisons.")


def _name(name: str, names: Mapping[str, Any]) -> Any:
    if name not in names:
        known = ", ".join(names) or "none"
        raise InvalidRequest(f"An expression names {name!r}; the names that it may use are {known}.")
    return names[name]


def _alone(node: ast.UnaryOp, names: Mapping[str, Any], text: str) -> Any:
    value = _work(node.operand, names, text)
    if isinstance(node.op, ast.Not):
        return not value
    return -_number(value) if isinstance(node.op, ast.USub) else +_number(value)


def _compare(node: ast.Compare, names: Mapping[str, Any], text: str) -> bool:
    values = [_work(item, names, text) for item in (node.left, *node.comparators)]
    signs = [_COMPARISONS.get(type(sign)) for sign in node.ops]
    if None in signs:
        raise InvalidRequest(f"The expression {text[:120]!r} compares with something other than ==, !=, <, > and in.")
    return all(sign(one, other) for sign, (one, other) in zip(signs, pairwise(values), strict=True) if sign is not None)


def _bounded(sign: ast.operator, one: Any, other: Any) -> float:
    one, other = _number(one), _number(other)
    if isinstance(sign, ast.Pow) and (abs(other) > 64 or abs(one) > 1e6):
        raise InvalidRequest(f"{one:g} to the power of {other:g} is beyond what an expression works out.")
    found = _OPERATORS[type(sign)](one, other)
    return _number(found)


def _number(value: Any) -> Any:
    if not isinstance(value, int | float) or not math.isfinite(value) or abs(value) > LARGEST:
        raise InvalidRequest(f"An expression computes with {value!r:.60}; numbers up to {LARGEST:g} can be used.")
    return value


def _call(name: str, values: Sequence[Any]) -> Any:
    if name not in _FUNCTIONS:
        raise InvalidRequest(f"An expression calls {name!r}; there are {', '.join(_FUNCTIONS)}.")
    return _FUNCTIONS[name](*values)


def _range(start: float, end: float, step: float = 1) -> list[float]:
    """From start to end, both included."""
    start, end, step = _number(start), _number(end), _number(step)
    if step == 0:
        raise InvalidRequest("An expression's range has a step of 0.")
    count = max(int((end - start) / step + 1 + 1e-9), 0)
    if count > MOST_CELLS:
        raise InvalidRequest(f"An expression's range has {count} values; at most {MOST_CELLS} are allowed.")
    return [start + index * step for index in range(count)]


def _round(value: float, digits: int = 0) -> float:
    return round(_number(value), int(_number(digits)))


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "range": _range,
    "round": _round,
    "abs": lambda value: abs(_number(value)),
    "sqrt": lambda value: math.sqrt(_number(value)),
    "min": lambda *values: min(map(_number, values)),
    "max": lambda *values: max(map(_number, values)),
}
