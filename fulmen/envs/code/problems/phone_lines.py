"""The cheapest network, part of which stands already."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, require


def generate(rng: random.Random, size: int) -> str:
    high = rng.choice((3, 10**6))
    edges = []
    for i in range(2, size + 1):
        if rng.random() < 0.97:
            edges.append((rng.randint(1, i - 1), i, rng.randint(0, high)))
    for _ in range(rng.choice((0, size, 3 * size))):
        edges.append((rng.randint(1, size), rng.randint(1, size), rng.randint(0, high)))
    rng.shuffle(edges)
    return f"{size} {len(edges)}\n" + "".join(f"{a} {b} {c}\n" for a, b, c in edges)


def validate(given: Given) -> None:
    num, count = given.ints(2, low=0, high=20000)
    require(1 <= num <= 5000, "n")
    for _ in range(count):
        a, b, _ = given.ints(3, low=0, high=10**6)
        require(min(a, b) >= 1 and max(a, b) <= num, "line")


PROBLEM = Problem(
    name="phone_lines",
    level="hard",
    en=Text(
        task="A valley wants every farm to be able to phone every other one, through other farms if need be. For "
        "some pairs of farms a line can be bought; a price of 0 means that it stands already. The council looks for "
        "the least total price, and among plans of that price it buys as few lines with a price above 0 as possible.",
        given="A line with n (1 to 5000) farms and m (0 to 20000) lines, then m lines with two farms and a price (0 "
        "to 10^6). A pair may occur more than once, or join a farm to itself.",
        wanted="The least total price and the number of lines bought for more than 0, or -1 alone if it cannot be "
        "done.",
    ),
    samples=(("3 3\n1 2 4\n2 3 0\n1 3 5\n", "4 1\n"), ("2 0\n", "-1\n")),
    generate=generate,
    validate=validate,
    small=6,
    large=5000,
    edges=("1 0\n", "1 1\n1 1 7\n", "4 4\n1 2 1\n2 1 1\n3 4 0\n4 1 2\n", "3 2\n1 2 0\n2 1 0\n"),
    idea="Kruskal: take lines in order of price where they join two parts that are still apart. Every cheapest plan "
    "has as many lines of each price.",
    solution="""\
import sys

data = list(map(int, sys.stdin.read().split()))
n, m = data[:2]
lines = sorted((data[i + 2], data[i], data[i + 1]) for i in range(2, 2 + 3 * m, 3))
parent = list(range(n + 1))

def root(farm):
    while parent[farm] != farm:
        parent[farm] = parent[parent[farm]]
        farm = parent[farm]
    return farm

price, bought, parts = 0, 0, n
for cost, a, b in lines:
    a, b = root(a), root(b)
    if a != b:
        parent[a] = b
        price += cost
        bought += cost > 0
        parts -= 1
print(*((price, bought) if parts == 1 else (-1,)))
""",
    brute="""\
n, m = map(int, input().split())
near = {}
for _ in range(m):
    a, b, c = map(int, input().split())
    near.setdefault(a, []).append((c, b))
    near.setdefault(b, []).append((c, a))
inside, price, bought = {1}, 0, 0
while len(inside) < n:
    ways = [(c, b) for a in inside for c, b in near.get(a, []) if b not in inside]
    if not ways:
        print(-1)
        break
    c, b = min(ways)
    inside.add(b)
    price, bought = price + c, bought + (c > 0)
else:
    print(price, bought)
""",
    wrong={
        "the cheapest line of each farm": """\
n, m = map(int, input().split())
best = {}
for _ in range(m):
    a, b, c = map(int, input().split())
    if a != b:
        for farm, other in ((a, b), (b, a)):
            if farm not in best or c < best[farm][0]:
                best[farm] = (c, min(a, b), max(a, b))
chosen = set(best.values())
print(sum(c for c, _, _ in chosen), sum(c > 0 for c, _, _ in chosen))
""",
        "does not see that it cannot be done": """\
n, m = map(int, input().split())
lines = sorted([*map(int, input().split())][::-1] for _ in range(m))
p = list(range(n + 1))
def root(x):
    while p[x] != x:
        x = p[x]
    return x
price = bought = 0
for c, a, b in lines:
    a, b = root(a), root(b)
    if a != b:
        p[a] = b
        price, bought = price + c, bought + (c > 0)
print(price, bought)
""",
        "counts all lines": """\
n, m = map(int, input().split())
lines = sorted([*map(int, input().split())][::-1] for _ in range(m))
p = list(range(n + 1))
def root(x):
    while p[x] != x:
        p[x] = p[p[x]]
        x = p[x]
    return x
price, parts = 0, n
for c, a, b in lines:
    a, b = root(a), root(b)
    if a != b:
        p[a] = b
        price, parts = price + c, parts - 1
print(*((price, n - 1) if parts == 1 else (-1,)))
""",
    },
    cpp="""\
#include <algorithm>
#include <array>
#include <iostream>
#include <numeric>
#include <vector>

std::vector<int> parent;

int root(int farm) { return parent[farm] == farm ? farm : parent[farm] = root(parent[farm]); }

int main() {
    int n, m;
    std::cin >> n >> m;
    std::vector<std::array<int, 3>> lines(m);
    for (auto& [cost, a, b] : lines) std::cin >> a >> b >> cost;
    std::sort(lines.begin(), lines.end());
    parent.resize(n + 1);
    std::iota(parent.begin(), parent.end(), 0);
    long long price = 0;
    int bought = 0, parts = n;
    for (auto [cost, a, b] : lines)
        if (root(a) != root(b)) {
            parent[root(a)] = root(b);
            price += cost;
            bought += cost > 0;
            --parts;
        }
    if (parts == 1) std::cout << price << " " << bought << "\\n";
    else std::cout << -1 << "\\n";
}
""",
)
