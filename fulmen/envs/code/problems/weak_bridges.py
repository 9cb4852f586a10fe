"""Edges whose loss splits a multigraph."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, require


def generate(rng: random.Random, size: int) -> str:
    shape = rng.random()
    edges = [(i if shape < 0.3 else rng.randint(1, i), i + 1) for i in range(1, size)]
    for _ in range(rng.choice((0, 1, size // 3, size))):
        edges.append((rng.randint(1, size), rng.randint(1, size)))
    if edges and rng.random() < 0.3:
        edges.append(rng.choice(edges))
    if rng.random() < 0.3:
        edges = [edge for edge in edges if rng.random() < 0.8]
    if shape >= 0.3:
        rng.shuffle(edges)
    return f"{size} {len(edges)}\n" + "".join(f"{a} {b}\n" for a, b in edges)


def validate(given: Given) -> None:
    num, count = given.ints(2, low=0, high=20000)
    require(1 <= num <= 8000, "n")
    for _ in range(count):
        given.ints(2, low=1, high=num)


PROBLEM = Problem(
    name="weak_bridges",
    level="hard",
    en=Text(
        task="Islands are joined by bridges; two islands may have several bridges between them, and a bridge may "
        "lead back to its own island. A bridge is weak if closing it alone would cut off some islands from others "
        "that they can reach now.",
        given="A line with n (1 to 8000) islands and m (0 to 20000) bridges, then m lines with the two islands of a "
        "bridge. Bridges are numbered from 1 in this order.",
        wanted="A line with how many bridges are weak, then a line with their numbers in rising order; empty if none "
        "are.",
    ),
    samples=(("4 5\n1 2\n2 3\n3 1\n3 4\n4 4\n", "1\n4\n"), ("2 2\n1 2\n2 1\n", "0\n\n")),
    generate=generate,
    validate=validate,
    small=6,
    large=8000,
    edges=("1 0\n", "1 1\n1 1\n", "3 2\n1 2\n2 3\n", "4 3\n1 2\n1 2\n3 4\n"),
    idea="Depth-first search with the lowest number each subtree reaches back to; the edge into a subtree that "
    "reaches no higher is weak. Edges are told apart by number, so that a second one between two islands counts as a "
    "way back.",
    solution="""\
import sys

data = list(map(int, sys.stdin.read().split()))
n, m = data[:2]
near = [[] for _ in range(n + 1)]
for bridge in range(1, m + 1):
    a, b = data[2 * bridge], data[2 * bridge + 1]
    near[a].append((b, bridge))
    near[b].append((a, bridge))
order, low, weak = [0] * (n + 1), [0] * (n + 1), []
count = 0
for start in range(1, n + 1):
    if order[start]:
        continue
    count += 1
    order[start] = low[start] = count
    stack = [(start, 0, iter(near[start]))]
    while stack:
        island, came, ways = stack[-1]
        for other, bridge in ways:
            if bridge == came:
                continue
            if order[other]:
                low[island] = min(low[island], order[other])
            else:
                count += 1
                order[other] = low[other] = count
                stack.append((other, bridge, iter(near[other])))
                break
        else:
            stack.pop()
            if stack:
                above = stack[-1][0]
                low[above] = min(low[above], low[island])
                if low[island] > order[above]:
                    weak.append(came)
print(len(weak))
print(*sorted(weak))
""",
    brute="""\
n, m = map(int, input().split())
edges = [tuple(map(int, input().split())) for _ in range(m)]

def parts(edges):
    label = list(range(n + 1))
    for a, b in edges:
        x, y = label[a], label[b]
        label = [x if other == y else other for other in label]
    return len(set(label))

weak = [i + 1 for i in range(m) if parts(edges[:i] + edges[i + 1:]) > parts(edges)]
print(len(weak))
print(*weak)
""",
    wrong={
        "recursion, and parents by island": """\
n, m = map(int, input().split())
near = [[] for _ in range(n + 1)]
for k in range(1, m + 1):
    a, b = map(int, input().split())
    near[a].append((b, k))
    near[b].append((a, k))
order, low, weak = {}, {}, []
def visit(v, parent):
    order[v] = low[v] = len(order)
    for w, k in near[v]:
        if w == parent:
            continue
        if w in order:
            low[v] = min(low[v], order[w])
        else:
            visit(w, v)
            low[v] = min(low[v], low[w])
            if low[w] > order[v]:
                weak.append(k)
for v in range(1, n + 1):
    if v not in order:
        visit(v, 0)
print(len(weak))
print(*sorted(weak))
""",
        "bridges to an island with no other": """\
n, m = map(int, input().split())
edges = [tuple(map(int, input().split())) for _ in range(m)]
degree = [0] * (n + 1)
for a, b in edges:
    degree[a] += 1
    degree[b] += 1
weak = [i + 1 for i, (a, b) in enumerate(edges) if a != b and 1 in (degree[a], degree[b])]
print(len(weak))
print(*weak)
""",
        "a search per bridge": """\
n, m = map(int, input().split())
edges = [tuple(map(int, input().split())) for _ in range(m)]
weak = []
for i, (a, b) in enumerate(edges):
    near = {}
    for j, (x, y) in enumerate(edges):
        if j != i:
            near.setdefault(x, []).append(y)
            near.setdefault(y, []).append(x)
    seen, stack = {a}, [a]
    while stack:
        for y in near.get(stack.pop(), []):
            if y not in seen:
                seen.add(y)
                stack.append(y)
    if b not in seen:
        weak.append(i + 1)
print(len(weak))
print(*weak)
""",
    },
    cpp="""\
#include <algorithm>
#include <iostream>
#include <vector>

std::vector<std::vector<std::pair<int, int>>> near_to;
std::vector<int> order_of, low, weak;
int counter = 0;

void visit(int island, int came) {
    order_of[island] = low[island] = ++counter;
    for (auto [other, bridge] : near_to[island]) {
        if (bridge == came) continue;
        if (!order_of[other]) {
            visit(other, bridge);
            if (low[other] > order_of[island]) weak.push_back(bridge);
            low[island] = std::min(low[island], low[other]);
        } else {
            low[island] = std::min(low[island], order_of[other]);
        }
    }
}

int main() {
    int n, m;
    std::cin >> n >> m;
    near_to.resize(n + 1);
    order_of.resize(n + 1);
    low.resize(n + 1);
    for (int bridge = 1; bridge <= m; ++bridge) {
        int a, b;
        std::cin >> a >> b;
        near_to[a].push_back({b, bridge});
        near_to[b].push_back({a, bridge});
    }
    for (int island = 1; island <= n; ++island)
        if (!order_of[island]) visit(island, 0);
    std::sort(weak.begin(), weak.end());
    std::cout << weak.size() << "\\n";
    for (int bridge : weak) std::cout << bridge << " ";
    std::cout << "\\n";
}
""",
)
