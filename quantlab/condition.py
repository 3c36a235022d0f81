"""Conditions on parameter sets, such as ``"fast < slow"``: parsed and interpreted here, never handed to ``eval``."""

from __future__ import annotations

import ast
import operator
from typing import TYPE_CHECKING, Any

from quantlab.errors import ParameterError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["parse_condition"]

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
