"""A far member of a linear recurrence, modulo m."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, require


def generate(rng: random.Random, size: int) -> str:
    far = rng.randint(0, 10 ** rng.randint(1, size) if size < 18 else 10**18)
    modulus = rng.choice((1, 2, 10, 10**9 + 7, rng.randint(1, 2 * 10**9)))
    values = [rng.randint(0, rng.choice((3, 10**9))) for _ in range(6)]
    return f"{far} {modulus}\n{' '.join(map(str, values))}\n"


def validate(given: Given) -> None:
    _, modulus = given.ints(2, low=0, high=10**18)
    require(1 <= modulus <= 2 * 10**9, "m")
    given.ints(6, low=0, high=10**9)


PROBLEM = Problem(
    name="rabbit_years",
    level="hard",
    en=Text(
        task="A warden counts rabbits: in the years 0, 1 and 2 there are a, b and c of them. From then on there are, "
        "each year, p times as many as in the year before, plus q times as many as two years before, plus r times as "
        "many as three years before. How many are there in year n, modulo m?",
        given="A line with n (0 to 10^18) and m (1 to 2*10^9), then a line with a, b, c, p, q, r (0 to 10^9 each).",
        wanted="The number modulo m.",
    ),
    samples=(("4 1000\n1 1 2 1 1 0\n", "5\n"), ("1 2\n0 5 0 1 1 1\n", "1\n")),
    generate=generate,
    validate=validate,
    small=4,
    large=18,
    edges=(
        "0 7\n9 0 0 1 1 1\n",
        "2 1\n5 5 5 5 5 5\n",
        "3 100\n1 2 3 4 5 6\n",
        "1000000000000000000 1999999999\n1 2 3 4 5 6\n",
    ),
    idea="The step from one year to the next is a 3 x 3 matrix; raise it to the n-th power by squaring.",
    solution="""\
n, m = map(int, input().split())
a, b, c, p, q, r = map(int, input().split())

def times(x, y):
    return [[sum(x[i][k] * y[k][j] for k in range(3)) % m for j in range(3)] for i in range(3)]

step = [[0, 1, 0], [0, 0, 1], [r, q, p]]
power = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
while n:
    if n & 1:
        power = times(power, step)
    step = times(step, step)
    n >>= 1
print((power[0][0] * a + power[0][1] * b + power[0][2] * c) % m)
""",
    brute="""\
n, m = map(int, input().split())
a, b, c, p, q, r = map(int, input().split())
for _ in range(n):
    a, b, c = b, c, (p * c + q * b + r * a) % m
print(a % m)
""",
    wrong={
        "year by year": """\
n, m = map(int, input().split())
a, b, c, p, q, r = map(int, input().split())
year = 0
while year < n:
    a, b, c = b, c, (p * c + q * b + r * a) % m
    year += 1
print(a % m)
""",
        "p and r the other way round": """\
n, m = map(int, input().split())
a, b, c, p, q, r = map(int, input().split())
for _ in range(min(n, 200000)):
    a, b, c = b, c, (r * c + q * b + p * a) % m
print(a % m)
""",
        "no remainder in the first years": """\
n, m = map(int, input().split())
v = list(map(int, input().split()))
p, q, r = v[3:]
if n < 3:
    print(v[n])
else:
    a, b, c = v[:3]
    for _ in range(min(n, 200000)):
        a, b, c = b, c, (p * c + q * b + r * a) % m
    print(a % m)
""",
    },
    cpp="""\
#include <array>
#include <iostream>

using Matrix = std::array<std::array<unsigned long long, 3>, 3>;

int main() {
    unsigned long long n, m, a, b, c, p, q, r;
    std::cin >> n >> m >> a >> b >> c >> p >> q >> r;
    auto times = [m](const Matrix& x, const Matrix& y) {
        Matrix z{};
        for (int i = 0; i < 3; ++i)
            for (int j = 0; j < 3; ++j)
                for (int k = 0; k < 3; ++k) z[i][j] = (z[i][j] + x[i][k] * y[k][j] % m) % m;
        return z;
    };
    Matrix step{{{0, 1 % m, 0}, {0, 0, 1 % m}, {r % m, q % m, p % m}}};
    Matrix power{{{1 % m, 0, 0}, {0, 1 % m, 0}, {0, 0, 1 % m}}};
    for (; n; n >>= 1) {
        if (n & 1) power = times(power, step);
        step = times(step, step);
    }
    std::cout << (power[0][0] * (a % m) % m + power[0][1] * (b % m) % m + power[0][2] * (c % m) % m) % m << "\\n";
}
""",
)
