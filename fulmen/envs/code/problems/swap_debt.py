"""Inversions of a sequence."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text


def generate(rng: random.Random, size: int) -> str:
    high = rng.choice((2, size, 10**9))
    values = [rng.randint(0, high) for _ in range(size)]
    if rng.random() < 0.3 and size <= 1000:
        values.sort(reverse=rng.random() < 0.7)
    return f"{size}\n{' '.join(map(str, values))}\n"


def validate(given: Given) -> None:
    (num,) = given.ints(1, low=1, high=30000)
    given.ints(num, low=0, high=10**9)


PROBLEM = Problem(
    name="swap_debt",
    level="medium",
    en=Text(
        task="Books stand in a row, each with a number. The librarian sorts them into rising order by swapping "
        "neighbours, and pays a coin for each swap. Equal numbers may stand in any order. How many coins are needed?",
        given="A line with n (1 to 30000), then a line with n integers from 0 to 10^9.",
        wanted="The least number of swaps.",
    ),
    samples=(("4\n4 1 3 2\n", "4\n"), ("3\n5 5 5\n", "0\n")),
    generate=generate,
    validate=validate,
    small=8,
    large=30000,
    edges=("1\n0\n", "2\n2 1\n", "5\n5 4 3 2 1\n", "4\n1 2 1 2\n"),
    idea="Each swap mends one pair in the wrong order, so the answer is the number of such pairs, counted while "
    "merging.",
    solution="""\
def sort(a):
    if len(a) < 2:
        return a, 0
    middle = len(a) // 2
    left, one = sort(a[:middle])
    right, two = sort(a[middle:])
    merged, i, count = [], 0, one + two
    for x in right:
        while i < len(left) and left[i] <= x:
            merged.append(left[i])
            i += 1
        count += len(left) - i
        merged.append(x)
    return merged + left[i:], count

input()
print(sort(list(map(int, input().split())))[1])
""",
    brute="""\
from itertools import combinations

input()
print(sum(a > b for a, b in combinations(list(map(int, input().split())), 2)))
""",
    wrong={
        "every pair": """\
n = int(input())
a = list(map(int, input().split()))
count = 0
for i in range(n):
    for j in range(i):
        if a[j] > a[i]:
            count += 1
print(count)
""",
        "equal pairs count": """\
from bisect import bisect_left, insort

input()
seen, count = [], 0
for x in map(int, input().split()):
    count += len(seen) - bisect_left(seen, x)
    insort(seen, x)
print(count)
""",
        "only neighbours": """\
input()
a = list(map(int, input().split()))
print(sum(x > y for x, y in zip(a, a[1:])))
""",
    },
    cpp="""\
#include <algorithm>
#include <iostream>
#include <vector>

int main() {
    int n;
    std::cin >> n;
    std::vector<int> a(n);
    for (int& x : a) std::cin >> x;
    std::vector<int> sorted(a);
    std::sort(sorted.begin(), sorted.end());
    std::vector<int> tree(n + 1);
    long long swaps = 0;
    for (int i = 0; i < n; ++i) {
        int place = std::lower_bound(sorted.begin(), sorted.end(), a[i]) - sorted.begin() + 1, up_to = 0;
        for (int j = place; j > 0; j -= j & -j) up_to += tree[j];
        swaps += i - up_to;
        for (int j = place; j <= n; j += j & -j) ++tree[j];
    }
    std::cout << swaps << "\\n";
}
""",
)
