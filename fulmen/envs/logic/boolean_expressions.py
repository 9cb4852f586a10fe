"""Boolean expressions: which of the options are true.

An option is a tree of connectives over truth values and comparisons of small numbers, printed with every pair of
parentheses that its shape needs, so that no order of connectives has to be known beyond that of `not`.
"""

import operator
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from fulmen.envs.base import Puzzle, read_meta, require_between
from fulmen.envs.puzzle import Levels, Phrases, PuzzleEnv, VerifierKind, require_one_of
from fulmen.errors import TaskError
from fulmen.rewards.fields import read_words
from fulmen.types import Task

LABELS = "ABCDEFGHIJ"
NONE = "none"
CONNECTIVES: dict[str, Callable[[bool, bool], bool]] = {
    "and": lambda a, b: a and b,
    "or": lambda a, b: a or b,
    "xor": lambda a, b: a != b,
    "nand": lambda a, b: not (a and b),
    "nor": lambda a, b: not (a or b),
    "implies": lambda a, b: not a or b,
}
"""From the plainest on."""
MEANINGS = {
    "en": {
        "xor": "a xor b: exactly one of them is true",
        "nand": "a nand b: not both are true",
        "nor": "a nor b: neither is true",
        "implies": "a implies b: false only if a is true and b is false",
    },
    "zh": {
        "xor": "a xor b：恰有一个为真",
        "nand": "a nand b：不同时为真",
        "nor": "a nor b：两个都为假",
        "implies": "a implies b：只有 a 真而 b 假时为假",
    },
}
RELATIONS: dict[str, Callable[[int, int], bool]] = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
Leaves = Literal["constants", "comparisons", "sums"]
"""True and False alone; also 3 < 5; also 2 + 3 * 4 != 14."""
Tree = list[Any]
"""[text] of a leaf, ["not", tree], or [connective, tree, tree]."""


