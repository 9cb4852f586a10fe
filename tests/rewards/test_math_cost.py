"""What hostile expressions cost: a bounded time, and a verdict."""

import gc
import time

import pytest

from fulmen.rewards.math import MathChecker
from tests.rewards.math_tables import checker

MAX_HERE_S = 1.0
"""Processor seconds of a check in the caller; the worker's are limited by the kernel."""


def table(cell: str, size: int) -> str:
    row = "&".join([cell] * size)
    return r"\begin{pmatrix}" + r"\\".join([row] * size) + r"\end{pmatrix}"


PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31)
HOSTILE = {
    "tower": "9^{9^{9^{9}}}",
    "tower of e": "e^{e^{e^{e^{e}}}}",
    "tower beside a variable": "9^{9^{9}}x+1",
    "factorial": "10000000!",
    "factorial of factorials": "((5!)!)!",
    "binomial": r"\binom{10^9}{5\cdot10^8}",
    "matrix": table("1", 40),
    "symbolic matrix": table("x", 30),
    "parentheses": "(" * 2000 + "1" + ")" * 2000,
    "braces": "{" * 2000 + "1" + "}" * 2000,
    "fractions": r"\frac{1}{" * 200 + "2" + "}" * 200,
    "roots": r"\sqrt{1+" * 18 + "2" + "}" * 18,
    "texts": r"\text{" * 600 + "x" + "}" * 600,
    "boxes": r"\boxed{" * 400 + "5" + "}" * 400 + "1",
    "a megabyte": "1" * (1 << 20),
    "a megabyte of terms": "x+" * (1 << 19),
    "sines": r"\sin" * 800 + " x",
    "sine tower": r"\sin(" * 18 + "x" + ")" * 18,
    "sine powers": "+".join(rf"\sin^{{{k}}}({k}x)" for k in range(2, 40)),
    "binomial power": "(x+1)^{999999999}",
    "many variables": "(x+y+z+a+b+c)^{40}",
    "degree": "x^{99999}-(x-1)^{99999}",
    "factors": "".join(f"(x-{k}y)" for k in range(40)),
    "large powers": "2^{65000}" + "+3^{41000}" * 100,
    "large denominators": "+".join(rf"\frac{{1}}{{{10**20 + k}^{{900}}}}" for k in range(60)),
    "minus signs": "-" * 3000 + "1",
    "exclamations": "3" + "!" * 2000,
    "factorials in parentheses": "(" * 28 + "x" + "!!!!)" * 28,
    "powers of powers": "(" * 28 + "x" + "^{n}!!!)" * 28,
    "exponents": "x" + "^{2" * 30 + "}" * 30,
    "digits": "7" * 2000 + "/" + "3" * 1990,
    "root of digits": r"\sqrt[997]{" + "7" * 3000 + "}",
    "logarithm": r"\log_{1.0000001}{" + "9" * 300 + "}",
    "divisor": r"\gcd(" + ",".join(["9" * 60] * 50) + ")",
    "multiple": r"\text{lcm}(" + ",".join(str(10**15 + k) for k in range(100)) + ")",
    "list": ",".join(map(str, range(1000))),
    "list of roots": ",".join(rf"\sqrt{{{k + 10**6}}}" for k in range(64)),
    "double signs": r"\pm" * 1000 + "1",
    "sum of roots": "+".join(rf"\sqrt{{{prime}}}" for prime in PRIMES),
    "dollars": "$" * 4000,
    "commas": "," * 4000,
    "bars": "|" * 4000,
    "units": "5 " + "cm " * 1300,
    "numbers with exponents": "1e1000" * 500,
    "period": r"0.\overline{" + "123456789" * 400 + "}",
    "unions": r"\cup".join(["[0,1]"] * 500),
    "composite": rf"\sqrt[3]{{{(2**521 - 1) * (2**607 - 1)}}}",
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("gold", ["5", pytest.param("x^2+1", marks=pytest.mark.slow)])
def test_cost_is_bounded(name: str, gold: str) -> None:
    gc.freeze()  # what other tests left behind takes a second to look through, and is no cost of these
    for answer, reference in ((HOSTILE[name], gold), (gold, HOSTILE[name])):
        started = time.process_time()
        verdict = checker().check(answer, reference)
        assert time.process_time() - started < MAX_HERE_S
        assert not verdict.is_equal
        assert verdict.reason


def test_a_proof_that_takes_too_long_is_killed_and_the_next_check_works() -> None:
    with_little_time = MathChecker(cpu_s=0.02)
    hard = (r"\frac{e^{x}+e^{-x}}{2}\cdot\sin^{12} x", r"\cosh x\cdot\sin^{12} x+\cos^{14}(3x)-\cos^{14}(3x)")
    verdict = with_little_time.check(*hard)
    assert (verdict.is_equal, verdict.layer) == (False, "symbolic")
    assert "0.02 s" in verdict.reason
    with_little_time.cpu_s = 5.0
    assert with_little_time.check(r"\sqrt{8}", r"2\sqrt{2}").is_equal
    with_little_time.close()
