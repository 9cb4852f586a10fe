"""Graph colouring: colour the nodes so that linked ones differ and some further rules hold.

Graph and rules are drawn around a hidden colouring; any that keeps them counts. The gold one is what a search finds
that always takes the node with the fewest colours left. Left out: the least number of colours, and drawings.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from fulmen.envs.base import Puzzle, read_meta, require_between
from fulmen.envs.puzzle import Language, Levels, Phrases, PuzzleEnv, VerifierKind
from fulmen.errors import ConfigError
from fulmen.rewards.fields import read_pairs
from fulmen.types import Task

NODES = "ABCDEFGHIJKLMNOPQRSTUVWXY"
COLORS: dict[Language, tuple[str, ...]] = {
    "en": ("red", "green", "blue", "yellow", "black"),
    "zh": ("红", "绿", "蓝", "黄", "黑"),
}
Rule = list[Any]
"""["fixed", node, color], ["not", node, color], ["same", node, node], ["at_most", color, count], ["exactly", ...]."""
RULES: dict[Language, dict[str, str]] = {
    "en": {
        "fixed": "{0} is {1}.",
        "not": "{0} is not {1}.",
        "same": "{0} and {1} have the same colour.",
        "at_most": "At most {1} of the nodes are {0}.",
        "exactly": "Exactly {1} of the nodes are {0}.",
    },
    "zh": {
        "fixed": "{0} 是{1}色。",
        "not": "{0} 不是{1}色。",
        "same": "{0} 与 {1} 颜色相同。",
        "at_most": "{0}色的点至多 {1} 个。",
        "exactly": "{0}色的点恰好 {1} 个。",
    },
}
WORDS: dict[Language, dict[str, str]] = {
    "en": {
        "none": "none",
        "choose": "{0}: {1} left, take {2}",
        "dead": "{0}: nothing left, go back",
        "low": "too few {0}, go back",
    },
    "zh": {"none": "无", "choose": "{0}：可用 {1}，取 {2}", "dead": "{0}：无色可用，退回", "low": "{0}太少，退回"},
}
MAX_STEPS = 300
"""Steps of the search beyond which it is not told, and the hidden colouring is the gold one."""


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A puzzle."""

    num_nodes: int
    num_colors: int
    edges: Sequence[Sequence[int]]
    """Pairs of nodes, the smaller first."""
    rules: Sequence[Rule]