@dataclass(frozen=True, kw_only=True)
class BooleanExpressions(PuzzleEnv):
    """Options, some of them true."""

    name: str = "boolean_expressions"
    num_options: int = 4
    """Options, 1 to 10."""
    depth: int = 3
    """Connectives on the longest way from an option to a leaf, 1 to 8."""
    num_connectives: int = 3
    """How many of and, or, xor, nand, nor, implies may occur, in this order, 1 to 6; `not` always does."""
    leaves: Leaves = "comparisons"
    """What stands at the leaves: constants, comparisons (and constants), sums (and all of these)."""

    rule: ClassVar[str] = "name the options whose expression is true"
    verifier: ClassVar[VerifierKind] = "exact"
    levels: ClassVar[Levels] = (
        {"num_options": 2, "depth": 2, "num_connectives": 2, "leaves": "constants"},
        {"num_options": 3, "depth": 2, "num_connectives": 2, "leaves": "comparisons"},
        {},
        {"num_options": 5, "depth": 4, "num_connectives": 6, "leaves": "sums"},
        {"num_options": 6, "depth": 6, "num_connectives": 6, "leaves": "sums"},
    )
    phrases: ClassVar[Phrases] = {
        "en": (
            "Which of these expressions are true? `not` negates just what directly follows it. {meanings}List their "
            'letters separated by commas, like "X, Y", or write "none".\n{options}',
            "Evaluate each option (`not` belongs to the value or parenthesis right after it) and name every one that "
            "is true.\n{options}\n{meanings}Answer with the letters only, "
            'in the form "X, Y"; if no option is true, answer "none".',
            "Below are logical expressions (`not` applies to what directly follows it).\n{options}\n{meanings}Give the "
            'letters of those that evaluate to True, separated by commas ("X, Y"), or the word "none" if there are '
            "none.",
        ),
        "zh": (
            "下列表达式中哪些为真？not 只否定紧跟其后的部分。{meanings}请列出它们的字母，用逗号分隔，"
            '如 "X, Y"；如果都不为真，请写 "none"。\n{options}',
            "计算每个选项的值，找出所有为真的选项。（not 只作用于紧跟其后的部分。）\n{options}\n{meanings}"
            '只回答字母，格式为 "X, Y"；若没有为真的选项，回答 "none"。',
        ),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between("num_options", self.num_options, low=1, high=len(LABELS))
        require_between("depth", self.depth, low=1, high=8)
        require_between("num_connectives", self.num_connectives, low=1, high=len(CONNECTIVES))
        require_one_of("leaves", self.leaves, allowed=get_args(Leaves))

    def draw(self, rng: random.Random) -> Puzzle:
        """Returns options of which each is true with a chance of a half."""
        trees = [self._option(rng) for _ in range(self.num_options)]
        options = [_written(tree) for tree in trees]
        right = [label for label, tree in zip(LABELS, trees, strict=False) if evaluate_tree(tree)]
        names = [name for name in CONNECTIVES if any(f" {name} " in option for option in options)]
        separator, stop = {"en": ("; ", ". "), "zh": ("；", "。")}[self.language]
        meanings = separator.join(MEANINGS[self.language][name] for name in names if name in MEANINGS["en"])
        return Puzzle(
            key=(options,),
            prompt=self.phrase(
                rng,
                options="\n".join(f"{label}: {option}" for label, option in zip(LABELS, options, strict=False)),
                meanings=f"({meanings})" + stop if meanings else "",
            ),
            gold=", ".join(right) or NONE,
            meta={"trees": trees, "right": right},
        )

    def find_fault(self, task: Task, text: str) -> str:
        """Returns the first option that is named wrongly, or not named."""
        right = read_meta(task, "right", kind=list)
        num_options = len(read_meta(task, "trees", kind=list))
        labels = LABELS[:num_options].lower()
        text = text.replace("(", " ").replace(")", " ").strip()
        if text == "无" or text.lower() == NONE:
            named: list[str] = []
        else:
            is_joined = 1 < len(text) <= num_options and set(text) <= set(LABELS)
            named = [word.upper() for word in read_words(" ".join(text) if is_joined else text, allowed=list(labels))]
        if len(set(named)) != len(named):
            return "an option twice"
        for label in LABELS[:num_options]:
            if (label in named) != (label in right):
                return f"{label} is {'true' if label in right else 'false'}"
        return ""

    def solve_aloud(self, task: Task, rng: random.Random) -> str:
        """Returns each option, then the same with its innermost parts evaluated, until a truth value is left."""
        lines = []
        for label, tree in zip(LABELS, read_meta(task, "trees", kind=list), strict=False):
            texts = [_written(tree)]
            while len(tree) > 1 or tree[0] not in ("True", "False"):
                tree = _reduced(tree)
                texts.append(_written(tree))
            lines.append(f"{label}: " + " -> ".join(texts))
        return "\n".join(lines)

    def _option(self, rng: random.Random) -> Tree:
        """Returns a tree with a truth value that was chosen first."""
        wanted = rng.random() < 0.5
        tree = self._tree(rng, self.depth)
        for _ in range(32):
            if evaluate_tree(tree) == wanted:
                break
            tree = self._tree(rng, self.depth)
        return tree

    def _tree(self, rng: random.Random, depth: int) -> Tree:
        """Returns a tree of exactly that depth; its other branches may be shorter."""
        if depth == 0:
            return [self._leaf(rng)]
        if rng.random() < 0.25:
            return ["not", self._tree(rng, depth - 1)]
        parts = [self._tree(rng, depth - 1), self._tree(rng, rng.randint(max(0, depth - 3), depth - 1))]
        rng.shuffle(parts)
        return [rng.choice(list(CONNECTIVES)[: self.num_connectives]), *parts]

    def _leaf(self, rng: random.Random) -> str:
        kinds = get_args(Leaves)[: get_args(Leaves).index(self.leaves) + 1]
        kind = rng.choice(kinds)
        if kind == "constants":
            return rng.choice(("True", "False"))
        left, right = rng.randint(-9, 20), rng.randint(-9, 20)
        relation = rng.choice(list(RELATIONS))
        if kind == "comparisons":
            return f"{left} {relation} {right if rng.random() < 0.8 else left}"
        a, b, c = rng.randint(1, 9), rng.randint(2, 9), rng.randint(2, 9)
        value = a + b * c
        return f"{a} + {b} * {c} {relation} {value + rng.choice((0, 0, -1, 1, -10, 10, a))}"


def evaluate_tree(tree: Tree) -> bool:
    """Returns the truth value of a tree.

    Raises:
        TaskError: it is none.
    """
    if len(tree) == 1 and isinstance(tree[0], str):
        return _leaf_value(tree[0])
    if len(tree) == 2 and tree[0] == "not":
        return not evaluate_tree(tree[1])
    if len(tree) == 3 and tree[0] in CONNECTIVES:
        return CONNECTIVES[tree[0]](evaluate_tree(tree[1]), evaluate_tree(tree[2]))
    raise TaskError(f"task.meta['trees']: {str(tree)[:40]!r}; allowed: [leaf], [not, tree] or [connective, tree, tree]")


def _leaf_value(leaf: str) -> bool:
    words = leaf.split(" ")
    if len(words) == 1:
        return leaf == "True"
    left = int(words[0]) if len(words) == 3 else int(words[0]) + int(words[2]) * int(words[4])
    return RELATIONS[words[-2]](left, int(words[-1]))


def _written(tree: Tree) -> str:
    """Returns the text of a tree, without parentheses around the whole."""
    if len(tree) == 1:
        return str(tree[0])
    if len(tree) == 2:
        return f"not {_part(tree[1])}"
    return f"{_part(tree[1])} {tree[0]} {_part(tree[2])}"


def _part(tree: Tree) -> str:
    """Returns the text of a tree inside another one."""
    return f"({_written(tree)})" if len(tree) == 3 or " " in tree[0] else _written(tree)


def _reduced(tree: Tree) -> Tree:
    """Returns the tree with every part evaluated whose own parts are truth values; comparisons are such parts."""
    if len(tree) == 1 or all(len(part) == 1 and part[0] in ("True", "False") for part in tree[1:]):
        return [str(evaluate_tree(tree))]
    return [tree[0], *(part if part[0] in ("True", "False") else _reduced(part) for part in tree[1:])]
