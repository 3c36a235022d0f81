"""Conditions on parameter sets, such as ``"fast < slow"``: parsed and interpreted here, never handed to ``eval``."""

from __future__ import annotations

import ast
import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.errors import ParameterError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

__all__ = ["condition_on_columns", "names_in_condition", "parse_condition"]

_BINARY = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
}
_COMPARE = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}

_EXACT = 2**53
"""Integers below this are the same number as int64, as float64 and in Python."""


def parse_condition(
    where: str | Callable[..., bool] | None, defaults: Mapping[str, Any]
) -> Callable[[Mapping[str, Any]], bool]:
    """Make a test of complete parameter sets out of an expression or a function of the parameters.

    Parameters
    ----------
    where : str, callable or None
        Comparisons, and / or / not, and arithmetic on parameters and constants; None allows everything.
    defaults : mapping
        The parameters there are, with their defaults.

    Raises
    ------
    ParameterError
        For text that is no such expression.
    UnknownNameError
        For a name that is no parameter.
    """
    if where is None:
        return lambda _: True
    if callable(where):
        return lambda params: bool(where(**params))
    try:
        tree = ast.parse(where, mode="eval").body
    except SyntaxError as error:
        raise ParameterError(f"where={where!r} is not an expression: {error.msg}.") from error
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id not in defaults:
            raise UnknownNameError("parameter", node.id, defaults, f"where={where!r} names it.")
    try:
        _value(tree, defaults)
    except (TypeError, ZeroDivisionError) as error:
        raise ParameterError(f"where={where!r} cannot be evaluated on the defaults: {error}.") from error
    return lambda params: bool(_value(tree, params))


def _value(node: ast.AST, params: Mapping[str, Any]) -> Any:
    """Evaluate one node of an expression."""
    result: Any
    match node:
        case ast.Constant():
            result = node.value
        case ast.Name():
            result = params[node.id]
        case ast.BinOp() if type(node.op) in _BINARY:
            result = _BINARY[type(node.op)](_value(node.left, params), _value(node.right, params))
        case ast.UnaryOp() if type(node.op) in _UNARY:
            result = _UNARY[type(node.op)](_value(node.operand, params))
        case ast.BoolOp():
            parts = (_value(part, params) for part in node.values)
            result = all(parts) if isinstance(node.op, ast.And) else any(parts)
        case ast.Compare() if all(type(o) in _COMPARE for o in node.ops):
            sides = [_value(side, params) for side in (node.left, *node.comparators)]
            pairs = zip(node.ops, sides, sides[1:], strict=False)
            result = all(_COMPARE[type(o)](a, b) for o, a, b in pairs)
        case _:
            raise ParameterError(
                f"a condition uses {ast.unparse(node)!r}; comparisons, and/or/not and arithmetic on parameters are "
                "allowed. For more, give a function of the parameters."
            )
    return result


def names_in_condition(where: str) -> tuple[str, ...]:
    """Names that an expression uses, sorted; the expression is one that `parse_condition` takes."""
    return tuple(sorted({n.id for n in ast.walk(ast.parse(where, mode="eval")) if isinstance(n, ast.Name)}))


def condition_on_columns(where: str, columns: Mapping[str, NDArray[Any]], n_rows: int) -> NDArray[np.bool_]:
    """Whether an expression holds, for many parameter sets at once.

    Parameters
    ----------
    where : str
        An expression that `parse_condition` takes.
    columns : mapping of str to ndarray of shape (n_rows,)
        Values by parameter: bool, int64, float64, or Python objects.
    n_rows : int
        Number of parameter sets.

    Returns
    -------
    ndarray of shape (n_rows,), bool
        What the condition of `parse_condition` says of each row.

    Raises
    ------
    TypeError, ZeroDivisionError
        If a row cannot be evaluated, as Python raises it.
    """
    tree = ast.parse(where, mode="eval").body
    if n_rows == 0:
        return np.zeros(0, bool)
    with np.errstate(all="ignore"):
        return _truth(_column(tree, columns, np.arange(n_rows)), n_rows)


