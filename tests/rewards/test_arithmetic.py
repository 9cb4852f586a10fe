"""The strict evaluator, against Python's own parser (never its interpreter) and against trees built by hand."""

import ast
import re
import time
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fulmen.errors import DataError
from fulmen.rewards.arithmetic import Limits, evaluate

OPERATORS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}


def apply(left: Fraction, operator: str, right: Fraction) -> Fraction:
    if operator == "/":
        return left / right
    return {"+": left + right, "-": left - right, "*": left * right}[operator]


def oracle(text: str) -> tuple[Fraction, list[int]] | None:
    """Value and integers by Python's grammar, or None where the text is not of four operations on integers."""
    literals: list[int] = []

    def walk(node: ast.AST) -> Fraction:
        if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
            left = walk(node.left)
            return apply(left, OPERATORS[type(node.op)], walk(node.right))
        if isinstance(node, ast.Constant) and type(node.value) is int:
            literals.append(node.value)
            return Fraction(node.value)
        raise ValueError

    if re.search(r"(?<![0-9])0[0-9]|[0-9]{10}", text):
        return None
    try:
        return walk(ast.parse(text.strip(), mode="eval").body), literals
    except (SyntaxError, ValueError, ZeroDivisionError):
        return None


@settings(max_examples=1500, deadline=None, derandomize=True)
@given(st.text(alphabet="0123456789+-*/() ", max_size=12))
def test_agrees_with_python_grammar_on_arbitrary_strings(text: str) -> None:
    expected = oracle(text)
    if expected is None:
        with pytest.raises(DataError):
            evaluate(text)
    else:
        found = evaluate(text)
        assert (found.value, list(found.literals)) == expected


TREES = st.recursive(
    st.integers(0, 999).map(lambda number: (str(number), Fraction(number))),
    lambda inner: (
        st.tuples(inner, st.sampled_from("+-*/"), inner)
        .filter(lambda tree: tree[1] != "/" or tree[2][1] != 0)
        .map(lambda tree: (f"({tree[0][0]}{tree[1]}{tree[2][0]})", apply(tree[0][1], tree[1], tree[2][1])))
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(TREES)
def test_value_of_trees(tree: tuple[str, Fraction]) -> None:
    assert evaluate(tree[0]).value == tree[1]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8-3-2", 3),
        ("2+3*4", 14),
        ("16/4/2", 2),
        ("1/3*3", 1),
        ("3×7", 21),
        ("8÷2", 4),
        ("8−2", 6),
        (r"3\times\left(7\right)", 21),
        (" ( 3 * 7 ) + 9 ", 30),
        ("0", 0),
    ],
)
def test_known_values(text: str, value: int) -> None:
    assert evaluate(text).value == value


REJECTED = """
-3|+3|3 3|3(4)|(3)(4)|2**3|6//2|1e9|0x1|1.5|1_0|07|()|(3|3)|3+|a|3;4|3=3|4%3|5!|٣|²|9/0|9/(3-3)|3,4|True
""".strip().split("|")


@pytest.mark.parametrize("text", ["", " ", "__import__('os')", *REJECTED])
def test_rejects(text: str) -> None:
    with pytest.raises(DataError, match=r"expression: .*; allowed: "):
        evaluate(text)


def test_limits_are_exact() -> None:
    limits = Limits(max_chars=9, max_depth=2, max_digits=3)
    assert evaluate("((999))+1", limits=limits).value == 1000
    for text in ("((999))+10", "(((1)))", "1000"):
        with pytest.raises(DataError):
            evaluate(text, limits=limits)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text())
def test_arbitrary_text_raises_nothing_else(text: str) -> None:
    try:
        evaluate(text)
    except DataError:
        return


@pytest.mark.parametrize("text", ["(" * 100_000, "9" * 1_000_000, "1+" * 500_000 + "1", "9**9**9**9"])
def test_hostile_sizes_are_fast(text: str) -> None:
    start = time.process_time()
    with pytest.raises(DataError):
        evaluate(text)
    assert time.process_time() - start < 0.5


def test_worst_case_within_limits_is_fast() -> None:
    start = time.process_time()
    assert evaluate("/".join(["999999999"] * 51)).value == Fraction(1, 999999999**49)
    assert evaluate("(" * 32 + "1" + ")" * 32).value == 1
    assert time.process_time() - start < 0.5
