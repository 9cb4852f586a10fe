import itertools
import re

import pytest

from tests.envs.logic import every_puzzle as every

NAME = "knights_and_knaves"


@pytest.mark.parametrize("level", range(1, 6))
def test_gold(level: int) -> None:
    every.check_some_gold(NAME, level=level, num=6 if level < 4 else 1)


@pytest.mark.slow
@pytest.mark.parametrize("level", range(1, 6))
def test_much_gold(level: int) -> None:
    every.check_gold(NAME, level=level, num=50)


def test_common() -> None:
    every.check_attacks(NAME)
    every.check_prompts(NAME)
    every.check_variety(NAME, least=270)
    every.check_bounds(NAME, {"num_people": 2}, {"num_people": 9}, {"depth": 0}, {"depth": 4})


def holds(clause: str, kinds: dict[str, str]) -> bool:
    """Reads a clause of a prompt at depth 2 and says whether it is true: the words themselves, not their records."""
    clause = clause[0].upper() + clause[1:]
    if match := re.fullmatch(r"(\w+ is an? \w+), (and|or) (\w+ is an? \w+)", clause):
        one, other = holds(match[1], kinds), holds(match[3], kinds)
        return (one and other) if match[2] == "and" else (one or other)
    if match := re.fullmatch(r"(\w+) is an? (\w+)", clause):
        return kinds[match[1]] == match[2]
    if match := re.fullmatch(r"(\w+) and (\w+) are of (the same kind|different kinds)", clause):
        return (kinds[match[1]] == kinds[match[2]]) == (match[3] == "the same kind")
    match = re.fullmatch(r"The number of (\w+)s among (.*) is (exactly|at least|at most) (\d)", clause)
    assert match, clause
    count = [kinds[name] for name in re.split(r", | and ", match[2])].count(match[1])
    number = int(match[4])
    return {"exactly": count == number, "at least": count >= number, "at most": count <= number}[match[3]]


@pytest.mark.parametrize("level", [1, 2, 3])
def test_the_printed_words_leave_the_gold_alone(level: int) -> None:
    for env, task in every.make(NAME, level, 4):
        said: dict[str, list[str]] = {}
        for name, clause in re.findall(r"^(\w+): (.*)\.$", task.prompt[0].content, re.M):
            said.setdefault(name, []).append(clause)
        assert list(said) == task.meta["names"]
        right = []
        for guess in itertools.product(task.meta["roles"], repeat=len(said)):
            kinds = dict(zip(said, guess, strict=True))
            sums = {name: sum(holds(clause, kinds) for clause in clauses) for name, clauses in said.items()}
            fits = all(sums[name] == {"knight": 2, "knave": 0, "alternator": 1}[kinds[name]] for name in said)
            answer = ", ".join(f"{name}: {kind}" for name, kind in kinds.items())
            assert env.check(task, answer).value == float(fits)
            right += [answer] if fits else []
        assert right == [task.gold]


def test_forms_that_a_person_would_accept() -> None:
    for language in ("en", "zh"):
        for env, task in every.make(NAME, 2, 3, language=language):
            names, roles = task.meta["names"], [task.meta["roles"][kind] for kind in task.meta["kinds"]]
            pairs = list(zip(names, roles, strict=True))
            for text in (
                "\n".join(f"{name}: {role}" for name, role in reversed(pairs)),
                "; ".join(f"{name} = {role}" for name, role in pairs),
                ", ".join(f"{name} -> a {role}" for name, role in pairs),
                "{" + ", ".join(f'"{name}": "{role}"' for name, role in pairs) + "}",
                "，".join(f"{name}：{role}" for name, role in pairs) + "。",
                task.gold.upper(),
            ):
                assert env.check(task, text).value == 1.0, text
            for text in (
                ", ".join(f"{name}: {role}" for name, role in pairs[1:]),
                ", ".join(f"{name}: {' '.join(task.meta['roles'])}" for name in names),
                ", ".join(names),
                f"{task.gold}, {names[0]}: {roles[0]}",
                f"{task.gold}, Zed: {roles[0]}",
            ):
                assert env.check(task, text).value == 0.0, text


def test_alternators_come_with_their_rule() -> None:
    (_, without), *_ = every.make(NAME, 1, 1)
    (_, with_them), *_ = every.make(NAME, 2, 1)
    assert "alternator" not in without.prompt[0].content
    assert "exactly one of the two is true" in with_them.prompt[0].content
    assert set(with_them.meta["kinds"]) == {0, 1, 2}
