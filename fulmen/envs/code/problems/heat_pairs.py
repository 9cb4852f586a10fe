"""Pairs of values with a given sum."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, require


def generate(rng: random.Random, size: int) -> str:
    reach = rng.choice((3, 20, 10**9))
    values = [rng.randint(-reach, reach) for _ in range(size)]
    target = values[0] + values[-1] if rng.random() < 0.5 else rng.randint(-reach, reach)
    if rng.random() < 0.1:
        values = [target // 2] * size
    return f"{size} {target}\n{' '.join(map(str, values))}\n"


def validate(given: Given) -> None:
    num, _ = given.ints(2, low=-2 * 10**9, high=2 * 10**9)
    require(1 <= num <= 20000, "n")
    given.ints(num, low=-(10**9), high=10**9)


PROBLEM = Problem(
    name="heat_pairs",
    level="easy",
    en=Text(
        task="A chemist mixes two different samples and gets the sum of their temperatures. In how many ways can two "
        "samples be chosen whose temperatures add up to exactly t? Samples of equal temperature are still different.",
        given="A line with n (1 to 20000) and t (-2*10^9 to 2*10^9), then a line with n integers from -10^9 to 10^9.",
        wanted="The number of unordered pairs.",
    ),
    zh=Text(
        task="化学家把两份不同的样品混合，得到它们温度之和。有多少种方法选出温度之和恰为 t 的两份样品？温度相同的样品"
        "仍视为不同样品。",
        given="第一行是 n（1 到 20000）和 t（-2*10^9 到 2*10^9），第二行是 n 个 -10^9 到 10^9 的整数。",
        wanted="无序对的数量。",
    ),
    samples=(("5 6\n3 3 1 5 3\n", "4\n"), ("2 4\n2 3\n", "0\n")),
    generate=generate,
    validate=validate,
    small=7,
    large=20000,
    edges=("1 2\n1\n", "4 0\n0 0 0 0\n", "2 -2000000000\n-1000000000 -1000000000\n"),
    idea="Walk through the samples and add how many earlier ones have the missing temperature.",
    solution="""\
n, t = map(int, input().split())
seen, pairs = {}, 0
for heat in map(int, input().split()):
    pairs += seen.get(t - heat, 0)
    seen[heat] = seen.get(heat, 0) + 1
print(pairs)
""",
    brute="""\
from itertools import combinations

n, t = map(int, input().split())
print(sum(a + b == t for a, b in combinations(map(int, input().split()), 2)))
""",
    wrong={
        "all pairs, one by one": """\
n, t = map(int, input().split())
a = list(map(int, input().split()))
print(sum(a[i] + a[j] == t for i in range(n) for j in range(i)))
""",
        "pairs a sample with itself": """\
from collections import Counter

n, t = map(int, input().split())
count = Counter(map(int, input().split()))
print(sum(count[h] * count.get(t - h, 0) for h in list(count)) // 2)
""",
        "distinct temperatures only": """\
n, t = map(int, input().split())
a = set(map(int, input().split()))
print(sum(t - h in a and t - h > h for h in a))
""",
    },
    cpp="""\
#include <iostream>
#include <unordered_map>

int main() {
    long long n, t, heat, pairs = 0;
    std::cin >> n >> t;
    std::unordered_map<long long, long long> seen;
    while (n-- > 0) {
        std::cin >> heat;
        auto found = seen.find(t - heat);
        if (found != seen.end()) pairs += found->second;
        ++seen[heat];
    }
    std::cout << pairs << "\\n";
}
""",
)
