"""What holds for every family: golden answers pass, changed ones and unfinished work do not."""

import random
from fractions import Fraction

import pytest

from fulmen.envs import load
from fulmen.envs.catalogue import env_class, logic_names, math_names, names
from fulmen.envs.conformance import make_tasks
from fulmen.envs.math.family import FORMS, MathFamily
from fulmen.errors import ConfigError, TaskError
from fulmen.types import Task

each_family = pytest.mark.parametrize("name", math_names())


def family(name: str, level: int = 3, **knobs: object) -> MathFamily:
    found = load(name, level=level, **knobs)
    assert isinstance(found, MathFamily)
    return found


def test_names() -> None:
    assert len(math_names()) == 28
    assert all(name.startswith("math_") for name in math_names())
    assert not set(math_names()) & set(logic_names())
    assert set(math_names()) < set(names())
    assert all(env_class(name).__module__ == f"fulmen.envs.math.{name}" for name in math_names())


@each_family
def test_golden_answers_and_worked_solutions_at_every_level(name: str) -> None:
    for level in range(1, 6):
        for language in ("en", "zh"):
            env = family(name, level, language=language)
            for split in ("train", "heldout"):
                for task in make_tasks(env, 5, split=split):  # type: ignore[arg-type]
                    assert env.check(task, task.gold).value == 1.0, task
                    thinking = env.solve_aloud(task, random.Random(0))
                    assert thinking.strip(), task


@each_family
def test_every_kind_is_in_some_level_or_can_be_asked_for(name: str) -> None:
    env = family(name)
    for kind in env.makers():
        (task,) = make_tasks(family(name, 3, kinds=(kind,)), 1)
        assert task.meta["kind"] == kind
    used = {kind for level in range(1, 6) for kind in family(name, level).kinds}
    assert used == set(env.makers())


@each_family
def test_level_one_has_many_problems(name: str) -> None:
    tasks = make_tasks(family(name, 1), 400)
    assert len({task.content_hash for task in tasks}) > 320


def mutations(task: Task) -> list[str]:
    """Returns answers near the golden one that are wrong."""
    gold = task.gold
    form = task.meta["form"]
    if form in ("integer", "fraction"):
        value = Fraction(gold)
        wrong = [value + 1, value - 1, -value, value * 10, value + Fraction(1, 7), 1 / value if value else 5]
        return [str(w) for w in wrong if w != value]
    changed = []
    for i, character in enumerate(gold):
        if character.isdigit():
            changed.append(f"{gold[:i]}{(int(character) + 1) % 10 or 3}{gold[i + 1 :]}")
    if form == "interval":
        changed += [
            gold.translate(str.maketrans("[]", "()")),
            gold.split(" ∪ ")[0] if "∪" in gold else f"{gold} ∪ (900, 901)",
        ]
    return [text for text in changed if text != gold]


@each_family
def test_changed_answers_score_nothing(name: str) -> None:
    for level in (2, 4):
        env = family(name, level)
        for task in make_tasks(env, 3):
            for text in mutations(task):
                assert env.check(task, text).value == 0.0, (text, task.gold)


@each_family
def test_the_question_is_no_answer(name: str) -> None:
    env = family(name)
    for task in make_tasks(env, 2):
        prompt = task.prompt[0].content
        for text in (prompt, *prompt.split("\n"), f"{task.gold} + 0", f"{task.gold}, {task.gold}", "x", "0/0"):
            assert env.check(task, text).value == 0.0, text
        for level_word in ("unknown", "\\infty - \\infty", "9^{9^{9}}", "1" * 5000):
            assert env.check(task, level_word).value == 0.0