def _column(node: ast.AST, columns: Mapping[str, NDArray[Any]], rows: NDArray[np.intp]) -> Any:
    """Evaluate one node on some rows: an array of their length, or a constant."""
    result: Any
    match node:
        case ast.Constant():
            result = node.value
        case ast.Name():
            result = columns[node.id][rows]
        case ast.BinOp():
            sides = [_column(side, columns, rows) for side in (node.left, node.right)]
            result = _arithmetic(node.op, *sides)
        case ast.UnaryOp():
            result = _signed(node.op, _column(node.operand, columns, rows))
        case ast.BoolOp():
            result = _joined(node, columns, rows)
        case ast.Compare():
            sides = [_column(side, columns, rows) for side in (node.left, *node.comparators)]
            result, still = np.ones(len(rows), bool), np.arange(len(rows))
            for op, a, b in zip(node.ops, sides, sides[1:], strict=False):
                if not still.size:
                    break
                left, right = (x[still] if isinstance(x, np.ndarray) else x for x in (a, b))
                truth = _truth(_apply(_COMPARE[type(op)], left, right), len(still))
                result[still[~truth]] = False
                still = still[truth]
    return result


def _joined(
    node: ast.BoolOp, columns: Mapping[str, NDArray[Any]], rows: NDArray[np.intp]
) -> NDArray[np.bool_]:
    """Join truths by and / or: a part is evaluated only where the earlier ones leave it open.

    Python does so too, and ``slow != 0 and fast / slow > 2`` rests on it.
    """
    stops = isinstance(node.op, ast.Or)
    result, still = np.full(len(rows), not stops), np.arange(len(rows))
    for part in node.values:
        if not still.size:
            break
        truth = _truth(_column(part, columns, rows[still]), len(still))
        result[still[truth == stops]] = stops
        still = still[truth != stops]
    return result


def _signed(op: ast.unaryop, operand: Any) -> Any:
    if not isinstance(operand, np.ndarray):
        return _UNARY[type(op)](operand)
    if isinstance(op, ast.Not):
        return ~_truth(operand, len(operand))
    if operand.dtype == object:
        return np.frompyfunc(_UNARY[type(op)], 1, 1)(operand)
    return _UNARY[type(op)](_numbers(operand))


def _arithmetic(op: ast.operator, left: Any, right: Any) -> Any:
    if _is_exact(left) and _is_exact(right):
        if isinstance(op, (ast.Div, ast.FloorDiv, ast.Mod)):
            if not np.all(right):
                raise ZeroDivisionError("division by zero")
        else:
            a, b = _largest(left), _largest(right)
            if a is not None and b is not None and max(a * b, a + b) >= _EXACT:
                left, right = _objects(left), _objects(right)  # Python's integers do not overflow
    return _apply(_BINARY[type(op)], left, right)


def _apply(function: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    """Apply an operator as Python does: by numpy where both are numbers it holds exactly, else one by one."""
    if not isinstance(left, np.ndarray) and not isinstance(right, np.ndarray):
        return function(left, right)
    if _is_exact(left) and _is_exact(right):
        return function(_numbers(left), _numbers(right))
    return np.frompyfunc(function, 2, 1)(_objects(left), _objects(right))


def _is_exact(given: Any) -> bool:
    """Whether numpy's arithmetic on these numbers is Python's."""
    if isinstance(given, np.ndarray):
        return given.dtype.kind in "bf" or (given.dtype.kind == "i" and (_largest(given) or 0) < _EXACT)
    return type(given) in {bool, float} or (type(given) is int and abs(given) < _EXACT)


def _largest(given: Any) -> int | None:
    """Largest magnitude of integers; None for anything else."""
    if isinstance(given, np.ndarray):
        if given.dtype.kind == "b":
            return 1
        if given.dtype.kind != "i":
            return None
        return max(int(given.max()), -int(given.min())) if given.size else 0
    return abs(int(given)) if type(given) in {bool, int} else None


def _numbers(given: Any) -> Any:
    """Truth values as the integers that they are in arithmetic."""
    if isinstance(given, np.ndarray):
        return given.astype(np.int64) if given.dtype.kind == "b" else given
    return int(given) if type(given) is bool else given


def _objects(given: Any) -> Any:
    return given.astype(object) if isinstance(given, np.ndarray) else given


def _truth(given: Any, n_rows: int) -> NDArray[np.bool_]:
    if not isinstance(given, np.ndarray):
        return np.full(n_rows, bool(given))
    if given.dtype == object:
        return np.fromiter((bool(x) for x in given.tolist()), bool, n_rows)
    return given if given.dtype == bool else given != 0
