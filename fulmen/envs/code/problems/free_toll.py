"""The cheapest route with one road for nothing."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, require


def generate(rng: random.Random, size: int) -> str:
    num = max(2, size)
    edges = []
    for i in range(2, num + 1):
        if rng.random() < 0.95:
            edges.append((rng.randint(max(1, i - 5), i - 1), i, rng.randint(1, rng.choice((10, 10**6)))))
    for _ in range(rng.choice((0, num, 2 * num))):
        edges.append((rng.randint(1, num), rng.randint(1, num), rng.randint(1, 10**6)))
    edges = edges or [(1, 1, 1)]
    rng.shuffle(edges)
    return f"{num} {len(edges)}\n" + "".join(f"{a} {b} {c}\n" for a, b, c in edges)


def validate(given: Given) -> None:
    num, count = given.ints(2, low=1, high=12000)
    require(2 <= num <= 4000, "n")
    for _ in range(count):
        a, b, toll = given.ints(3, low=1, high=10**6)
        require(max(a, b) <= num and toll >= 1, "road")


PROBLEM = Problem(
    name="free_toll",
    level="hard",
    en=Text(
        task="Towns are joined by roads that can be used both ways, each for a toll. A merchant travels from town 1 "
        "to town n and owns one voucher, good for a single passage of a single road without toll. What is the least "
        "sum of tolls?",
        given="A line with n (2 to 4000) and m (1 to 12000), then m lines with two towns and the toll (1 to 10^6) of "
        "the road between them. There may be several roads between two towns, and roads from a town to itself.",
        wanted="The least sum, or -1 if the journey is impossible.",
    ),
    samples=(("3 3\n1 2 5\n2 3 7\n1 3 20\n", "0\n"), ("4 3\n1 2 3\n2 3 4\n3 4 5\n", "7\n"), ("3 1\n1 2 1\n", "-1\n")),
    generate=generate,
    validate=validate,
    small=6,
    large=4000,
    edges=("2 1\n2 1 9\n", "2 1\n1 1 1\n", "5 6\n1 2 1\n2 3 1\n3 5 100\n1 4 50\n4 5 50\n2 5 90\n"),
    idea="Dijkstra on pairs of a town and whether the voucher is still there.",
    solution="""\
import sys
from heapq import heappop, heappush

data = list(map(int, sys.stdin.read().split()))
n, m = data[:2]
roads = [[] for _ in range(n + 1)]
for i in range(2, 2 + 3 * m, 3):
    a, b, toll = data[i:i + 3]
    roads[a].append((b, toll))
    roads[b].append((a, toll))
best = {}
heap = [(0, 1, 0)]
while heap:
    cost, town, used = heappop(heap)
    if (town, used) in best:
        continue
    best[town, used] = cost
    for near, toll in roads[town]:
        if (near, used) not in best:
            heappush(heap, (cost + toll, near, used))
        if not used and (near, 1) not in best:
            heappush(heap, (cost, near, 1))
print(best.get((n, 1), -1))
""",
    brute="""\
n, m = map(int, input().split())
roads = [tuple(map(int, input().split())) for _ in range(m)]

def cheapest(free):
    far = 10**12
    cost = [far] * (n + 1)
    cost[1] = 0
    for _ in range(n):
        for i, (a, b, toll) in enumerate(roads):
            toll = 0 if i == free else toll
            cost[b] = min(cost[b], cost[a] + toll)
            cost[a] = min(cost[a], cost[b] + toll)
    return cost[n]

best = min(cheapest(free) for free in range(m))
print(best if best < 10**12 else -1)
""",
    wrong={
        "the dearest road of the cheapest route": """\
import heapq

n, m = map(int, input().split())
g = [[] for _ in range(n + 1)]
for _ in range(m):
    a, b, c = map(int, input().split())
    g[a].append((b, c))
    g[b].append((a, c))
done, heap = {}, [(0, 1, 0)]
while heap:
    cost, town, top = heapq.heappop(heap)
    if town in done:
        continue
    done[town] = cost - top
    for near, c in g[town]:
        heapq.heappush(heap, (cost + c, near, max(top, c)))
print(done.get(n, -1))
""",
        "one-way roads": """\
import heapq

n, m = map(int, input().split())
g = [[] for _ in range(n + 1)]
for _ in range(m):
    a, b, c = map(int, input().split())
    g[a].append((b, c))
best, heap = {}, [(0, 1, 0)]
while heap:
    cost, town, used = heapq.heappop(heap)
    if (town, used) in best:
        continue
    best[town, used] = cost
    for near, c in g[town]:
        heapq.heappush(heap, (cost + c, near, used))
        if not used:
            heapq.heappush(heap, (cost, near, 1))
print(best.get((n, 1), -1))
""",
        "a search per road": """\
import heapq

n, m = map(int, input().split())
roads = [tuple(map(int, input().split())) for _ in range(m)]
answer = None
for free in range(m):
    g = [[] for _ in range(n + 1)]
    for i, (a, b, c) in enumerate(roads):
        c = 0 if i == free else c
        g[a].append((b, c))
        g[b].append((a, c))
    done, heap = {}, [(0, 1)]
    while heap:
        cost, town = heapq.heappop(heap)
        if town not in done:
            done[town] = cost
            for near, c in g[town]:
                heapq.heappush(heap, (cost + c, near))
    if n in done:
        answer = done[n] if answer is None else min(answer, done[n])
print(-1 if answer is None else answer)
""",
    },
    cpp="""\
#include <algorithm>
#include <array>
#include <functional>
#include <iostream>
#include <queue>
#include <vector>

int main() {
    int n, m;
    std::cin >> n >> m;
    std::vector<std::vector<std::pair<int, int>>> roads(n + 1);
    while (m--) {
        int a, b, toll;
        std::cin >> a >> b >> toll;
        roads[a].push_back({b, toll});
        roads[b].push_back({a, toll});
    }
    const long long far = 1LL << 60;
    std::vector<std::array<long long, 2>> best(n + 1, {far, far});
    using Item = std::array<long long, 3>;
    std::priority_queue<Item, std::vector<Item>, std::greater<Item>> heap;
    best[1][0] = 0;
    heap.push({0, 1, 0});
    while (!heap.empty()) {
        auto [cost, town, used] = heap.top();
        heap.pop();
        if (cost > best[town][used]) continue;
        for (auto [near, toll] : roads[town])
            for (int spend = 0; spend + used < 2; ++spend) {
                long long next = cost + (spend ? 0 : toll);
                if (next < best[near][used + spend]) {
                    best[near][used + spend] = next;
                    heap.push({next, near, used + spend});
                }
            }
    }
    std::cout << (best[n][1] < far ? best[n][1] : -1) << "\\n";
}
""",
)
