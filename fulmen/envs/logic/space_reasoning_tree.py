"""Space reasoning on a tree: all the places where a walker can be, when some turns are not told.

Each step maps the set of possible places to another one; a place at which a step cannot be taken drops out.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from fulmen.envs.base import Puzzle, read_meta, require_between
from fulmen.envs.puzzle import Language, Levels, Phrases, PuzzleEnv, VerifierKind
from fulmen.envs.things import PEOPLE
from fulmen.errors import DataError
from fulmen.rewards.fields import read_words
from fulmen.types import Task

Step = Sequence[Any]
"""A kind of `TEXTS` with its numbers."""
MAX_CHILDREN = 5
"""Roads down from one place."""
MAX_FAR = 3
"""Roads of a walk to an untold place."""
SPREAD = 4
"""On the way, no more than so many times the allowed number of answers are possible."""
MAX_EXTRA = 6
"""Steps beyond the number asked for before the place itself is told."""
TRIES = 12
"""Steps tried at one place before it is told."""
PLAIN = ("up", "down", "last", "right", "left")
SIGHTS = ("count", "end")
UNTOLD = ("some", "some", "far")

TEXTS: Mapping[Language, Mapping[str, str]] = {
    "en": {
        "up": "{p} goes {0} up.",
        "down": "{p} takes road {0} down, counted from the left.",
        "last": "{p} takes the rightmost road down.",
        "right": "{p} goes to the next place on the right below the same parent.",
        "left": "{p} goes to the next place on the left below the same parent.",
        "count": "{p} counts the roads down from here: {0}.",
        "end": "{p} sees that no road leads down from here.",
        "some": "{p} takes a road down, nobody knows which.",
        "far": "{p} goes to a place that is exactly {0} away, nobody knows which.",
        "see": "{p} reads the number of this place: {0}.",
        "one": "1 road",
        "many": "{0} roads",
    },
    "zh": {
        "up": "{p}向上走{0}。",
        "down": "{p}走从左数第{0}条向下的路。",
        "last": "{p}走最右边那条向下的路。",
        "right": "{p}走到同一父节点下右边相邻的地点。",
        "left": "{p}走到同一父节点下左边相邻的地点。",
        "count": "{p}数了数从这里向下的路：{0}条。",
        "end": "{p}看到从这里没有向下的路。",
        "some": "{p}走了一条向下的路，不知道是哪一条。",
        "far": "{p}走到一个恰好相距{0}的地点，不知道是哪一个。",
        "see": "{p}看到这里的编号是{0}。",
        "one": "1条路",
        "many": "{0}条路",
    },
}


@dataclass(frozen=True, kw_only=True)
class SpaceReasoningTree(PuzzleEnv):
    """Places joined as a tree, and a walk told in part."""

    name: str = "space_reasoning_tree"
    num_nodes: int = 60
    """Places, 5 to 300."""
    num_steps: int = 8
    """Steps at least, 1 to 60."""
    num_untold: int = 2
    """Of these, turns that are not told, 0 to 10, up to `num_steps`."""
    max_answers: int = 6
    """Most places that are right, 1 to 30."""
    is_shuffled: bool = False
    """Whether the lines of the map come in any order rather than from the top down."""

    rule: ClassVar[str] = "name all places of a tree-shaped map where a walker can be"
    verifier: ClassVar[VerifierKind] = "exact"
    levels: ClassVar[Levels] = (
        {"num_nodes": 10, "num_steps": 3, "num_untold": 1, "max_answers": 3},
        {"num_nodes": 20, "num_steps": 5, "num_untold": 1, "max_answers": 4},
        {},
        {"num_nodes": 150, "num_steps": 14, "num_untold": 4, "max_answers": 10, "is_shuffled": True},
        {"num_nodes": 300, "num_steps": 25, "num_untold": 6, "max_answers": 16, "is_shuffled": True},
    )
    phrases: ClassVar[Phrases] = {
        "en": (
            "Numbered places form a tree. A line `a: b, c` says that roads lead down from a to b and c, b left of c:\n"
            "{map}\n{p} starts at {start}. Each step was possible at the place where {p} then was:\n{steps}\n"
            "At which places can {p} be now? {form}",
            "Roads join mountain places. From the place before each colon, roads lead down to the places after "
            "it, listed from left to right; places that are never before a colon have no road down:\n{map}\n"
            "{p} sets out from {start}, and all of these steps really could be done, one after another:\n{steps}\n"
            "Which places are possible for {p} at the end? {form}",
            "Map (parent: its children from left to right, one road to each):\n{map}\nWalk of {p}, from {start} on; a "
            "step that cannot be taken from a place shows that {p} was not there:\n{steps}\nList every place where {p} "
            "may have ended. {form}",
        ),
        "zh": (
            "带编号的地点构成一棵树。一行“a: b, c”表示从a有路向下通往b和c，b在c的左边：\n{map}\n{p}从{start}出发，"
            "下面每一步在当时所在的地点都确实走得通：\n{steps}\n{p}现在可能在哪些地点？{form}",
            "地图（父节点: 子节点，从左到右，各有一条路；没有写在冒号前的地点没有向下的路）：\n{map}\n"
            "{p}从{start}开始行走；如果某一步在某地点无法进行，说明{p}当时不在那里：\n{steps}\n"
            "请列出{p}最后可能所在的全部地点。{form}",
        ),
    }
    forms: ClassVar[Mapping[Language, str]] = {
        "en": "Answer with all of their numbers, separated by commas, in any order, in the form `301, 302`.",
        "zh": "请写出所有这些编号，用逗号分隔，顺序不限，形如“301, 302”。",
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between("num_nodes", self.num_nodes, low=5, high=300)
        require_between("num_steps", self.num_steps, low=1, high=60)
        require_between("num_untold", self.num_untold, low=0, high=min(10, self.num_steps))
        require_between("max_answers", self.max_answers, low=1, high=30)

    def draw(self, rng: random.Random) -> Puzzle:
        """Returns a true walk, told in part; node 0 is the top."""
        children = _draw_tree(self.num_nodes, rng)
        tree = Tree(children)
        start = rng.randrange(self.num_nodes)
        steps = self._draw_steps(tree, start, rng)
        nodes = {start}
        for step in steps:
            nodes = tree.after(step, nodes)
        labels = list(range(1, self.num_nodes + 1))
        rng.shuffle(labels)
        lines = [
            f"{labels[i]}: {', '.join(str(labels[c]) for c in below)}" for i, below in enumerate(children) if below
        ]
        if self.is_shuffled:
            rng.shuffle(lines)
        person = rng.choice(PEOPLE[self.language])
        prompt = self.phrase(
            rng,
            map="\n".join(lines),
            p=person,
            start=labels[start],
            steps="\n".join(f"{n}. {self._tell(step, labels, person)}" for n, step in enumerate(steps, 1)),
            form=self.forms[self.language],
        )
        meta = {"children": children, "labels": labels, "start": start, "steps": steps}
        gold = ", ".join(map(str, sorted(labels[node] for node in nodes)))
        return Puzzle(key=(children, start, steps), prompt=prompt, gold=gold, meta=meta)

    def find_fault(self, task: Task, text: str) -> str:
        """Walks again with every possible place and compares the sets."""
        labels, nodes = read_meta(task, "labels", kind=list), {read_meta(task, "start", kind=int)}
        tree = Tree(read_meta(task, "children", kind=list))
        said = read_words(text, allowed=[str(label) for label in labels])
        if len(set(said)) != len(said):
            raise DataError(f"answer: {max(said, key=said.count)} twice; allowed: each place once")
        for step in read_meta(task, "steps", kind=list):
            nodes = tree.after(step, nodes)
        right = {str(labels[node]) for node in nodes}
        if wrong := sorted(set(said) - right):
            return f"{wrong[0]} is not possible"
        return f"{len(right - set(said))} more are possible" if right - set(said) else ""

    def solve_aloud(self, task: Task, rng: random.Random) -> str:
        """Returns the possible places after each step."""
        labels, nodes = read_meta(task, "labels", kind=list), {read_meta(task, "start", kind=int)}
        tree = Tree(read_meta(task, "children", kind=list))
        lines = [f"0. {labels[next(iter(nodes))]}"]
        for number, step in enumerate(read_meta(task, "steps", kind=list), 1):
            nodes = tree.after(step, nodes)
            lines.append(f"{number}. {', '.join(map(str, sorted(labels[node] for node in nodes)))}")
        return "\n".join(lines)

    def _draw_steps(self, tree: "Tree", start: int, rng: random.Random) -> list[Step]:
        """Returns steps of a true walk; more steps than asked for where too many places are possible in the end."""
        here, nodes = start, {start}
        steps: list[Step] = []
        first = min(self.num_steps // 2, self.num_steps - self.num_untold)
        untold = set(rng.sample(range(first, self.num_steps), self.num_untold))
        while len(steps) < self.num_steps or len(nodes) > self.max_answers:
            step: Step = ["see", here]
            if len(steps) < self.num_steps + MAX_EXTRA:
                step = self._draw_step(tree, here, nodes, is_untold=len(steps) in untold, rng=rng)
            here = rng.choice(sorted(tree.after(step, [here])))
            nodes = tree.after(step, nodes)
            steps.append(step)
        return steps

    def _draw_step(self, tree: "Tree", here: int, nodes: set[int], *, is_untold: bool, rng: random.Random) -> Step:
        """Returns a step that can be taken from the true place and leaves few enough places."""
        kinds = UNTOLD if is_untold else (*PLAIN, *SIGHTS) if len(nodes) > 1 else PLAIN
        for _ in range(TRIES):
            step = tree.draw_step(rng.choice(kinds), here, rng)
            if step and len(tree.after(step, nodes)) <= SPREAD * self.max_answers:
                return step
        return ["see", here]

    def _tell(self, step: Step, labels: Sequence[int], person: str) -> str:
        """Returns the sentence of a step."""
        texts = TEXTS[self.language]
        kind, *numbers = step
        if kind == "see":
            numbers = [labels[numbers[0]]]
        elif kind in ("up", "far"):
            numbers = [texts["one" if numbers[0] == 1 else "many"].format(numbers[0])]
        return texts[kind].format(*numbers, p=person)


class Tree:
    """An ordered tree; node 0 is its top."""

    def __init__(self, children: Sequence[Sequence[int]]) -> None:
        self.children = children
        self.parent = {child: node for node, below in enumerate(children) for child in below}

    def after(self, step: Step, nodes: Iterable[int]) -> set[int]:
        """Returns where a step can lead from any of the nodes."""
        return {end for node in nodes for end in self._ends(step, node)}

    def draw_step(self, kind: str, node: int, rng: random.Random) -> Step:
        """Returns a step of a kind that can be taken from a node, or an empty list if there is none."""
        numbers: list[int] = []
        if kind == "up":
            numbers = [rng.randint(1, max(1, min(MAX_FAR, self._depth(node))))]
        elif kind == "down":
            numbers = [rng.randint(1, max(1, len(self.children[node])))]
        elif kind == "far":
            numbers = [rng.randint(1, MAX_FAR)]
        elif kind == "count":
            numbers = [len(self.children[node])]
        return [kind, *numbers] if self._ends([kind, *numbers], node) else []

    def _depth(self, node: int) -> int:
        """Returns the number of roads to the top."""
        depth = 0
        while node in self.parent:
            node, depth = self.parent[node], depth + 1
        return depth

    def _ends(self, step: Step, node: int) -> Sequence[int]:
        """Returns where a step leads from a node; nowhere if it cannot be taken."""
        kind, *numbers = step
        below = self.children[node]
        if kind == "down":
            return below[numbers[0] - 1 : numbers[0]]
        if kind == "up":
            return self._above(node, numbers[0])
        if kind == "far":
            return self._at_distance(node, numbers[0])
        if kind in ("right", "left"):
            beside = self.children[self.parent[node]] if node in self.parent else [node]
            at = beside.index(node) + (1 if kind == "right" else -1)
            return beside[at : at + 1] if at >= 0 else []
        if kind in ("some", "last"):
            return below if kind == "some" else below[-1:]
        is_here = {"count": [len(below)] == numbers, "end": not below, "see": [node] == numbers}
        return [node] if is_here[kind] else []

    def _above(self, node: int, num: int) -> Sequence[int]:
        """Returns the ancestor so many roads up, if there is one."""
        for _ in range(num):
            if node not in self.parent:
                return []
            node = self.parent[node]
        return [node]

    def _at_distance(self, node: int, num: int) -> Sequence[int]:
        """Returns the nodes that are exactly so many roads away."""
        front = [(node, -1)]
        for _ in range(num):
            front = [
                (near, at)
                for at, came_from in front
                for near in (*self.children[at], *([self.parent[at]] if at in self.parent else []))
                if near != came_from
            ]
        return [at for at, _ in front]


def _draw_tree(num_nodes: int, rng: random.Random) -> list[list[int]]:
    """Returns the children of each node of a random tree, numbered from the top, row by row, left to right."""
    grown: list[list[int]] = [[]]
    for node in range(1, num_nodes):
        parent = rng.randrange(node // 3, node)
        while len(grown[parent]) == MAX_CHILDREN:
            parent = rng.randrange(node // 3, node)
        grown[parent].insert(rng.randint(0, len(grown[parent])), node)
        grown.append([])
    order = [0]
    for node in order:
        order.extend(grown[node])
    number = {node: place for place, node in enumerate(order)}
    return [[number[child] for child in grown[node]] for node in order]
