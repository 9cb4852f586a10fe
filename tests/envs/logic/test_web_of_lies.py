import itertools

import pytest

from fulmen.envs.solve.liars import is_true
from tests.envs.logic import every_puzzle as every

NAME = "web_of_lies"


@pytest.mark.parametrize("level", range(1, 6))
def test_gold(level: int) -> None:
    every.check_some_gold(NAME, level=level, num=6 if level < 5 else 1)


@pytest.mark.slow
@pytest.mark.parametrize("level", range(1, 6))
def test_much_gold(level: int) -> None:
    every.check_gold(NAME, level=level, num=50)


def test_common() -> None:
    every.check_attacks(NAME)
    every.check_prompts(NAME)
    every.check_variety(NAME)
    every.check_bounds(NAME, {"num_people": 2}, {"num_people": 19}, {"variety": 0}, {"variety": 4})


def test_exactly_one_set_of_people_is_right() -> None:
    for env, task in every.make(NAME, 2, 6):
        names, right = task.meta["names"], []
        for roles in itertools.product((0, 1), repeat=len(names)):
            truthful = [name for name, role in zip(names, roles, strict=True) if role == 0]
            fits = all(
                (role == 0) == is_true(said[0], roles) for role, said in zip(roles, task.meta["said"], strict=True)
            )
            assert env.check(task, ", ".join(truthful)).value == float(fits)
            right += [truthful] if fits else []
        assert right == [task.meta["truthful"]]
        assert 0 < len(right[0]) < len(names)


def test_forms_that_a_person_would_accept() -> None:
    for language in ("en", "zh"):
        for env, task in every.make(NAME, 3, 4, language=language):
            names = task.meta["truthful"]
            for text in (
                " ".join(names),
                "\n".join(reversed(names)),
                "、".join(names),
                str(names),
                " and ".join(names),
                ", ".join(names).upper(),
                "，".join(names) + "。",
            ):
                assert env.check(task, text).value == 1.0, text
            for text in (", ".join(task.meta["names"]), "nobody", f"{names[0]}, {task.gold}", f"not {task.gold}"):
                assert env.check(task, text).value == 0.0, text
