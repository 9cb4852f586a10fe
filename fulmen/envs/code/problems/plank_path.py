"""Ways to lay a path of planks of length one and three."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text


def generate(rng: random.Random, size: int) -> str:
    return f"{rng.choice((size, max(1, size - rng.randint(0, 5))))}\n"


def validate(given: Given) -> None:
    given.ints(1, low=1, high=100000)


PROBLEM = Problem(
    name="plank_path",
    level="easy",
    en=Text(
        task="A path of n metres is laid with planks of one metre and of three metres, end to end. In how many "
        "orders of planks can that be done? Give the number modulo 998244353.",
        given="One line with n (1 to 100000).",
        wanted="The number of ways modulo 998244353.",
    ),
    zh=Text(
        task="用一米和三米的木板首尾相接铺一条 n 米长的小路。木板的排列顺序共有多少种？结果对 998244353 取模。",
        given="一行，n（1 到 100000）。",
        wanted="方案数对 998244353 取模。",
    ),
    samples=(("4\n", "3\n"), ("2\n", "1\n")),
    generate=generate,
    validate=validate,
    small=18,
    large=100000,
    edges=("1\n", "3\n", "54\n", "55\n", "100000\n"),
    idea="The last plank is short or long: ways(n) = ways(n - 1) + ways(n - 3).",
    solution="""\
n = int(input())
ways = [1, 1, 1]
for _ in range(n - 2):
    ways.append((ways[-1] + ways[-3]) % 998244353)
print(ways[n])
""",
    brute="""\
from math import comb

n = int(input())
print(sum(comb(n - 2 * long, long) for long in range(n // 3 + 1)) % 998244353)
""",
    wrong={
        "plain recursion": """\
def ways(n):
    return 1 if n < 3 else ways(n - 1) + ways(n - 3)

print(ways(int(input())) % 998244353)
""",
        "another modulus": """\
n = int(input())
ways = [1, 1, 1]
for _ in range(n - 2):
    ways.append((ways[-1] + ways[-3]) % (10**9 + 7))
print(ways[n])
""",
        "ignores the order": """\
print((int(input()) // 3 + 1) % 998244353)
""",
    },
    cpp="""\
#include <iostream>
#include <vector>

int main() {
    int n;
    std::cin >> n;
    std::vector<int> ways(n + 3, 1);
    for (int i = 3; i <= n; ++i) ways[i] = (ways[i - 1] + ways[i - 3]) % 998244353;
    std::cout << ways[n] << "\\n";
}
""",
)
