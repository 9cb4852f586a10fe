"""Equality of two answers, by their form; what is equal among expressions is said by a `Leaves`.

The same code runs in the caller, with leaves that know exact arithmetic alone, and in the worker, with sympy's.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Protocol, TypeVar, runtime_checkable

from fulmen.rewards.math.exact import Evaluator, TooLargeError, UndefinedError
from fulmen.rewards.math.nodes import (
    CONSTANTS,
    INFINITY,
    Based,
    Clock,
    Expr,
    Group,
    Interval,
    Matrix,
    Name,
    Node,
    Number,
    Op,
    Quantity,
    Ratio,
    Region,
    Relation,
    Words,
    names_in,
    neg,
    structure,
    walk,
)
from fulmen.rewards.math.regions import MIRRORED, as_region, relation_region
from fulmen.rewards.math.units import read_unit

Item = TypeVar("Item")


@runtime_checkable
class Leaves(Protocol):
    """What is equal among expressions."""

    def is_equal(self, left: Expr, right: Expr) -> bool:
        """Returns whether both have the same value, for all values of their variables."""
        ...

    def is_proportional(self, left: Expr, right: Expr, *, is_positive: bool) -> bool:
        """Returns whether one is a constant, not zero, times the other."""
        ...


class UndecidedError(Exception):
    """Exact arithmetic alone cannot say whether two expressions are equal."""


class ExactLeaves:
    """Equality by exact arithmetic and structure."""

    def __init__(self) -> None:
        self._evaluator = Evaluator()

    def is_equal(self, left: Expr, right: Expr) -> bool:
        """Returns whether both have the same value.

        Raises:
            UndecidedError: more than arithmetic is needed.
        """
        try:
            values = self._evaluator.value(left), self._evaluator.value(right)
        except UndefinedError:
            return False
        except TooLargeError:
            return structure(left) == structure(right)
        if None not in values:
            return values[0] == values[1]
        if structure(left) == structure(right):
            return True
        atoms = isinstance(left, Name | Number) and isinstance(right, Name | Number)
        if atoms or INFINITY in walk(left) or INFINITY in walk(right):
            return False
        raise UndecidedError

    def is_proportional(self, left: Expr, right: Expr, *, is_positive: bool) -> bool:
        """Raises `UndecidedError` unless both are the same."""
        if structure(left) == structure(right) and names_in(left):
            return True
        raise UndecidedError


def is_label(node: Node, value: Node) -> bool:
    """Returns whether the left side of `node = value` only says what it is the value of: `x`, `f(x)`, `m+n`, text."""
    if isinstance(node, Words):
        return True
    if isinstance(node, Group):
        return all(isinstance(item, Name) for item in node.items)
    if not isinstance(node, Name | Op):
        return False
    kinds = {part.kind for part in walk(node) if isinstance(part, Op)}
    names = [part.text for part in walk(node) if isinstance(part, Name)]
    if any(isinstance(part, Number) for part in walk(node)) or not kinds <= {"add", "mul", "abs"}:
        return False
    inner = names_in(value) if isinstance(value, Number | Name | Op) else set()
    # In f(x) = 2x the name of the function must not come back; elsewhere no name may.
    is_function = isinstance(node, Op) and node.kind == "mul" and len(names) == 2
    return not inner & (set(names[-1:]) if is_function else set(names))


class Comparison:
    """Compares two answers."""

    def __init__(self, leaves: Leaves) -> None:
        self.leaves = leaves

    def is_equal(self, left: Node, right: Node) -> bool:
        """Returns whether two answers are the same."""
        if isinstance(left, Relation) and isinstance(right, Relation):
            return self._relations(left, right)
        for one, other in ((left, right), (right, left)):
            if isinstance(one, Relation):
                return self._labelled(one, other)
        for one, other in ((left, right), (right, left)):
            if isinstance(one, Region | Interval):
                return self._regions(as_region(one), as_region(other))
        for one, other in ((left, right), (right, left)):
            if isinstance(one, Group):
                return self._group(one, other)
        if isinstance(left, Matrix) or isinstance(right, Matrix):
            return isinstance(left, Matrix) and isinstance(right, Matrix) and self._matrices(left, right)
        for one, other in ((left, right), (right, left)):
            if isinstance(one, Words):
                return _spelled(one) == _spelled(other)
            if isinstance(one, Clock):
                return isinstance(other, Clock) and _is_same_time(one, other)
            if isinstance(one, Based):
                return _is_same_number(one, other)
            if isinstance(one, Ratio):
                return self._ratio(one, other)
        return self._quantities(left, right)

    def _relations(self, left: Relation, right: Relation) -> bool:
        """Compares equations, inequalities and memberships."""
        if set(left.ops) | set(right.ops) == {"="}:
            return self._equations(left, right)
        regions = relation_region(left), relation_region(right)
        if None not in regions:
            return self._regions(*regions)
        sides = _difference(left), _difference(right)
        op, other_op = left.ops[0], right.ops[0]
        if sides[0] is None or sides[1] is None or op in ("in", "~"):
            return False
        if op == other_op:
            return self.leaves.is_proportional(sides[0], sides[1], is_positive=op != "!=")
        if MIRRORED.get(op) == other_op:
            return self.leaves.is_proportional(neg(sides[0]), sides[1], is_positive=True)
        return False

    def _equations(self, left: Relation, right: Relation) -> bool:
        """Compares `a = b = ...`: the values where both have the same label, else the equations themselves."""
        (label, *values), (other_label, *others) = left.members, right.members
        if is_label(label, values[-1]) and label == other_label:
            return all(self.is_equal(value, other) for value in values for other in others)
        sides = _difference(left), _difference(right)
        if sides[0] is None or sides[1] is None:
            return False
        return self.leaves.is_proportional(sides[0], sides[1], is_positive=False)

    def _labelled(self, relation: Relation, other: Node) -> bool:
        """Compares `x = 5` with `5`, and `0 < x < 1` with an interval."""
        if set(relation.ops) == {"="}:
            label, *values = relation.members
            names = label.items if isinstance(label, Group) else ()
            if names and isinstance(other, Group) and other.kind == "list" and isinstance(values[-1], Group):
                pairs = zip(names, values[-1].items, strict=False)
                return self._group(Group("list", tuple(Relation(pair, ("=",)) for pair in pairs)), other)
            if not is_label(label, values[-1]):
                values = list(relation.members)
            # Of a chain, every member must be right: "3 = 4 = 5" lists three answers.
            return all(self.is_equal(value, other) for value in values)
        if relation.ops == ("in",) and isinstance(relation.members[0], Name):
            return self.is_equal(relation.members[1], other)
        return self._regions(relation_region(relation), as_region(other))

    def _regions(self, left: Region | None, right: Region | None) -> bool:
        """Compares unions of intervals."""
        if left is None or right is None or (left.name and right.name and left.name != right.name):
            return False
        return _match(left.parts, right.parts, self._intervals)

    def _intervals(self, left: Interval, right: Interval) -> bool:
        if (left.has_low, left.has_high) != (right.has_low, right.has_high):
            return False
        return self.leaves.is_equal(left.low, right.low) and self.leaves.is_equal(left.high, right.high)

    def _group(self, group: Group, other: Node) -> bool:
        """Compares a tuple in order; a set or list in any order, with a single value where it holds one."""
        if not isinstance(other, Group):
            return len(group.items) == 1 and group.kind == "set" and self.is_equal(group.items[0], other)
        left, right = _without_labels(group, other), _without_labels(other, group)
        if left.kind == right.kind == "tuple":
            pairs = zip(left.items, right.items, strict=False)
            return len(left.items) == len(right.items) and all(self.is_equal(*pair) for pair in pairs)
        if "tuple" in (left.kind, right.kind):
            return False
        return _match(left.items, right.items, self._items)

    def _items(self, left: Node, right: Node) -> bool:
        """Compares items of two lists; what has a label there says which it is, and is no bare value."""
        return isinstance(left, Relation) == isinstance(right, Relation) and self.is_equal(left, right)

    def _matrices(self, left: Matrix, right: Matrix) -> bool:
        if (len(left.rows), len(left.rows[0])) != (len(right.rows), len(right.rows[0])):
            return False
        cells = [pair for rows in zip(left.rows, right.rows, strict=True) for pair in zip(*rows, strict=True)]
        return all(self.leaves.is_equal(*cell) for cell in cells)

    def _ratio(self, ratio: Ratio, other: Node) -> bool:
        """Compares a ratio with a ratio, term by term, or one of two terms with a fraction."""
        if isinstance(other, Ratio):
            if len(ratio.terms) != len(other.terms):
                return False
            pairs = zip(ratio.terms, other.terms, strict=True)
            return all(
                self.leaves.is_equal(_over(left, ratio.terms[0]), _over(right, other.terms[0])) for left, right in pairs
            )
        if not isinstance(other, Number | Name | Op) or len(ratio.terms) != 2:
            return False
        return self.leaves.is_equal(_over(*ratio.terms), other)

    def _quantities(self, left: Node, right: Node) -> bool:
        """Compares values with or without units: a unit that only one side has is dropped."""
        if isinstance(left, Quantity) and isinstance(right, Quantity):
            if {dimension for dimension, _ in left.unit.dimensions + right.unit.dimensions} >= {"any"}:
                return self.leaves.is_equal(left.value, right.value)
            if left.unit.dimensions != right.unit.dimensions:
                return False
            if left.unit == right.unit:
                return self.leaves.is_equal(left.value, right.value)
            return self.leaves.is_equal(_in_base_units(left), _in_base_units(right))
        for one, other in ((left, right), (right, left)):
            if isinstance(one, Quantity):
                return isinstance(other, Number | Name | Op) and self._measured(one, other)
        assert isinstance(left, Number | Name | Op), "every other node was compared before"
        assert isinstance(right, Number | Name | Op), "every other node was compared before"
        return self.leaves.is_equal(left, right)

    def _measured(self, quantity: Quantity, value: Expr) -> bool:
        """Compares a value that has a unit with one that has none, or has it as a letter: `5m`."""
        if quantity.unit.dimensions == (("percent", 1),):
            part = Op("mul", (quantity.value, Number(Fraction(1, 100))))
            return self.leaves.is_equal(quantity.value, value) or self.leaves.is_equal(part, value)
        letter = value.args[-1] if isinstance(value, Op) and value.kind == "mul" else None
        if isinstance(letter, Name) and read_unit([letter.text]) == quantity.unit and isinstance(value, Op):
            rest = value.args[:-1]
            return self.leaves.is_equal(quantity.value, rest[0] if len(rest) == 1 else Op("mul", rest))
        return self.leaves.is_equal(quantity.value, value)


def _match(left: Sequence[Item], right: Sequence[Item], is_same: Callable[[Item, Item], bool]) -> bool:
    """Returns whether the items are the same up to their order; equality is transitive, so any match will do."""
    if len(left) != len(right):
        return False
    rest = list(right)
    for item in left:
        found = next((i for i, other in enumerate(rest) if is_same(item, other)), None)
        if found is None:
            return False
        del rest[found]
    return True


def _difference(relation: Relation) -> Expr | None:
    """Returns the left side minus the right, where there are two and both are expressions."""
    if len(relation.members) != 2:
        return None
    left, right = relation.members
    if not isinstance(left, Number | Name | Op) or not isinstance(right, Number | Name | Op):
        return None
    return Op("add", (left, neg(right)))


def _without_labels(group: Group, other: Group) -> Group:
    """Returns the values of `x = 1, x = 2`; and of `x = 1, y = 2`, as a pair, where the other side is one."""
    labels = _labels(group)
    if labels is None:
        return group
    values = tuple(item.members[1] if isinstance(item, Relation) else item for item in group.items)
    if other.kind == "tuple":
        names = [label.text for label in labels if isinstance(label, Name)]
        is_in_order = len(names) == len(labels) and names == sorted(set(names))
        return Group("tuple", values) if is_in_order else group
    others = _labels(other)
    if others is None:
        # x_1 = 1, x_2 = 2 are roots.
        bases = {label.text.partition("_")[0] if isinstance(label, Name) else label for label in labels}
        return Group(group.kind, values) if len(bases) == 1 else group
    return Group(group.kind, values) if len(set(labels)) == 1 and set(labels) == set(others) else group


def _labels(group: Group) -> list[Node] | None:
    """Returns the label of every item; None where the first has none. "x = 1, 2" goes on with its label."""
    labels: list[Node] = []
    for item in group.items:
        if isinstance(item, Relation) and item.ops == ("=",) and is_label(item.members[0], item.members[1]):
            labels.append(item.members[0])
        elif isinstance(item, Relation) or not labels:
            return None
        else:
            labels.append(labels[-1])
    return labels or None


def _spelled(node: Node) -> str | None:
    """Returns the letters of a word, a variable or a product of such; None for anything else."""
    if isinstance(node, Words):
        return node.text
    if isinstance(node, Name):
        return node.text.casefold()
    if isinstance(node, Op) and node.kind in CONSTANTS:
        return node.kind
    if isinstance(node, Op) and node.kind == "mul":
        letters = [_spelled(arg) for arg in node.args]
        return "".join(letter for letter in letters if letter) if None not in letters else None
    return None


def _is_same_time(left: Clock, right: Clock) -> bool:
    return left.minutes == right.minutes and (left.mark == right.mark or not left.mark or not right.mark)


def _is_same_number(left: Based, right: Node) -> bool:
    """Compares digits in a base with such, or with the bare digits; never with a value: that may be the question."""
    if isinstance(right, Number):
        return right.value.denominator == 1 and str(right.value.numerator) == left.digits
    return left == right


def _over(top: Expr, bottom: Expr) -> Expr:
    return Op("mul", (top, Op("inv", (bottom,))))


def _in_base_units(quantity: Quantity) -> Expr:
    return Op("mul", (quantity.value, Number(quantity.unit.factor)))
