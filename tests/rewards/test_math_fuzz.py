"""The checker on generated text and generated mathematics, against values that Python computes itself."""

from fractions import Fraction

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fulmen.errors import DataError
from fulmen.rewards.math import extract, parse
from fulmen.rewards.math.exact import Evaluator
from fulmen.rewards.math.nodes import Name, Number, Op
from fulmen.rewards.math.parser import parse_answer
from tests.rewards.math_tables import checker, read_table

PIECES = [
    *"0123456789xyn+-*/^_=<>()[]{}|,.;:!%$'&e ",
    r"\frac", r"\sqrt", r"\pi", r"\{", r"\}", r"\text{", r"\le", r"\cup", r"\infty", r"\sin", r"\log", r"\left(",
    r"\right)", r"\cdot", r"\pm", r"^\circ", r"\%", r"\$", r"\begin{pmatrix}", r"\end{pmatrix}", r"\\", r"\in",
    r"\mathbb{R}", r"\overline{", r"\binom", r"\boxed{", "or", "and", " cm", "½", "２", "х", "\u200b", "\n",
]  # fmt: skip
SOUP = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)
GOLDS = sorted({pair.gold for pair in read_table("pairs")})


@settings(max_examples=250)
@given(SOUP)
def test_soup_never_raises_and_equals_itself(text: str) -> None:
    try:
        parse(text)
    except DataError:
        assert not checker().check(text, "5").is_equal
        return
    assert checker().check(text, text).is_equal


@settings(max_examples=100)
@given(st.text(max_size=40), st.sampled_from(GOLDS))
def test_any_text_against_any_reference(text: str, gold: str) -> None:
    verdict = checker().check(text, gold)
    assert verdict.reason
    if verdict.is_equal:
        assert checker().check(gold, text).is_equal


@settings(max_examples=100)
@given(SOUP, SOUP)
def test_symmetric(left: str, right: str) -> None:
    assert checker().check(left, right).is_equal == checker().check(right, left).is_equal


Tree = tuple[str, Fraction]
NUMBERS = st.integers(0, 99).map(lambda n: (str(n), Fraction(n)))
DECIMALS = st.integers(0, 9999).map(lambda n: (f"{n / 100:.2f}", Fraction(n, 100)))


def combine(left: Tree, operator: str, right: Tree) -> Tree:
    (a, x), (b, y) = left, right
    if operator == "frac":
        assume(y != 0)
        return rf"\frac{{{a}}}{{{b}}}", x / y
    if operator == "/":
        assume(y != 0)
        return f"({a})/({b})", x / y
    text = {"+": f"({a}+{b})", "-": f"({a}-{b})", "*": rf"{{{a}}}\cdot({b})", "implied": f"({a})({b})"}[operator]
    return text, {"+": x + y, "-": x - y}.get(operator, x * y)


TREES = st.recursive(
    NUMBERS | DECIMALS,
    lambda inner: (
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "frac", "implied"]), inner).map(lambda t: combine(*t))
        | st.tuples(inner, st.integers(1, 4)).map(lambda t: (f"({t[0][0]})^{{{t[1]}}}", t[0][1] ** t[1]))
        | inner.map(lambda t: (f"-({t[0]})", -t[1]))
    ),
    max_leaves=6,
)


@settings(max_examples=200)
@given(TREES)
def test_arithmetic_is_exact(tree: Tree) -> None:
    text, value = tree
    node = parse_answer(text)
    assert isinstance(node, Number | Name | Op)
    try:
        found = Evaluator().value(node)
    except DataError:
        assume(False)
    assert found == value


@settings(max_examples=100)
@given(TREES, st.fractions(max_denominator=10**6).filter(bool))
def test_no_other_value_is_equal(tree: Tree, error: Fraction) -> None:
    text, value = tree
    assume(len(text) < 500 and len(str(value)) < 500)
    assert checker().check(text, f"{value.numerator}/{value.denominator}").is_equal
    other = value + error
    assert not checker().check(text, f"{other.numerator}/{other.denominator}").is_equal


@settings(max_examples=40)
@given(st.lists(st.integers(-9, 9), min_size=1, max_size=4), st.integers(-9, 9), st.integers(0, 3))
def test_expanded_polynomials_are_equal_and_changed_ones_are_not(roots: list[int], change: int, place: int) -> None:
    coefficients = [1]
    for root in roots:
        shifted = [0, *coefficients]
        coefficients = [a - root * b for a, b in zip(shifted, [*coefficients, 0], strict=True)]
    factored = "".join(f"(x-({root}))" for root in roots)
    assert checker().check(polynomial(coefficients), factored).is_equal
    changed = list(coefficients)
    changed[place % len(changed)] += change
    assert checker().check(polynomial(changed), factored).is_equal == (change == 0)


def polynomial(coefficients: list[int]) -> str:
    return "+".join(f"({c})x^{{{power}}}" for power, c in enumerate(coefficients))


@settings(max_examples=40)
@given(st.lists(st.integers(-50, 50), min_size=1, max_size=6), st.lists(st.integers(-50, 50), min_size=1, max_size=6))
def test_sets_lists_and_tuples(left: list[int], right: list[int]) -> None:
    texts = [", ".join(map(str, items)) for items in (left, right)]
    in_any_order = sorted(left) == sorted(right)
    assert checker().check(rf"\{{{texts[0]}\}}", rf"\{{{texts[1]}\}}").is_equal == in_any_order
    if len(left) > 2:
        assert checker().check(f"({texts[0]})", f"({texts[1]})").is_equal == (left == right)


@given(st.text(max_size=60))
def test_a_boxed_text_is_extracted_or_refused(text: str) -> None:
    try:
        answer = extract(rf"\boxed{{{text}}}")
    except DataError:
        return
    assert checker().check(answer, "5").layer in ("parse", "text", "exact", "symbolic")
