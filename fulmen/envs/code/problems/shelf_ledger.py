"""Sums of ranges while single values change."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, check_int, require


def generate(rng: random.Random, size: int) -> str:
    reach = rng.choice((3, 10**9))
    values = [rng.randint(-reach, reach) for _ in range(size)]
    lines = []
    for _ in range(size):
        if rng.random() < 0.4:
            lines.append(f"add {rng.randint(1, size)} {rng.randint(-reach, reach)}")
        else:
            a, b = sorted((rng.randint(1, size), rng.randint(1, size)))
            lines.append(f"sum {a} {b}" if rng.random() < 0.8 else f"sum 1 {size}")
    lines[-1] = f"sum 1 {size}"
    return f"{size} {len(lines)}\n{' '.join(map(str, values))}\n" + "\n".join(lines) + "\n"


def validate(given: Given) -> None:
    num, count = given.ints(2, low=1, high=10000)
    given.ints(num, low=-(10**9), high=10**9)
    for _ in range(count):
        word, a, b = given.line().split(" ")
        check_int(int(a), low=1, high=num)
        check_int(int(b), low=int(a) if word == "sum" else -(10**9), high=num if word == "sum" else 10**9)
        require(word in ("sum", "add"), "operation")


PROBLEM = Problem(
    name="shelf_ledger",
    level="hard",
    en=Text(
        task="A warehouse has shelves 1 to n, each with a balance. `add i x` adds x to the balance of shelf i. `sum "
        "i j` asks for the total of shelves i to j, both included, at that moment.",
        given="A line with n and the number q of operations (1 to 10000 each), then a line with n balances, then q "
        "lines with one operation each. Balances at the start and x are from -10^9 to 10^9, and i <= j.",
        wanted="How many answers to a `sum` are negative, and the total of all answers; there is at least one `sum`.",
    ),
    samples=(("3 4\n5 -2 7\nsum 1 3\nadd 2 4\nsum 2 2\nsum 1 2\n", "0 19\n"),),
    generate=generate,
    validate=validate,
    small=6,
    large=10000,
    edges=("1 1\n-5\nsum 1 1\n", "2 3\n0 0\nadd 1 1000000000\nadd 1 1000000000\nsum 1 2\n", "3 1\n1 2 3\nsum 3 3\n"),
    cpu_s=1.0,
    idea="A Fenwick tree answers sums of prefixes and takes changes in logarithmic time; a range is the difference "
    "of two.",
    solution="""\
import sys

lines = sys.stdin.read().split("\\n")
n, q = map(int, lines[0].split())
tree = [0] * (n + 1)

def add(place, x):
    while place <= n:
        tree[place] += x
        place += place & -place

def prefix(place):
    total = 0
    while place > 0:
        total += tree[place]
        place -= place & -place
    return total

for place, balance in enumerate(lines[1].split(), start=1):
    add(place, int(balance))
out = []
for line in lines[2:2 + q]:
    word, a, b = line.split()
    if word == "add":
        add(int(a), int(b))
    else:
        out.append(prefix(int(b)) - prefix(int(a) - 1))
print(sum(answer < 0 for answer in out), sum(out))
""",
    brute="""\
n, q = map(int, input().split())
balance = list(map(int, input().split()))
answers = []
for _ in range(q):
    word, a, b = input().split()
    if word == "add":
        balance[int(a) - 1] += int(b)
    else:
        answers.append(sum(balance[int(a) - 1:int(b)]))
print(sum(answer < 0 for answer in answers), sum(answers))
""",
    wrong={
        "element by element": """\
n, q = map(int, input().split())
balance = list(map(int, input().split()))
negative = everything = 0
for _ in range(q):
    word, a, b = input().split()
    if word == "add":
        balance[int(a) - 1] += int(b)
    else:
        total = 0
        for i in range(int(a) - 1, int(b)):
            total += balance[i]
        negative, everything = negative + (total < 0), everything + total
print(negative, everything)
""",
        "sets in place of adding": """\
n, q = map(int, input().split())
balance = list(map(int, input().split()))
answers = []
for _ in range(q):
    word, a, b = input().split()
    if word == "add":
        balance[int(a) - 1] = int(b)
    else:
        answers.append(sum(balance[int(a) - 1:int(b)]))
print(sum(x < 0 for x in answers), sum(answers))
""",
        "prefix sums of the start": """\
from itertools import accumulate

n, q = map(int, input().split())
pre = [0, *accumulate(map(int, input().split()))]
answers = []
for _ in range(q):
    word, a, b = input().split()
    if word == "sum":
        answers.append(pre[int(b)] - pre[int(a) - 1])
print(sum(x < 0 for x in answers), sum(answers))
""",
    },
    cpp="""\
#include <iostream>
#include <string>
#include <vector>

int main() {
    int n, q;
    std::cin >> n >> q;
    int base = 1;
    while (base < n) base *= 2;
    std::vector<long long> tree(2 * base);
    for (int i = 0; i < n; ++i) std::cin >> tree[base + i];
    for (int i = base - 1; i > 0; --i) tree[i] = tree[2 * i] + tree[2 * i + 1];
    long long negative = 0, everything = 0;
    while (q--) {
        std::string word;
        long long a, b;
        std::cin >> word >> a >> b;
        if (word == "add") {
            for (int i = base + a - 1; i > 0; i /= 2) tree[i] += b;
        } else {
            long long total = 0;
            for (int l = base + a - 1, r = base + b; l < r; l /= 2, r /= 2) {
                if (l & 1) total += tree[l++];
                if (r & 1) total += tree[--r];
            }
            negative += total < 0;
            everything += total;
        }
    }
    std::cout << negative << " " << everything << "\\n";
}
""",
)
