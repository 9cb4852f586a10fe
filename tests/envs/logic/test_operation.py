"""Operation: values by rewriting the printed prompt, definitions by hand, ranks and parentheses."""

import random
import re

from fulmen.envs.logic.operation import SYMBOLS, Calculation, Operation
from fulmen.types import Task
from tests.envs.logic import trials

NUMBER = r"-?\d+"


def arithmetic(text: str, rules: dict[str, str]) -> int:
    """The value of a formula in which a and b are numbers already, by rewriting text."""
    text = re.sub(r"\|([^|]*)\|", lambda m: str(abs(arithmetic(m[1], rules))), text)
    for name, choose in (("max", max), ("min", min)):
        pattern = rf"{name}\((.*), (.*)\)"
        text = re.sub(pattern, lambda m: str(choose(arithmetic(m[1], rules), arithmetic(m[2], rules))), text)  # noqa: B023
    while match := re.search(r"\(([^()]*)\)", text):
        inner = match[1]
        symbol = next((s for s in SYMBOLS if s in inner), "")
        value = apply(rules, symbol, *map(int, inner.split(f" {symbol} "))) if symbol else arithmetic(inner, rules)
        text = text.replace(match[0], str(value), 1)
    if " mod " in text:
        left, right = text.split(" mod ")
        return arithmetic(left, rules) % int(right)
    while match := re.search(rf"({NUMBER}) \* ({NUMBER})", text):
        text = text.replace(match[0], str(int(match[1]) * int(match[2])), 1)
    tokens = text.split(" ")
    value = int(tokens[0])
    for sign, number in zip(tokens[1::2], tokens[2::2], strict=True):
        value += int(number) if sign == "+" else -int(number)
    return value


def apply(rules: dict[str, str], symbol: str, a: int, b: int) -> int:
    """The value of `a symbol b` by the sentence that defines the symbol."""
    rule = re.sub(r"\b[ab]\b", lambda m: str({"a": a, "b": b}[m[0]]), rules[symbol])
    match = re.fullmatch(r"(.*) if (.*), otherwise (.*)", rule)
    if match is None:
        return arithmetic(rule, rules)
    left, relation, right = re.fullmatch(r"(.*) (>|=) (.*)", match[2]).groups()
    x, y = arithmetic(left, rules), arithmetic(right, rules)
    return arithmetic(match[1] if (x > y if relation == ">" else x == y) else match[3], rules)


def value_of(prompt: str) -> int:
    rules = dict(re.findall(rf"^a ([{SYMBOLS}]) b = (.*)$", prompt, re.MULTILINE))
    order = re.search(rf"first; ([{SYMBOLS} ]+) bind tighter than", prompt)
    strong = order[1].split() if order else list(rules)
    expression = re.search(rf"(?:Calculate|value of|Evaluate) ([{SYMBOLS}0-9() ]+[0-9)])", prompt)[1]
    return evaluate(expression, rules, strong)


def evaluate(text: str, rules: dict[str, str], strong: list[str]) -> int:
    while match := re.search(r"\(([^()]*)\)", text):
        text = text.replace(match[0], str(evaluate(match[1], rules, strong)), 1)
    for symbols in (strong, list(rules)):
        pattern = rf"({NUMBER}) ([{''.join(symbols)}]) ({NUMBER})"
        while match := re.search(pattern, text):
            result = apply(rules, match[2], int(match[1]), int(match[3]))
            text = text[: match.start()] + str(result) + text[match.end() :]
    return int(text)


def test_agrees_with_the_printed_prompt() -> None:
    for level in range(1, 6):
        env = Operation.at_level(level)
        for task in trials.draw(env, 40):
            value = value_of(task.prompt[0].content)
            assert trials.values(env, task, str(value), str(value + 1), str(-value - 1)) == [1, 0, 0], task.prompt
            assert len(re.findall(r"\d+", str(task.meta["tokens"]).replace("'", ""))) == 2 * env.num_operands - 1


