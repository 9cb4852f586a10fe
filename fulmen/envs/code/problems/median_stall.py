"""The least total distance to one place on a line."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text


def generate(rng: random.Random, size: int) -> str:
    reach = rng.choice((10, 10**9))
    return f"{size}\n{' '.join(str(rng.randint(-reach, reach)) for _ in range(size))}\n"


def validate(given: Given) -> None:
    (num,) = given.ints(1, low=1, high=20000)
    given.ints(num, low=-(10**9), high=10**9)


PROBLEM = Problem(
    name="median_stall",
    level="easy",
    en=Text(
        task="Houses stand along a straight street, several at one place perhaps. A stall may be put at any integer "
        "position; every day one person walks to it from each house, and not back. What is the least total walk?",
        given="A line with n (1 to 20000), then a line with n integers from -10^9 to 10^9: where the houses stand.",
        wanted="The least sum of distances.",
    ),
    zh=Text(
        task="房屋沿一条笔直的街道分布，同一位置可能有多栋。货摊可以设在任意整数位置；每天每栋房屋有一个人走到货摊（不计返回）。"
        "步行总距离最少是多少？",
        given="第一行是 n（1 到 20000），第二行是 n 个 -10^9 到 10^9 的整数，即房屋位置。",
        wanted="距离之和的最小值。",
    ),
    samples=(("4\n1 9 2 2\n", "8\n"), ("1\n-3\n", "0\n")),
    generate=generate,
    validate=validate,
    small=6,
    large=20000,
    edges=("2\n-1000000000 1000000000\n", "3\n0 0 100\n", "5\n5 4 3 2 1\n"),
    idea="A median is best: moving away from it lengthens at least as many walks as it shortens.",
    solution="""\
n = int(input())
houses = sorted(map(int, input().split()))
stall = houses[n // 2]
print(sum(abs(house - stall) for house in houses))
""",
    brute="""\
n = int(input())
houses = list(map(int, input().split()))
print(min(sum(abs(house - stall) for house in houses) for stall in houses))
""",
    wrong={
        "the mean": """\
n = int(input())
a = list(map(int, input().split()))
mean = sum(a) // n
print(min(sum(abs(x - m) for x in a) for m in (mean, mean + 1)))
""",
        "middle of the input as it comes": """\
n = int(input())
a = list(map(int, input().split()))
print(sum(abs(x - a[n // 2]) for x in a))
""",
        "sums in 32 bits": """\
n = int(input())
a = sorted(map(int, input().split()))
total = 0
for x in a:
    total = (total + abs(x - a[n // 2]) + 2**31) % 2**32 - 2**31
print(total)
""",
    },
    cpp="""\
#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <vector>

int main() {
    int n;
    std::cin >> n;
    std::vector<long long> houses(n);
    for (auto& house : houses) std::cin >> house;
    std::nth_element(houses.begin(), houses.begin() + n / 2, houses.end());
    long long stall = houses[n / 2], total = 0;
    for (auto house : houses) total += std::llabs(house - stall);
    std::cout << total << "\\n";
}
""",
)
