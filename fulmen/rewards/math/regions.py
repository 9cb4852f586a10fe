"""Sets of real numbers, however they were written: intervals, unions, inequalities, the line without some points."""

import itertools

from fulmen.errors import DataError
from fulmen.rewards.math.nodes import (
    INFINITY,
    Expr,
    Group,
    Interval,
    Name,
    Node,
    Number,
    Op,
    Region,
    Relation,
    names_in,
    neg,
)

REAL_LINE = Interval(neg(INFINITY), INFINITY, False, False)
MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def as_region(node: Node) -> Region | None:
    """Returns a node as a union of intervals, if it can be read as one; a pair is an open interval."""
    if isinstance(node, Region):
        return node
    if isinstance(node, Interval):
        return Region((node,))
    if isinstance(node, Group) and node.kind != "list":
        items = [item for item in node.items if isinstance(item, Number | Name | Op)]
        if len(items) != len(node.items):
            return None
        if node.kind == "set":
            return Region(tuple(Interval(item, item, True, True) for item in items))
        return Region((Interval(items[0], items[1], False, False),)) if len(items) == 2 else None
    return None


def without(whole: Node, taken: Node) -> Region:
    """Returns the real line without some numbers.

    Raises:
        DataError: it is another difference of sets.
    """
    points = list(taken.items) if isinstance(taken, Group) and taken.kind == "set" else []
    if as_region(whole) != Region((REAL_LINE,)) or not points:
        raise DataError("answer: a difference of sets; allowed: the real line without some numbers")
    numbers = sorted((point for point in points if isinstance(point, Number)), key=lambda point: point.value)
    if len(numbers) == len(points):
        ends: list[Expr] = [neg(INFINITY), *numbers, INFINITY]
        return Region(tuple(Interval(low, high, False, False) for low, high in itertools.pairwise(ends)))
    if len(points) == 1 and isinstance(points[0], Name | Op):
        return _punctured(points[0])
    raise DataError("answer: the real line without some values; allowed: rational numbers, or one value")


def relation_region(relation: Relation) -> Region | None:
    """Returns where an inequality or membership of one variable holds; None where it is of another form."""
    if relation.ops == ("in",) and isinstance(relation.members[0], Name):
        region = as_region(relation.members[1])
        return Region(region.parts, relation.members[0].text) if region else None
    members = [member for member in relation.members if isinstance(member, Number | Name | Op)]
    if len(members) != len(relation.members):
        return None
    if len(members) == 2:
        return _half_line(members[0], relation.ops[0], members[1])
    if len(members) == 3 and isinstance(members[1], Name):
        return _between(members, relation.ops)
    return None


def _half_line(left: Expr, op: str, right: Expr) -> Region | None:
    if not isinstance(left, Name):
        left, op, right = right, MIRRORED.get(op, op), left
    if not isinstance(left, Name) or left.text in names_in(right):
        return None
    if op == "!=":
        return _punctured(right, left.text)
    if op in ("<", "<="):
        return Region((Interval(neg(INFINITY), right, False, op == "<="),), left.text)
    if op in (">", ">="):
        return Region((Interval(right, INFINITY, op == ">=", False),), left.text)
    return None


def _between(members: list[Expr], ops: tuple[str, ...]) -> Region | None:
    low, middle, high = members
    if all(op in (">", ">=") for op in ops):
        low, high, ops = high, low, (MIRRORED[ops[1]], MIRRORED[ops[0]])
    is_chain = all(op in ("<", "<=") for op in ops) and isinstance(middle, Name)
    if not is_chain or not isinstance(middle, Name) or middle.text in names_in(low) | names_in(high):
        return None
    return Region((Interval(low, high, ops[0] == "<=", ops[1] == "<="),), middle.text)


def _punctured(point: Expr, name: str = "") -> Region:
    """Returns the real line without a point."""
    return Region((Interval(neg(INFINITY), point, False, False), Interval(point, INFINITY, False, False)), name)
