"""Equality of expressions by proof, with sympy; runs in a worker, because sympy may take any time and memory.

First numbers: two expressions that differ at a point are different. Then proofs, from cheap to dear, that the
difference is zero. Numbers alone never make two expressions equal. Nothing here reads text: sympy gets trees that the
project's own parser built, with bounded numbers.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import sympy  # type: ignore[import-untyped]
from sympy.functions.elementary.hyperbolic import HyperbolicFunction  # type: ignore[import-untyped]
from sympy.functions.elementary.trigonometric import TrigonometricFunction  # type: ignore[import-untyped]

from fulmen.rewards.math import numeric
from fulmen.rewards.math.compare import Comparison, ExactLeaves, UndecidedError
from fulmen.rewards.math.exact import MAX_BITS, MAX_FACTORIAL, TooLargeError
from fulmen.rewards.math.nodes import Expr, Name, Number, Op, names_in, number
from fulmen.rewards.math.parser import parse_answer

Proof = Callable[[sympy.Expr], sympy.Expr]
MAX_TERMS = 4000
"""Largest sum that a product is multiplied out to."""


def compare(answer: str, gold: str) -> dict[str, Any]:
    """Returns whether two answers are equal, and why, as JSON."""
    nodes = parse_answer(answer), parse_answer(gold)
    # \log without a base is natural to some and decimal to others: either reading will do, if it is one for both.
    bases = (sympy.E, sympy.Integer(10)) if "log" in answer + gold else (sympy.E,)
    reason = ""
    for base in bases:
        leaves = SymbolicLeaves(log_base=base)
        try:
            if Comparison(leaves).is_equal(*nodes):
                return {"is_equal": True, "reason": "proved equal"}
        except TooLargeError as error:
            return {"is_equal": False, "reason": str(error)}
        reason = reason or leaves.reason
    return {"is_equal": False, "reason": reason or "another value or form"}


class SymbolicLeaves:
    """Equality by arithmetic, then by numbers that differ, then by proof."""

    def __init__(self, *, log_base: sympy.Expr) -> None:
        self.log_base = log_base
        self.reason = ""
        """Why the last expressions that were compared are not equal."""
        self._exact = ExactLeaves()

    def is_equal(self, left: Expr, right: Expr) -> bool:
        """Returns whether the expressions are proved equal."""
        try:
            return self._exact.is_equal(left, right)
        except UndecidedError:
            pass
        pair = _with_base(left, self.log_base), _with_base(right, self.log_base)
        seen = numeric.look(*pair)
        if seen == "different":
            self.reason = "another value"
            return False
        symbols = _Symbols(is_whole=seen == "same for whole numbers")
        is_proved = _is_zero(symbols.build(pair[0]) - symbols.build(pair[1]))
        self.reason = "" if is_proved else "not proved equal"
        return is_proved

    def is_proportional(self, left: Expr, right: Expr, *, is_positive: bool) -> bool:
        """Returns whether the expressions are proved to be multiples of each other."""
        if not names_in(left) or names_in(left) != names_in(right):
            return False
        seen = numeric.constant_ratio(left, right)
        if seen is None or (is_positive and seen < 0):
            self.reason = "another equation"
            return False
        symbols = _Symbols(is_whole=False)
        sides = symbols.build(left), symbols.build(right)
        constant = numeric.simple_fraction(seen)
        if constant is not None and sympy.expand(sides[0] - sympy.Rational(constant) * sides[1]) == 0:
            return True
        for simplify in (sympy.cancel, sympy.simplify):
            ratio = simplify(sides[0] / sides[1])
            if not ratio.free_symbols and ratio.is_nonzero:
                return True
        self.reason = "not proved equal"
        return False


def _with_base(expr: Expr, base: sympy.Expr) -> Expr:
    r"""Returns the expression with a base for every \log that has none."""
    if not isinstance(expr, Op):
        return expr
    args = tuple(_with_base(arg, base) for arg in expr.args)
    if expr.kind == "log" and len(args) == 1:
        return Op("ln", args) if base == sympy.E else Op("log", (args[0], number(int(base))))
    return Op(expr.kind, args)


class _Symbols:
    """Builds sympy expressions; variables are positive, because numbers have spoken for the other signs."""

    def __init__(self, *, is_whole: bool) -> None:
        self.is_whole = is_whole
        self._symbols: dict[str, sympy.Symbol] = {}

    def build(self, expr: Expr) -> sympy.Expr:
        """Returns the expression as sympy's.

        Raises:
            TooLargeError: sympy would compute a number that is too large.
        """
        if isinstance(expr, Number):
            return sympy.Rational(expr.value.numerator, expr.value.denominator)
        if isinstance(expr, Name):
            if expr.text not in self._symbols:
                assumptions = {"positive": True} | ({"integer": True} if self.is_whole else {})
                self._symbols[expr.text] = sympy.Symbol(f"v{len(self._symbols)}", **assumptions)
            return self._symbols[expr.text]
        if expr.kind in _CONSTANTS:
            return _CONSTANTS[expr.kind]
        if expr.kind not in _FUNCTIONS:
            raise TooLargeError(f"answer: '{expr.kind}' of what is no number; allowed: numbers")
        args = [self.build(arg) for arg in expr.args]
        _require_small(expr.kind, args)
        return _FUNCTIONS[expr.kind](*args)


def _require_small(kind: str, args: list[sympy.Expr]) -> None:
    """Refuses what sympy would compute at once and at length."""
    first, last = args[0], args[-1]
    if kind == "pow" and first.is_Rational and last.is_Rational:
        bits = (abs(int(first.p)).bit_length() + int(first.q).bit_length()) * abs(last)
        if bits > MAX_BITS or int(last.q) > 1000:
            raise TooLargeError("answer: a power that is too large; allowed: smaller numbers")
    if kind == "pow" and last.is_Rational and not first.is_Symbol and abs(last) > MAX_FACTORIAL:
        raise TooLargeError("answer: a power that is too large; allowed: smaller numbers")
    if kind in ("fact", "binom") and first.is_Rational and abs(first) > MAX_FACTORIAL:
        raise TooLargeError(f"answer: '{kind}' of a number that is too large; allowed: up to {MAX_FACTORIAL}")


def _is_zero(difference: sympy.Expr) -> bool:
    """Returns whether a proof that an expression is zero succeeds."""
    if difference == 0:
        return True
    if _num_terms(difference) > MAX_TERMS:
        return False
    return any(proof(difference) == 0 for proof in _proofs(difference))


def _proofs(expr: sympy.Expr) -> Iterator[Proof]:
    """Yields ways to show that an expression is zero, cheap ones first, only those that its functions call for."""
    yield sympy.expand
    yield _numerator
    if expr.has(sympy.log):
        yield lambda expr: sympy.expand(sympy.expand_log(expr, force=True))
    if expr.has(sympy.I):
        yield lambda expr: sympy.expand(expr, complex=True)
    if expr.has(HyperbolicFunction):
        yield lambda expr: _numerator(sympy.powsimp(sympy.expand(expr.rewrite(sympy.exp))))
    if expr.has(TrigonometricFunction):
        yield _on_circle
    if expr.has(sympy.factorial, sympy.binomial):
        yield lambda expr: sympy.expand(sympy.combsimp(expr))
    if not expr.free_symbols:
        yield sympy.radsimp
        yield lambda expr: sympy.expand(sympy.sqrtdenest(expr))
        yield _algebraic
    if expr.has(TrigonometricFunction):
        yield sympy.trigsimp
    yield sympy.simplify
    yield lambda expr: sympy.simplify(sympy.expand(expr.rewrite(sympy.exp)))


def _num_terms(expr: sympy.Expr) -> int:
    """Returns a bound on the number of terms when everything is multiplied out, up to `MAX_TERMS` + 1."""
    if expr.is_Add:
        return sum(map(_num_terms, expr.args))
    if expr.is_Mul:
        return min(MAX_TERMS + 1, math.prod(map(_num_terms, expr.args)))
    if not expr.is_Pow or not expr.exp.is_Integer:
        return 1
    terms, power = min(_num_terms(expr.base), 50), min(abs(int(expr.exp)), MAX_TERMS)
    return min(MAX_TERMS + 1, math.comb(power + terms - 1, terms - 1))


def _numerator(expr: sympy.Expr) -> sympy.Expr:
    return sympy.expand(sympy.fraction(sympy.together(expr))[0])


def _on_circle(expr: sympy.Expr) -> sympy.Expr:
    """Returns the numerator as a polynomial in sines and cosines of single angles, with no square of a sine."""
    for function, as_fraction in _AS_FRACTIONS.items():
        expr = expr.replace(function, as_fraction)
    return sympy.expand(_numerator(sympy.expand_trig(expr)).replace(_is_sine_power, _without_squares))


def _is_sine_power(expr: sympy.Expr) -> bool:
    return bool(expr.is_Pow and isinstance(expr.base, sympy.sin) and expr.exp.is_Integer and expr.exp >= 2)


def _without_squares(power: sympy.Expr) -> sympy.Expr:
    pairs, rest = divmod(int(power.exp), 2)
    return (1 - sympy.cos(power.base.args[0]) ** 2) ** pairs * power.base**rest


def _algebraic(expr: sympy.Expr) -> sympy.Expr:
    """Returns zero if the minimal polynomial of an algebraic number is that of zero."""
    nodes = sympy.preorder_traversal(expr)
    if not all(node.is_Rational or node.is_Add or node.is_Mul or node.is_Pow or node == sympy.I for node in nodes):
        return expr
    x = sympy.Dummy("x")
    return sympy.Integer(0) if sympy.minimal_polynomial(expr, x) == x else expr


def _real_power(base: sympy.Expr, exponent: sympy.Expr) -> sympy.Expr:
    """Returns a power; of a negative number, the real root where there is one."""
    if exponent.is_Rational and exponent.q % 2 and exponent.q != 1 and base.is_number and base.is_negative:
        return sympy.Integer(-1) ** exponent.p * (-base) ** exponent
    return base**exponent


def _log(value: sympy.Expr, base: sympy.Expr | None = None) -> sympy.Expr:
    return sympy.log(value) if base is None else sympy.log(value) / sympy.log(base)


_AS_FRACTIONS: dict[Any, Proof] = {
    sympy.tan: lambda angle: sympy.sin(angle) / sympy.cos(angle),
    sympy.cot: lambda angle: sympy.cos(angle) / sympy.sin(angle),
    sympy.sec: lambda angle: 1 / sympy.cos(angle),
    sympy.csc: lambda angle: 1 / sympy.sin(angle),
}
_CONSTANTS = {"pi": sympy.pi, "e": sympy.E, "i": sympy.I, "oo": sympy.oo}
_FUNCTIONS: dict[str, Callable[..., sympy.Expr]] = {
    "add": sympy.Add,
    "neg": lambda value: -value,
    "mul": sympy.Mul,
    "inv": lambda value: 1 / value,
    "pow": _real_power,
    "fact": sympy.factorial,
    "binom": sympy.binomial,
    "ln": _log,
    "log": _log,
    "abs": sympy.Abs,
    "deg": lambda value: value * sympy.pi / 180,
    "floor": sympy.floor,
    "ceil": sympy.ceiling,
    "max": sympy.Max,
    "min": sympy.Min,
    "arcsin": sympy.asin,
    "arccos": sympy.acos,
    "arctan": sympy.atan,
    "arccot": sympy.acot,
    **{name: getattr(sympy, name) for name in ["sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh"]},
}

# sympy imports most of itself on first use; that is not to count as the first comparison's time.
for _answer, _gold in ((r"\sqrt{8}", r"2\sqrt{2}"), ("(x+1)^2", "x^2+2x+1"), (r"\sqrt{3+2\sqrt{2}}", r"1+\sqrt{2}")):
    compare(_answer, _gold)
