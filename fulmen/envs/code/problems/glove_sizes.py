"""The largest matching of people and things."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, check_ints, require


def generate(rng: random.Random, size: int) -> str:
    things = rng.randint(max(1, size // 2), size)
    per_person = rng.choice((1, 2, 4))
    lines = []
    for i in range(size):
        near = rng.randint(1, things) if rng.random() < 0.5 else min(things, i + 1)
        liked = {min(things, max(1, near + rng.randint(-2, 2))) for _ in range(rng.randint(0, per_person))}
        lines.append(" ".join(map(str, [len(liked), *sorted(liked)])))
    rng.shuffle(lines)
    return f"{size} {things}\n" + "\n".join(lines) + "\n"


def validate(given: Given) -> None:
    people, things = given.ints(2, low=1, high=400)
    for _ in range(people):
        words = [int(word) for word in given.line().split(" ")]
        require(len(words) == words[0] + 1 <= 21 and len(set(words[1:])) == words[0], "list")
        check_ints(words[1:], low=1, high=things)


PROBLEM = Problem(
    name="glove_sizes",
    level="hard",
    en=Text(
        task="A shop has a single pair of gloves of each of m kinds. Every customer names the kinds that would fit. "
        "How many customers can be served at most, each with one pair?",
        given="A line with the numbers of customers and of kinds (1 to 400 each), then a line per customer: how many "
        "kinds fit (0 to 20), then these kinds, all different.",
        wanted="The greatest number of customers served.",
    ),
    samples=(("3 3\n2 1 2\n1 1\n2 2 3\n", "3\n"), ("2 1\n1 1\n1 1\n", "1\n")),
    generate=generate,
    validate=validate,
    small=6,
    large=400,
    edges=("1 1\n0\n", "1 1\n1 1\n", "3 2\n1 1\n2 1 2\n1 2\n", "4 4\n2 1 2\n2 1 2\n2 2 3\n2 3 4\n"),
    idea="Serve customers one by one; where all kinds are taken, ask whoever has one to move on to another kind "
    "(augmenting paths).",
    solution="""\
people, kinds = map(int, input().split())
fits = [list(map(int, input().split()))[1:] for _ in range(people)]
owner = {}

def serve(person, asked):
    for kind in fits[person]:
        if kind not in asked:
            asked.add(kind)
            if kind not in owner or serve(owner[kind], asked):
                owner[kind] = person
                return True
    return False

print(sum(serve(person, set()) for person in range(people)))
""",
    brute="""\
people, kinds = map(int, input().split())
fits = [list(map(int, input().split()))[1:] for _ in range(people)]

def most(person, left):
    if person == people:
        return 0
    return max([most(person + 1, left)] + [1 + most(person + 1, left - {k}) for k in fits[person] if k in left])

print(most(0, frozenset(range(1, kinds + 1))))
""",
    wrong={
        "first come, first served": """\
people, kinds = map(int, input().split())
left = set(range(1, kinds + 1))
served = 0
for _ in range(people):
    for kind in list(map(int, input().split()))[1:]:
        if kind in left:
            left.remove(kind)
            served += 1
            break
print(served)
""",
        "the choosiest first": """\
people, kinds = map(int, input().split())
fits = sorted((list(map(int, input().split()))[1:] for _ in range(people)), key=len)
left = set(range(1, kinds + 1))
served = 0
for liked in fits:
    for kind in liked:
        if kind in left:
            left.remove(kind)
            served += 1
            break
print(served)
""",
        "counts kinds that somebody wants": """\
people, kinds = map(int, input().split())
fits = [list(map(int, input().split()))[1:] for _ in range(people)]
print(min(sum(map(bool, fits)), len({k for liked in fits for k in liked})))
""",
    },
    cpp="""\
#include <iostream>
#include <vector>

std::vector<std::vector<int>> fits;
std::vector<int> owner;
std::vector<bool> asked;

bool serve(int person) {
    for (int kind : fits[person]) {
        if (asked[kind]) continue;
        asked[kind] = true;
        if (owner[kind] < 0 || serve(owner[kind])) {
            owner[kind] = person;
            return true;
        }
    }
    return false;
}

int main() {
    int people, kinds, served = 0;
    std::cin >> people >> kinds;
    fits.resize(people);
    owner.assign(kinds + 1, -1);
    for (auto& list : fits) {
        int count;
        std::cin >> count;
        list.resize(count);
        for (int& kind : list) std::cin >> kind;
    }
    for (int person = 0; person < people; ++person) {
        asked.assign(kinds + 1, false);
        served += serve(person);
    }
    std::cout << served << "\\n";
}
""",
)