@pytest.mark.parametrize(
    ("name", "knobs", "answer"),
    [
        ("math_arithmetic", {"kinds": ("plus_minus",)}, lambda t: t.meta["data"][0]),
        ("math_arithmetic", {}, lambda t: f"{2 * int(t.gold)}/2"),
        ("math_fractions", {"kinds": ("sum",)}, lambda t: t.meta["data"][0]),
        ("math_fractions", {"kinds": ("product",)}, lambda t: t.meta["data"][0]),
        ("math_polynomials", {"kinds": ("expand",)}, lambda t: t.meta["data"][0]),
        ("math_matrices", {}, lambda t: f"{t.gold}*1"),
        ("math_modular_arithmetic", {"kinds": ("power",)}, lambda t: f"{t.gold}^1"),
        ("math_complex_numbers", {"kinds": ("product",)}, lambda t: "({}+{}i)({}+{}i)".format(*t.meta["data"][0])),
        ("math_complex_numbers", {"kinds": ("quotient",)}, lambda t: "({}+{}i)/({}+{}i)".format(*t.meta["data"][0])),
        ("math_counting", {"kinds": ("together",)}, lambda t: f"{t.meta['data'][1] + 1}!*{t.meta['data'][0]}!"),
        ("math_circles", {"kinds": ("chord",)}, lambda t: r"2\sqrt{{{}^2-{}^2}}".format(*t.meta["data"])),
    ],
)
def test_unfinished_work_scores_nothing(name: str, knobs: dict[str, object], answer: object) -> None:
    env = family(name, **knobs)
    for task in make_tasks(env, 10):
        text = answer(task)  # type: ignore[operator]
        score = env.check(task, text)
        assert score.value == 0.0, (text, task.gold)


@pytest.mark.parametrize(
    ("name", "kind", "rewrite"),
    [
        ("math_arithmetic", "mixed", lambda g: f"{int(g):,}"),
        ("math_arithmetic", "mixed", lambda g: f"${g}$."),
        ("math_linear_equations", "two_sides", lambda g: f"x = {g}"),
        ("math_fractions", "sum", lambda g: r"\frac{{{}}}{{{}}}".format(*(g + "/1").split("/")[:2])),
        ("math_percentages", "what_percent", lambda g: f"{g}%"),
        ("math_linear_systems", "solve", lambda g: g.replace(" ", "")),
        ("math_linear_systems", "solve", lambda g: "x = {}, y = {}".format(*g.strip("()").split(", "))),
        ("math_quadratics", "integers", lambda g: r"x = {} \text{{ or }} x = {}".format(*g.split(", "))),
        ("math_quadratics", "integers", lambda g: ", ".join(reversed(g.split(", ")))),
        ("math_inequalities", "linear", lambda g: g.replace("∞", r"\infty")),
        ("math_inequalities", "quadratic", lambda g: g.replace("∪", r"\cup").replace("∞", r"\infty")),
        ("math_polynomials", "expand", lambda g: " + ".join(reversed(g.replace("- ", "+ -").split(" + ")))),
        ("math_circles", "sector", lambda g: g.replace(r"\pi", "π")),
        ("math_triangles", "law_of_cosines", lambda g: g.replace(r"\sqrt{", "sqrt(").replace("}", ")")),
        ("math_complex_numbers", "product", lambda g: g.replace(" ", "")),
    ],
)
def test_other_ways_to_write_an_answer(name: str, kind: str, rewrite: object) -> None:
    env = family(name, kinds=(kind,))
    for task in make_tasks(env, 12):
        text = rewrite(task.gold)  # type: ignore[operator]
        assert env.check(task, text).value == 1.0, (text, task.gold, env.check(task, text).info)


@each_family
def test_settings_out_of_bounds(name: str) -> None:
    env = family(name)
    for knob, (low, high) in env.bounds.items():
        for value in (low - 1, high + 1):
            with pytest.raises(ConfigError, match=knob):
                load(name, **{knob: value})
    for kinds in ((), ("no_such_kind",), "abc"):
        with pytest.raises(ConfigError, match="kinds"):
            load(name, kinds=kinds)


def test_a_task_without_its_answer_is_refused() -> None:
    env = family("math_arithmetic")
    (task,) = make_tasks(env, 1)
    with pytest.raises(TaskError, match="answer"):
        env.check(Task(**{**vars(task), "meta": {}}), "1")


def test_the_example_of_a_form_is_not_the_answer() -> None:
    assert all(likes[0] != likes[1] or not likes[0] for likes, _, _ in FORMS.values())
    for task in make_tasks(family("math_quadratics", 1), 300):
        assert task.gold not in task.prompt[0].content.split("such as ")[-1]
