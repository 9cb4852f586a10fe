"""The longest stretch whose values lie close together."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, require


def generate(rng: random.Random, size: int) -> str:
    spread = rng.choice((0, 2, 10**6))
    values, level = [], 0
    for _ in range(size):
        level = max(-(10**9), min(10**9, level + rng.randint(-2, 2) * rng.choice((1, 1, max(1, spread // 3)))))
        values.append(level)
    if rng.random() < 0.3:
        spread, values = 10**9, [rng.randint(-10, 10) for _ in range(size)]
    return f"{size} {spread}\n{' '.join(map(str, values))}\n"


def validate(given: Given) -> None:
    num, _ = given.ints(2, low=0, high=10**9)
    require(1 <= num <= 30000, "n")
    given.ints(num, low=-(10**9), high=10**9)


PROBLEM = Problem(
    name="calm_stretch",
    level="medium",
    en=Text(
        task="A buoy records the height of the sea once a minute. A stretch of minutes is calm if its highest and "
        "its lowest value differ by at most d. How long is the longest calm stretch?",
        given="A line with n (1 to 30000) and d (0 to 10^9), then a line with n integers from -10^9 to 10^9.",
        wanted="The greatest length of a calm stretch of consecutive minutes.",
    ),
    samples=(("6 2\n1 3 2 5 4 4\n", "3\n"), ("3 0\n7 7 8\n", "2\n")),
    generate=generate,
    validate=validate,
    small=8,
    large=30000,
    edges=("1 0\n5\n", "4 0\n1 2 3 4\n", "3 1000000000\n-500000000 500000000 0\n", "5 1\n3 1 2 2 3\n"),
    idea="Two deques keep the candidates for the maximum and the minimum of a window that grows to the right and "
    "gives up its left end while it is not calm.",
    solution="""\
from collections import deque

n, d = map(int, input().split())
a = list(map(int, input().split()))
high, low = deque(), deque()
left = best = 0
for right, value in enumerate(a):
    while high and a[high[-1]] <= value:
        high.pop()
    high.append(right)
    while low and a[low[-1]] >= value:
        low.pop()
    low.append(right)
    while a[high[0]] - a[low[0]] > d:
        left += 1
        if high[0] < left:
            high.popleft()
        if low[0] < left:
            low.popleft()
    best = max(best, right - left + 1)
print(best)
""",
    brute="""\
n, d = map(int, input().split())
a = list(map(int, input().split()))
print(max(j - i for i in range(n) for j in range(i + 1, n + 1) if max(a[i:j]) - min(a[i:j]) <= d))
""",
    wrong={
        "every start anew": """\
n, d = map(int, input().split())
a = list(map(int, input().split()))
best = 0
for i in range(n):
    high = low = a[i]
    j = i
    while j < n:
        high, low = max(high, a[j]), min(low, a[j])
        if high - low > d:
            break
        j += 1
    best = max(best, j - i)
print(best)
""",
        "compares neighbours": """\
n, d = map(int, input().split())
a = list(map(int, input().split()))
best = run = 1
for x, y in zip(a, a[1:]):
    run = run + 1 if abs(x - y) <= d else 1
    best = max(best, run)
print(best)
""",
        "starts anew after a break": """\
n, d = map(int, input().split())
a = list(map(int, input().split()))
best, high, low, run = 0, a[0], a[0], 0
for x in a:
    high, low, run = max(high, x), min(low, x), run + 1
    if high - low > d:
        high = low = x
        run = 1
    best = max(best, run)
print(best)
""",
    },
    cpp="""\
#include <algorithm>
#include <iostream>
#include <set>
#include <vector>

int main() {
    int n, d, best = 0;
    std::cin >> n >> d;
    std::vector<int> a(n);
    std::multiset<long long> window;
    for (int left = 0, right = 0; right < n; ++right) {
        std::cin >> a[right];
        window.insert(a[right]);
        while (*window.rbegin() - *window.begin() > d) window.erase(window.find(a[left++]));
        best = std::max(best, right - left + 1);
    }
    std::cout << best << "\\n";
}
""",
)
