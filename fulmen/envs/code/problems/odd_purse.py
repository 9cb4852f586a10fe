"""The fewest coins for an amount, with any coins."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, require


def generate(rng: random.Random, size: int) -> str:
    kinds = rng.randint(1, 5)
    high = rng.choice((6, 12, max(6, size)))
    coins = rng.sample(range(rng.choice((1, 2)), high + 2), kinds)
    return f"{size} {kinds}\n{' '.join(map(str, coins))}\n"


def validate(given: Given) -> None:
    _, kinds = given.ints(2, low=1, high=20000)
    coins = given.ints(kinds, low=1, high=20001)
    require(kinds <= 12 and len(set(coins)) == kinds, "coins")


PROBLEM = Problem(
    name="odd_purse",
    level="medium",
    en=Text(
        task="A country mints coins of strange values, as many of each as anyone wants. What is the least number of "
        "coins that pay exactly the amount a?",
        given="A line with a (1 to 20000) and the number k of kinds (1 to 12), then a line with k different values "
        "of coins (1 to 20001).",
        wanted="The least number of coins, or -1 if the amount cannot be paid.",
    ),
    zh=Text(
        task="某国铸造面值古怪的硬币，每种数量不限。恰好支付金额 a 最少需要多少枚硬币？",
        given="第一行是 a（1 到 20000）和种类数 k（1 到 12），第二行是 k 个互不相同的面值（1 到 20001）。",
        wanted="最少的硬币数；若无法支付则为 -1。",
    ),
    samples=(("6 3\n1 3 4\n", "2\n"), ("7 1\n2\n", "-1\n")),
    generate=generate,
    validate=validate,
    small=25,
    large=20000,
    edges=("1 1\n1\n", "1 1\n2\n", "5 1\n5\n", "11 2\n5 6\n", "8 3\n5 4 1\n"),
    idea="The best for an amount is one coin more than the best for what is left after some coin; fill a table "
    "upwards.",
    solution="""\
amount, kinds = map(int, input().split())
coins = list(map(int, input().split()))
never = amount + 1
best = [0] + [never] * amount
for value in range(1, amount + 1):
    for coin in coins:
        if coin <= value and best[value - coin] + 1 < best[value]:
            best[value] = best[value - coin] + 1
print(best[amount] if best[amount] < never else -1)
""",
    brute="""\
amount, kinds = map(int, input().split())
coins = list(map(int, input().split()))
reached, steps = {0}, 0
while reached and amount not in reached:
    reached = {r + c for r in reached for c in coins if r + c <= amount}
    steps += 1
print(steps if reached else -1)
""",
    wrong={
        "greedy": """\
amount, kinds = map(int, input().split())
count = 0
for coin in sorted(map(int, input().split()), reverse=True):
    count += amount // coin
    amount %= coin
print(count if amount == 0 else -1)
""",
        "each coin once": """\
amount, kinds = map(int, input().split())
best = [0] + [10**9] * amount
for coin in map(int, input().split()):
    for value in range(amount, coin - 1, -1):
        best[value] = min(best[value], best[value - coin] + 1)
print(best[amount] if best[amount] < 10**9 else -1)
""",
    },
    cpp="""\
#include <algorithm>
#include <iostream>
#include <vector>

int main() {
    int amount, kinds;
    std::cin >> amount >> kinds;
    std::vector<int> best(amount + 1, amount + 1);
    best[0] = 0;
    while (kinds--) {
        int coin;
        std::cin >> coin;
        for (int value = coin; value <= amount; ++value) best[value] = std::min(best[value], best[value - coin] + 1);
    }
    std::cout << (best[amount] <= amount ? best[amount] : -1) << "\\n";
}
""",
)
