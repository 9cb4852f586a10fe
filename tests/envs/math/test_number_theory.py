"""Golden answers of the families of number theory, found another way."""

import itertools
import math

import pytest

from tests.envs.math.samples import samples


@pytest.mark.parametrize("kind", ["gcd", "lcm", "powers", "other"])
def test_gcd_lcm(kind: str) -> None:
    for task in samples("math_gcd_lcm", kind):
        data, gold = task.meta["data"], int(task.gold)
        if kind == "gcd":
            assert math.gcd(*data[0]) == gold
        elif kind == "lcm":
            assert math.lcm(*data[0]) == gold
        elif kind == "powers":
            assert math.gcd(data[0] ** data[1] - 1, data[0] ** data[2] - 1) == gold
        else:
            assert (math.gcd(data[2], gold), math.lcm(data[2], gold)) == (data[0], data[1])


@pytest.mark.parametrize("kind", ["remainder", "power", "power_sum", "tower", "inverse", "congruence"])
def test_modular_arithmetic(kind: str) -> None:
    for task in samples("math_modular_arithmetic", kind):
        data, gold = task.meta["data"], int(task.gold)
        wanted = {
            "remainder": lambda a, b, c, m: (a * b + c) % m,
            "power": pow,
            "power_sum": lambda a, n, b, k, sign, m: (pow(a, n, m) + (1 if sign == "+" else -1) * pow(b, k, m)) % m,
            "tower": lambda a, b, c, m: pow(a, b**c, m),
            "inverse": lambda a, m: pow(a, -1, m),
            "congruence": lambda a, b, m: next(x for x in range(m) if a * x % m == b),
        }[kind](*data)
        assert wanted == gold


@pytest.mark.parametrize("kind", ["coprime", "shared", "above"])
def test_chinese_remainder(kind: str) -> None:
    for task in samples("math_chinese_remainder", kind):
        pairs, bound = task.meta["data"]
        gold, whole = int(task.gold), math.lcm(*(m for m, _ in pairs))
        assert all(gold % m == r for m, r in pairs)
        assert (0 <= gold < whole) if kind != "above" else (bound < gold <= bound + whole)
        assert (math.prod(m for m, _ in pairs) == whole) == (kind != "shared")


@pytest.mark.parametrize(
    "kind", ["count", "sum", "even", "odd", "multiples", "not_multiples", "squares", "product", "pairs"]
)
def test_divisors(kind: str) -> None:
    for task in samples("math_divisors", kind, 4):
        n, d = task.meta["data"]
        small = [k for k in range(1, math.isqrt(n) + 1) if n % k == 0]
        every = {*small, *(n // k for k in small)}
        wanted = {
            "count": len(every),
            "product": len(every),
            "sum": sum(every),
            "even": sum(k % 2 == 0 for k in every),
            "odd": sum(k % 2 for k in every),
            "multiples": sum(k % d == 0 for k in every),
            "not_multiples": sum(k % d != 0 for k in every),
            "squares": sum(math.isqrt(k) ** 2 == k for k in every),
            "pairs": sum(math.gcd(k, n // k) == 1 for k in every),
        }[kind]
        assert wanted == int(task.gold), (n, d)


@pytest.mark.parametrize(
    "kind",
    ["count", "count_three", "smallest", "unreachable", "unreachable_count", "sum_of_unknowns", "bounded", "product"],
)
def test_diophantine(kind: str) -> None:
    for task in samples("math_diophantine", kind, 4, (1, 3), max_coefficient=12):
        data, gold = task.meta["data"], int(task.gold)
        if kind in ("count", "smallest"):
            a, b, n = data
            found = [x for x in range(n + 1) for y in range(n // b + 1) if a * x + b * y == n]
            assert gold == (len(found) if kind == "count" else min(found))
        elif kind == "count_three":
            a, b, c, n = data
            ranges = (range(n // k + 1) for k in (a, b, c))
            assert gold == sum(a * x + b * y + c * z == n for x, y, z in itertools.product(*ranges))
        elif kind.startswith("unreachable"):
            a, b = data
            paid = {a * x + b * y for x in range(b + 1) for y in range(a + 1)}
            missing = [n for n in range(a * b) if n not in paid]
            assert gold == (len(missing) if kind.endswith("count") else max(missing))
        elif kind == "product":
            a, b, n = data
            assert gold == sum(x * y + a * x + b * y == n for x in range(1, n) for y in range(1, n // x + 1))
        else:
            limits, n = data
            slack = n - sum(limits)
            ranges = [range(k + 1) for k in limits] if kind == "bounded" else [range(k, k + slack + 1) for k in limits]
            if math.prod(map(len, ranges)) < 200_000:
                assert gold == sum(sum(values) == n for values in itertools.product(*ranges))


def digit_sum(n: int) -> int:
    return sum(int(digit) for digit in str(n))


@pytest.mark.parametrize("kind", ["of_product", "of_power", "count", "count_divisible", "smallest", "total", "nines"])
@pytest.mark.parametrize("num_digits", [3, 4])
def test_digit_sums(kind: str, num_digits: int) -> None:
    for task in samples("math_digit_sums", kind, 5, (3,), num_digits=num_digits):
        data, gold = task.meta["data"], int(task.gold)
        wanted = {
            "of_product": lambda a, b: digit_sum(a * b),
            "of_power": lambda a, n, more: digit_sum(a**n + more),
            "nines": lambda k, m: digit_sum(10**k - m),
            "count": lambda top, s: sum(digit_sum(k) == s for k in range(top + 1)),
            "count_divisible": lambda k, d: sum(digit_sum(n) % d == 0 for n in range(10 ** (k - 1), 10**k)),
            "smallest": lambda bound, s: next(n for n in itertools.count(bound + 1) if digit_sum(n) == s),
            "total": lambda top: sum(map(digit_sum, range(1, top + 1))),
        }[kind](*data)
        assert wanted == gold, data