@dataclass(frozen=True, kw_only=True)
class GraphColoring(PuzzleEnv):
    """Colours for the nodes of a graph."""

    name: str = "graph_coloring"
    num_nodes: int = 12
    """Nodes, 4 to 25."""
    num_colors: int = 3
    """Colours, 3 to 5."""
    edge_frac: float = 0.45
    """Of the pairs that the hidden colouring lets differ, 0.1 to 0.9."""
    num_rules: int = 4
    """Rules beside the edges, 0 to 12."""

    rule: ClassVar[str] = "colour the nodes so that linked ones differ and some further rules hold"
    verifier: ClassVar[VerifierKind] = "constraints"
    levels: ClassVar[Levels] = tuple(
        {"num_nodes": nodes, "num_colors": colors, "edge_frac": edges, "num_rules": rules}
        for nodes, colors, edges, rules in (
            (5, 3, 0.6, 1),
            (8, 3, 0.5, 2),
            (12, 3, 0.45, 4),
            (18, 4, 0.5, 7),
            (25, 4, 0.45, 10),
        )
    )
    phrases: ClassVar[Phrases] = {
        "en": (
            "Colour the nodes {nodes} with {colors}. Two linked nodes never have the same colour; a colour may stay "
            "unused.\nLinks: {edges}\n{rules}Give every node its colour as node: colour, separated by commas, in any "
            "order, for example: Y: {first}, Z: {second}",
            "A graph has the nodes {nodes} and the edges {edges}.\nGive each node one of the colours {colors} such "
            "that the ends of every edge differ (not all colours need to occur).\n{rules}Write the colours of all "
            "nodes as pairs node: colour with commas between them, in the form Y: {first}, Z: {second}",
            "On a map with the regions {nodes} these regions are neighbours: {edges}.\nPaint each region in one of "
            '{colors}, neighbours in different colours; you may leave colours out. ("Nodes" below are regions.)\n'
            "{rules}Answer with a colour for each region, such as Y: {first}, Z: {second}",
        ),
        "zh": (
            "请给点 {nodes} 着色，可用的颜色是{colors}。相连的两点颜色不同；颜色可以不全用上。\n相连的点：{edges}\n"
            "{rules}请写出每个点的颜色，形式为“点: 颜色”，用逗号分隔，顺序不限，例如：Y: {first}, Z: {second}",
            "一个图的顶点为 {nodes}，边为 {edges}。\n从{colors}中给每个顶点选一种颜色，使每条边的两端颜色不同"
            "（不必用到所有颜色）。\n{rules}答案写出全部顶点的颜色，各对之间用逗号隔开，形式如 Y: {first}, Z: {second}",
        ),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between("num_nodes", self.num_nodes, low=4, high=len(NODES))
        require_between("num_colors", self.num_colors, low=3, high=5)
        require_between("num_rules", self.num_rules, low=0, high=12)
        if not 0.1 <= self.edge_frac <= 0.9:
            raise ConfigError(f"edge_frac: {self.edge_frac}; allowed: a number from 0.1 to 0.9")

    def draw(self, rng: random.Random) -> Puzzle:
        """Returns a random graph and rules around a random colouring."""
        hidden = [rng.randrange(self.num_colors) for _ in range(self.num_nodes)]
        pairs = [[a, b] for b in range(self.num_nodes) for a in range(b) if hidden[a] != hidden[b]]
        edges = sorted(pair for pair in pairs if rng.random() < self.edge_frac)
        rules: list[Rule] = []
        for _ in range(20 * self.num_rules):
            rule = _draw_rule(rng, hidden, self.num_colors)
            if len(rules) < self.num_rules and rule not in rules:
                rules.append(rule)
        graph = Graph(num_nodes=self.num_nodes, num_colors=self.num_colors, edges=edges, rules=rules)
        search = Search(graph)
        colors = search.colors if search.run() else hidden
        names = COLORS[self.language][: self.num_colors]
        first, second = rng.sample(names, 2)
        edge_names = [f"{NODES[a]}-{NODES[b]}" for a, b in edges]
        prompt = self.phrase(
            rng,
            nodes=" ".join(NODES[: self.num_nodes]),
            colors=("、" if self.language == "zh" else ", ").join(names),
            edges=" ".join(edge_names) or WORDS[self.language]["none"],
            rules="".join(self._say(rule) + "\n" for rule in rules),
            first=first,
            second=second,
        )
        gold = ", ".join(f"{NODES[node]}: {names[color]}" for node, color in enumerate(colors))
        meta = {"num_nodes": self.num_nodes, "colors": list(names), "edges": edges, "rules": rules}
        key = (self.num_nodes, self.num_colors, edges, sorted(rules, key=str))
        return Puzzle(key=key, prompt=prompt, gold=gold, meta=meta)

    def find_fault(self, task: Task, text: str) -> str:
        """Returns the first edge or rule that the colours break."""
        graph, names = _graph_of(task), read_meta(task, "colors", kind=list)
        pairs = read_pairs(text, keys=[node.lower() for node in NODES[: graph.num_nodes]])
        colors = []
        for node in NODES[: graph.num_nodes]:
            found = pairs[node.lower()]
            # "红色" is as good as "红".
            found = found.removesuffix("色") if self.language == "zh" else found
            if found not in names:
                return f"{node}: {found!r} is none of the colours"
            colors.append(names.index(found))
        for a, b in graph.edges:
            if colors[a] == colors[b]:
                return f"{NODES[a]} and {NODES[b]} are linked and both {names[colors[a]]}"
        for rule in graph.rules:
            if not holds(rule, colors):
                return f"broken rule: {self._say(rule)}"
        return ""

    def solve_aloud(self, task: Task, rng: random.Random) -> str:
        """Returns the search: the node with the fewest colours left, these colours, the one that is taken."""
        search = Search(_graph_of(task))
        if not search.run():
            return ""
        names, words = COLORS[self.language], WORDS[self.language]
        lines = []
        for how, subject, left, color in search.steps:
            if how == "low":
                lines.append(words["low"].format(names[subject]))
                continue
            shown = " ".join(names[each] for each in left)
            lines.append(words[how].format(NODES[subject], shown, names[color]))
        return "\n".join(lines)

    def _say(self, rule: Rule) -> str:
        kind, x, y = rule
        names = COLORS[self.language]
        pattern = RULES[self.language][kind]
        if kind == "same":
            return pattern.format(NODES[x], NODES[y])
        return pattern.format(NODES[x], names[y]) if kind in ("fixed", "not") else pattern.format(names[x], y)


class Search:
    """A search for a colouring, step by step.

    `colors`: of each node, -1 while it has none. `steps`: (`choose`, node, colours left, colour), (`dead`, node, ...)
    or (`low`, colour, ...).
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.colors = [-1] * graph.num_nodes
        self.steps: list[tuple[str, int, list[int], int]] = []
        self.linked: list[list[int]] = [[] for _ in self.colors]
        for a, b in graph.edges:
            self.linked[a].append(b)
            self.linked[b].append(a)

    def run(self) -> bool:
        """Colours all nodes; returns whether it could, within `MAX_STEPS`."""
        left = {node: self._left(node) for node, color in enumerate(self.colors) if color < 0}
        if not left:
            return all(holds(rule, self.colors) for rule in self.graph.rules)
        node = min(left, key=lambda node: (len(left[node]), -len(self.linked[node]), node))
        if not left[node]:
            self.steps.append(("dead", node, [], 0))
            return False
        for kind, color, count in self.graph.rules:
            if kind == "exactly" and self.colors.count(color) + sum(color in c for c in left.values()) < count:
                self.steps.append(("low", color, [], 0))
                return False
        for color in left[node]:
            if len(self.steps) >= MAX_STEPS:
                return False
            self.steps.append(("choose", node, left[node], color))
            self.colors[node] = color
            if self.run():
                return True
            self.colors[node] = -1
        return False

    def _left(self, node: int) -> list[int]:
        """Returns the colours that the coloured nodes and the rules leave to a node."""
        taken = {self.colors[other] for other in self.linked[node]}
        allowed = [color for color in range(self.graph.num_colors) if color not in taken]
        for kind, x, y in self.graph.rules:
            if kind == "fixed" and x == node:
                allowed = [color for color in allowed if color == y]
            elif kind == "not" and x == node:
                allowed = [color for color in allowed if color != y]
            elif kind == "same" and node in (x, y):
                other = self.colors[x + y - node]
                allowed = [color for color in allowed if other in (-1, color)]
            elif kind in ("at_most", "exactly") and self.colors.count(x) >= y:
                allowed = [color for color in allowed if color != x]
        return allowed


def holds(rule: Rule, colors: Sequence[int]) -> bool:
    """Returns whether a colouring keeps a rule."""
    kind, x, y = rule
    if kind == "same":
        return colors[x] == colors[y]
    if kind in ("fixed", "not"):
        return (colors[x] == y) == (kind == "fixed")
    return colors.count(x) <= y if kind == "at_most" else colors.count(x) == y


def _draw_rule(rng: random.Random, hidden: list[int], num_colors: int) -> Rule:
    """Returns a rule that the hidden colouring keeps."""
    kind = rng.choice(("fixed", "not", "same", "same", "at_most", "exactly"))
    node, color = rng.randrange(len(hidden)), rng.randrange(num_colors)
    alike = [other for other, its in enumerate(hidden) if its == hidden[node] and other != node]
    if kind == "same" and alike:
        return ["same", *sorted((node, rng.choice(alike)))]
    if kind in ("at_most", "exactly"):
        return [kind, color, hidden.count(color)]
    if kind == "not":
        return ["not", node, rng.choice([other for other in range(num_colors) if other != hidden[node]])]
    return ["fixed", node, hidden[node]]


def _graph_of(task: Task) -> Graph:
    return Graph(
        num_nodes=read_meta(task, "num_nodes", kind=int),
        num_colors=len(read_meta(task, "colors", kind=list)),
        edges=read_meta(task, "edges", kind=list),
        rules=read_meta(task, "rules", kind=list),
    )
