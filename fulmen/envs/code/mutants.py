"""Small faults put into a program, one at a time: what a suite of tests is measured by.

Comparisons, arithmetic, `and`/`or`, `not`, constants, `in` and `is` are changed, on the syntax tree; the program is
read and written, never run here. Left out: deleted statements, changed names, pairs of faults.
"""

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fulmen.errors import DataError

_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.GtE),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
_OPERATORS: dict[type[ast.operator], tuple[type[ast.operator], ...]] = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Add,),
    ast.FloorDiv: (ast.Mult,),
    ast.Div: (ast.Mult,),
    ast.Mod: (ast.FloorDiv,),
    ast.Pow: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
    ast.BitXor: (ast.BitOr,),
    ast.LShift: (ast.RShift,),
    ast.RShift: (ast.LShift,),
}


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """A program with one fault."""

    source: str
    change: str
    """`line 3: < becomes <=`."""


def make_mutants(source: str) -> list[Mutant]:
    """Returns every program that differs from the source by one fault, in order of place, each text once.

    >>> [mutant.change for mutant in make_mutants("print(a < b)")]
    ['line 1: Lt becomes LtE', 'line 1: Lt becomes Gt']

    Raises:
        DataError: the source is no Python.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise DataError(f"source: {error}; allowed: a Python program") from None
    seen, mutants = {ast.unparse(tree)}, []
    for place, node in enumerate(ast.walk(tree)):
        for replaced, change in _faults(node):
            changed = copy.deepcopy(tree)
            _replace(changed, place, replaced)
            text = ast.unparse(changed) + "\n"
            if text.rstrip("\n") not in seen:
                seen.add(text.rstrip("\n"))
                mutants.append((node.__dict__.get("lineno", 0), Mutant(source=text, change=change)))
    return [mutant for _, mutant in sorted(mutants, key=lambda pair: pair[0])]


def _faults(node: ast.AST) -> Iterator[tuple[dict[str, Any], str]]:
    """Yields changed fields of a node, and what they mean."""
    line = f"line {node.__dict__.get('lineno', 0)}"
    if isinstance(node, ast.Compare):
        for i, operator in enumerate(node.ops):
            for other in _COMPARISONS[type(operator)]:
                ops = [*node.ops[:i], other(), *node.ops[i + 1 :]]
                yield {"ops": ops}, f"{line}: {type(operator).__name__} becomes {other.__name__}"
    elif isinstance(node, ast.BinOp | ast.AugAssign):
        for changed in _OPERATORS.get(type(node.op), ()):
            yield {"op": changed()}, f"{line}: {type(node.op).__name__} becomes {changed.__name__}"
    elif isinstance(node, ast.BoolOp):
        flipped = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield {"op": flipped}, f"{line}: {type(node.op).__name__} becomes {type(flipped).__name__}"
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield {"op": ast.UAdd(), "operand": _truth_of(node.operand)}, f"{line}: Not is dropped"
    elif isinstance(node, ast.Constant):
        for value in _other_constants(node.value):
            yield {"value": value}, f"{line}: {node.value!r} becomes {value!r}"


def _truth_of(operand: ast.expr) -> ast.expr:
    return ast.Call(func=ast.Name(id="bool", ctx=ast.Load()), args=[operand], keywords=[])


def _other_constants(value: object) -> tuple[object, ...]:
    if isinstance(value, bool):
        return (not value,)
    if isinstance(value, int | float):
        return (value + 1, value - 1)
    return ()


def _replace(tree: ast.AST, place: int, fields: dict[str, Any]) -> None:
    """Changes the node at a place of the walk."""
    for number, node in enumerate(ast.walk(tree)):
        if number == place:
            for name, value in fields.items():
                setattr(node, name, copy.deepcopy(value))
            return