def test_by_hand() -> None:
    definitions = [
        {"form": ["linear", 2, -1, 3]},
        {"form": ["product", 0], "if": "greater", "else": ["distance", 3, 1]},
    ]
    left = Calculation(definitions=definitions, ranks=[1, 1])
    # (4 * 2 - 5 + 3) = 6, then 6 > 2: 12.
    assert left.value([4, "0", 5, "1", 2]) == 12
    # 5 * 2 = 10 first, then 2 * 4 - 10 + 3 = 1.
    assert Calculation(definitions=definitions, ranks=[1, 2]).value([4, "0", 5, "1", 2]) == 1
    assert left.value([4, "0", [5, "1", 2]]) == 1
    # 3 * |2 - 5| + 1 = 10.
    assert left.value([2, "1", 5]) == 10
    assert left.steps[-1] == (1, 2, 5, 10)
    more = [{"form": ["remainder", 1, 2, 5]}, {"form": ["refer", 0, -4]}, {"form": ["square", 1]}]
    nested = Calculation(definitions=more, ranks=[1, 1, 1])
    # (b ◇ a) - 4 = (7 + 2 * 3) mod 5 - 4 = -1, and 3 * 3 - 7 + 1 = 3.
    assert (nested.value([3, "1", 7]), nested.value([3, "2", 7])) == (-1, 3)
    # A negative number has a remainder from 0 on: (-1 + 2 * 1) mod 5 = 1; (-9 + 2) mod 5 = 3.
    assert nested._result(0, -9, 1) == 3


def test_forms() -> None:
    meta = {"definitions": [{"form": ["product", 0]}], "ranks": [1], "tokens": [-34, "0", 40], "symbols": ["◇"]}
    task = Task(task_id="x", env="operation", prompt=(), gold="-1360", meta=meta)
    good = ("-1360", "−1360", "-1,360", "$-1360$", r"\boxed{-1360}", "-1360.0", "－１３６０")
    assert trials.values(Operation(), task, *good) == [1.0] * len(good)
    bad = ("1360", "-1361", "-34*40", "-34 ◇ 40", "-1360 or 1360", "= -1360", "-1360.5", "-13 60", "--1360", "-2720/2")
    assert trials.values(Operation(), task, *bad) == [0.0] * len(bad)


def test_names_of_symbols_do_not_enter_the_key() -> None:
    rng = random.Random(1)
    env = Operation.at_level(3)
    keys = [str(env.draw(rng).key) for _ in range(50)]
    assert not any(symbol in key for key in keys for symbol in SYMBOLS)


def test_worked_steps_are_true() -> None:
    for level in (1, 2, 3, 4):
        env = Operation.at_level(level)
        for task in trials.draw(env, 20):
            *lines, last = env.solve_aloud(task, random.Random(0)).split("\n")
            assert last == task.gold
            assert len(lines) == env.num_operands - 1
            assert lines[-1].endswith(f"= {last}")
            rules = dict(re.findall(rf"^a ([{SYMBOLS}]) b = (.*)$", task.prompt[0].content, re.MULTILINE))
            for line in lines:
                a, symbol, b = line.split(": ")[0].split(" ")
                result = apply(rules, symbol, int(a.strip("()")), int(b.strip("()")))
                assert line.endswith(f" = {result}")


def test_common() -> None:
    trials.gold_scores_one_everywhere(Operation)
    trials.forms_hold(Operation)
    trials.wrappers_change_nothing(Operation)
    trials.streams_are_rich(Operation)
    trials.phrases_are_complete(Operation)


def test_attacks() -> None:
    trials.attacks_score_zero(Operation, "◇", "9" * 30)


def test_settings() -> None:
    bad = {"num_symbols": (0, 7), "num_operands": (1, 21), "conditional_percent": (-1, 101)}
    trials.settings_are_bounded(Operation, **bad, parentheses_percent=(-1, 61))
