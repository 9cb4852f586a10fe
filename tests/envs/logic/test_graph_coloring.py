import itertools
from typing import Any

import pytest

from fulmen.envs.logic.graph_coloring import Graph, GraphColoring, Search, holds
from fulmen.types import Task
from tests.envs.logic import every_puzzle as every

NAME = "graph_coloring"


@pytest.mark.parametrize("level", range(1, 6))
def test_gold(level: int) -> None:
    every.check_some_gold(NAME, level=level, num=8, is_taught=level < 4)


@pytest.mark.slow
@pytest.mark.parametrize("level", range(1, 6))
def test_much_gold(level: int) -> None:
    every.check_gold(NAME, level=level, num=50, is_taught=level < 4)


def test_common() -> None:
    every.check_attacks(NAME)
    every.check_prompts(NAME)
    every.check_variety(NAME)
    every.check_bounds(
        NAME, {"num_nodes": 3}, {"num_nodes": 26}, {"num_colors": 2}, {"num_rules": 13}, {"edge_frac": float("inf")}
    )


def is_right(meta: dict[str, Any], colors: dict[str, str]) -> bool:
    """The rules once more, by names instead of numbers."""
    letter = "ABCDEFGHIJKLMNOPQRSTUVWXY".__getitem__
    counts = {name: list(colors.values()).count(name) for name in meta["colors"]}
    for kind, x, y in meta["rules"]:
        if kind == "fixed" and colors[letter(x)] != meta["colors"][y]:
            return False
        if kind == "not" and colors[letter(x)] == meta["colors"][y]:
            return False
        if kind == "same" and colors[letter(x)] != colors[letter(y)]:
            return False
        if kind == "at_most" and counts[meta["colors"][x]] > y:
            return False
        if kind == "exactly" and counts[meta["colors"][x]] != y:
            return False
    return not any(colors[letter(a)] == colors[letter(b)] for a, b in meta["edges"])


def test_all_colourings_of_small_graphs() -> None:
    for knobs in ({}, {"num_rules": 4}, {"num_nodes": 6, "edge_frac": 0.2, "num_rules": 6}):
        for env, task in every.make(NAME, 1, 2, **knobs):
            num_right = 0
            nodes = "ABCDEF"[: task.meta["num_nodes"]]
            for chosen in itertools.product(task.meta["colors"], repeat=len(nodes)):
                colors = dict(zip(nodes, chosen, strict=True))
                answer = ", ".join(f"{node}: {color}" for node, color in colors.items())
                right = is_right(task.meta, colors)
                assert env.check(task, answer).value == float(right), answer
                num_right += right
            assert num_right >= 1


@pytest.mark.parametrize(
    ("rule", "colors", "expected"),
    [
        (["fixed", 1, 2], [0, 2], True),
        (["fixed", 1, 2], [2, 0], False),
        (["not", 0, 1], [0, 1], True),
        (["not", 0, 1], [1, 0], False),
        (["same", 0, 1], [2, 2], True),
        (["same", 0, 1], [1, 2], False),
        (["at_most", 0, 1], [0, 1], True),
        (["at_most", 0, 1], [0, 0], False),
        (["at_most", 0, 1], [1, 1], True),
        (["exactly", 0, 1], [1, 1], False),
        (["exactly", 0, 1], [0, 1], True),
        (["exactly", 0, 1], [0, 0], False),
    ],
)
def test_rules_by_hand(rule: list[Any], colors: list[int], expected: bool) -> None:
    assert holds(rule, colors) == expected


def test_search_finds_a_colouring_exactly_where_there_is_one() -> None:
    outcomes = set()
    pairs = list(itertools.combinations(range(4), 2))
    rules = [["same", 0, 3], ["exactly", 1, 2], ["not", 2, 0]]
    for chosen in itertools.product((0, 1), repeat=len(pairs)):
        edges = [list(pair) for pair, bit in zip(pairs, chosen, strict=True) if bit]
        search = Search(Graph(num_nodes=4, num_colors=3, edges=edges, rules=rules))
        exists = any(
            all(c[a] != c[b] for a, b in edges) and all(holds(rule, c) for rule in rules)
            for c in map(list, itertools.product(range(3), repeat=4))
        )
        found = search.run()
        assert found == exists
        if found:
            assert all(search.colors[a] != search.colors[b] for a, b in edges)
            assert all(holds(rule, search.colors) for rule in rules)
        outcomes.add(found)
    assert outcomes == {True, False}


def test_faults_are_named() -> None:
    meta = {"num_nodes": 4, "colors": ["red", "green", "blue"], "edges": [[0, 1]], "rules": [["not", 2, 0]]}
    task = Task(task_id="t", env=NAME, prompt=(), gold="", meta=meta)
    for text, fault in (
        ("A: red, B: green, C: blue, D: red", ""),
        ("A: red, B: red, C: blue, D: red", "A and B are linked"),
        ("A: red, B: green, C: red, D: red", "C is not red"),
        ("A: red, B: pink, C: blue, D: red", "none of the colours"),
        ("A: red, B: green, C: blue", "'d'"),
        ("A: red, B: green, C: blue, D: red, E: red", "'e'"),
        ("A: red, B: green, C: blue, D: red green", "none of the colours"),
        ("A: red, B: green, C: blue, D: red, A: red", "twice"),
    ):
        score = GraphColoring().check(task, text)
        assert score.value == float(not fault)
        assert fault in score.info


def test_forms_that_a_person_would_accept() -> None:
    for language in ("en", "zh"):
        for env, task in every.make(NAME, 2, 4, language=language):
            pairs = [pair.split(": ") for pair in task.gold.split(", ")]
            for text in (
                "\n".join(f"{node} = {color}" for node, color in reversed(pairs)),
                "{" + ", ".join(f'"{node}": "{color}"' for node, color in pairs) + "}",
                "; ".join(f"{node.lower()}: {color.upper()}" for node, color in pairs),
                "，".join(f"{node}：{color}" for node, color in pairs) + "。",
            ):
                assert env.check(task, text).value == 1.0, text
            if language == "zh":
                assert env.check(task, ", ".join(f"{node}: {color}色" for node, color in pairs)).value == 1.0
