"""Zebra puzzle: who lives where with what, from clues; the answer is a JSON object.

A complete search proves that the clues leave one street; clues that are not needed are taken out where the settings
say so. Left out: clues with "or", ages and other numbers, and rows that close to a ring.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from fulmen.envs.base import Puzzle, read_meta, require_between
from fulmen.envs.puzzle import Language, Levels, Phrases, PuzzleEnv, VerifierKind
from fulmen.envs.solve.houses import NOBODY, Clue, Step, Zebra, holds
from fulmen.errors import DataError
from fulmen.rewards.fields import read_json
from fulmen.types import Task

ATTRIBUTES: dict[Language, dict[str, tuple[str, str]]] = {
    "en": {
        "name": ("{}", "Ada Ben Cleo Dan Eve Finn Gus Ivy"),
        "color": ("the person in the {} house", "red blue green white yellow black purple orange"),
        "pet": ("the person with the {}", "cat dog fish horse parrot rabbit turtle zebra"),
        "drink": ("the person who drinks {}", "water milk tea coffee juice cocoa lemonade cider"),
        "job": ("the {}", "baker doctor farmer lawyer painter pilot singer teacher"),
        "hobby": ("the person who likes {}", "chess dancing fishing hiking knitting reading sailing tennis"),
        "fruit": ("the person who eats the {}", "apple banana cherry fig lemon mango peach plum"),
    },
    "zh": {
        "姓名": ("{}", "小明 小红 小刚 小丽 大伟 阿强 阿芳 小军"),
        "颜色": ("住{}房子的人", "红色 蓝色 绿色 白色 黄色 黑色 紫色 橙色"),
        "宠物": ("养{}的人", "猫 狗 金鱼 马 鹦鹉 兔子 乌龟 斑马"),
        "饮料": ("喝{}的人", "清水 牛奶 红茶 咖啡 果汁 可可 汽水 豆浆"),
        "职业": ("当{}的人", "面包师 医生 农民 律师 画家 飞行员 歌手 教师"),
        "爱好": ("爱好{}的人", "下棋 跳舞 钓鱼 登山 编织 读书 帆船 网球"),
        "水果": ("吃{}的人", "苹果 香蕉 樱桃 柠檬 芒果 桃子 李子 梨"),
    },
}
"""Field of the answer: how a person is named by its value, and the values."""
CLUES: dict[Language, dict[str, str]] = {
    "en": {
        "at": "{0} lives in house {1}.",
        "not_at": "{0} does not live in house {1}.",
        "same": "{0} and {1} are the same person.",
        "not_same": "{0} and {1} are different people.",
        "before": "{0} lives directly to the left of {1}.",
        "left": "{0} lives somewhere to the left of {1}.",
        "beside": "{0} and {1} are next-door neighbours.",
    },
    "zh": {
        "at": "{0}住在 {1} 号房。",
        "not_at": "{0}不住在 {1} 号房。",
        "same": "{0}和{1}是同一个人。",
        "not_same": "{0}和{1}不是同一个人。",
        "before": "{0}紧挨着住在{1}的左边。",
        "left": "{0}住在{1}左边的某处。",
        "beside": "{0}和{1}是相邻的邻居。",
    },
}
STEPS: dict[Language, dict[str, str]] = {
    "en": {
        "clue": "clue {0}",
        "rest": "one each",
        "not": "{0} not in {1}",
        "in": "{0} in {1}",
        "if": "{0} in {1} fails ({2})",
    },
    "zh": {
        "clue": "线索 {0}",
        "rest": "各一",
        "not": "{0} 不在 {1}",
        "in": "{0} 在 {1}",
        "if": "{0} 在 {1} 不行（{2}）",
    },
}
KINDS = ("same", "same", "same", "beside", "beside", "before", "left", "not_same", "not_at", "at")
"""Kinds of clues, as often as they are drawn."""
MAX_HOUSES, MAX_ATTRIBUTES = 6, 6


@dataclass(frozen=True, kw_only=True)
class ZebraPuzzle(PuzzleEnv):
    """A street of houses, and clues about who lives there."""

    name: str = "zebra_puzzle"
    num_houses: int = 4
    """Houses, 2 to 6."""
    num_attributes: int = 4
    """Attributes of each house, 2 to 6."""
    has_spare_clues: bool = False
    """Whether clues stay that the others make needless."""

    rule: ClassVar[str] = "find out who lives where with what; the answer is a JSON object"
    verifier: ClassVar[VerifierKind] = "exact"
    levels: ClassVar[Levels] = tuple(
        {"num_houses": houses, "num_attributes": attributes, "has_spare_clues": spare}
        for houses, attributes, spare in ((3, 2, True), (3, 3, True), (4, 4, False), (5, 5, False), (6, 6, False))
    )
    phrases: ClassVar[Phrases] = {
        "en": (
            "Houses 1 to {num} stand in a row from left to right, one person in each. Every value of these attributes "
            "belongs to exactly one house:\n{values}\nClues:\n{clues}\nWhat belongs where? Answer with one JSON object "
            "that gives each house number an object with all attributes, of the form\n{form}",
            "{num} people live side by side in houses numbered from 1 (leftmost) to {num} (rightmost). They differ in "
            "each of the following; every value occurs once.\n{values}\n{clues}\nFill in all houses. The answer is a "
            "JSON object with the house numbers as keys and, for each, an object from attribute to value:\n{form}",
            "Einstein's riddle, once more. There are {num} houses in a line, number 1 on the far left, each with one "
            "inhabitant. The possible values, each of which fits exactly one house:\n{values}\nYou know that\n"
            "{clues}\nWork out every house and reply in JSON, houses by number, attributes by name, like\n{form}",
        ),
        "zh": (
            "从左到右有 1 至 {num} 号房子排成一行，每座住一人。下列各属性的每个值恰好属于一座房子：\n{values}\n"
            "线索：\n{clues}\n请推出每座房子的情况，用一个 JSON 对象作答："
            "键为房号，值为包含全部属性的对象，形式如\n{form}",
            "{num} 个人并排住在 1 号（最左）到 {num} 号（最右）房子里，每项属性各不相同，"
            "每个值出现一次。\n{values}\n已知：\n{clues}\n"
            "各房子里是什么？答案写成 JSON：以房号为键，以“属性: 值”的对象为值，例如\n{form}",
        ),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between("num_houses", self.num_houses, low=2, high=MAX_HOUSES)
        require_between("num_attributes", self.num_attributes, low=2, high=MAX_ATTRIBUTES)

    def draw(self, rng: random.Random) -> Puzzle:
        """Returns clues true of a random street, enough to leave no other."""
        num = self.num_houses
        house_of = [house for _ in range(self.num_attributes) for house in rng.sample(range(num), num)]
        clues = self._draw_clues(rng, house_of)
        table = ATTRIBUTES[self.language]
        attributes = sorted(rng.sample(list(table), self.num_attributes), key=list(table).index)
        values = [rng.sample(table[attribute][1].split(), num) for attribute in attributes]
        solution = [
            {
                attribute: values[a][house_of[a * num : a * num + num].index(house)]
                for a, attribute in enumerate(attributes)
            }
            for house in range(num)
        ]
        meta = {"attributes": attributes, "values": values, "clues": clues, "solution": solution}
        prompt = self.phrase(
            rng,
            num=num,
            values="\n".join(f"{a}: {', '.join(sorted(v))}" for a, v in zip(attributes, values, strict=True)),
            clues="\n".join(f"{number}. {self._say(meta, clue)}" for number, clue in enumerate(clues, 1)),
            form='{"1": {' + ", ".join(f'"{attribute}": "..."' for attribute in attributes) + '}, "2": {...}, ...}',
        )
        gold = json.dumps({str(house): row for house, row in enumerate(solution, 1)}, ensure_ascii=False)
        return Puzzle(key=(num, self.num_attributes, _rename(clues, num)), prompt=prompt, gold=gold, meta=meta)

    def find_fault(self, task: Task, text: str) -> str:
        """Returns the first house and attribute with another value than the true one."""
        solution = read_meta(task, "solution", kind=list)
        houses = _read_houses(text, num_houses=len(solution))
        for number, (found, row) in enumerate(zip(houses, solution, strict=True), 1):
            if set(found) != set(row):
                raise DataError(f"house {number}: fields {', '.join(found)[:60]}; allowed: {', '.join(row)}")
            for attribute, value in row.items():
                if found[attribute] != value.lower():
                    return f"house {number}: {attribute} is not {found[attribute][:30]}"
        return ""

    def solve_aloud(self, task: Task, rng: random.Random) -> str:
        """Returns which clue rules out which houses; empty where single suppositions do not suffice."""
        values = read_meta(task, "values", kind=list)
        problem = Zebra(read_meta(task, "clues", kind=list), num_houses=len(values[0]), num_attributes=len(values))
        street = problem.start(is_told=True)
        problem.deduce(street)
        if any(houses & houses - 1 for houses in street.houses):
            return ""
        names = [value for row in values for value in row]
        return "\n".join(self._tell(step, names) for step in street.steps)

    def _draw_clues(self, rng: random.Random, house_of: Sequence[int]) -> list[Clue]:
        num, clues = self.num_houses, list[Clue]()

        def problem(chosen: list[Clue]) -> Zebra:
            return Zebra(chosen, num_houses=num, num_attributes=self.num_attributes)

        street = problem([]).start()
        while any(houses & houses - 1 for houses in street.houses):
            clue = _draw_clue(rng, house_of, num)
            if clue not in clues:
                clues.append(clue)
                extended = problem(clues)
                extended.propagate(street, extended.things_of_clue[-1])
        if not self.has_spare_clues:
            for clue in list(clues):
                rest = [other for other in clues if other is not clue]
                clues = rest if problem(rest).count_solutions() == 1 else clues
        return clues

    def _say(self, meta: dict[str, Any], clue: Clue) -> str:
        kind, x, y = clue

        def name(thing: int) -> str:
            attribute, value = divmod(thing, self.num_houses)
            pattern = ATTRIBUTES[self.language][meta["attributes"][attribute]][0]
            return pattern.format(meta["values"][attribute][value])

        text = CLUES[self.language][kind].format(name(x), y + 1 if kind in ("at", "not_at") else name(y))
        return text[0].upper() + text[1:]

    def _tell(self, step: Step, names: Sequence[str]) -> str:
        words = STEPS[self.language]

        def name_clue(clue: int) -> str:
            return words["rest"] if clue == NOBODY else words["clue"].format(clue + 1)

        name = names[step.thing]
        if step.refuted_by is not None:
            reason = words["if"].format(name, step.removed.bit_length(), name_clue(step.refuted_by))
        else:
            reason = name_clue(step.clue)
        if step.left & step.left - 1 == 0:
            return f"{reason}: " + words["in"].format(name, step.left.bit_length())
        removed = " ".join(str(house + 1) for house in range(MAX_HOUSES) if step.removed >> house & 1)
        return f"{reason}: " + words["not"].format(name, removed)


def _draw_clue(rng: random.Random, house_of: Sequence[int], num_houses: int) -> Clue:
    """Returns a clue that is true and says something."""
    while True:
        kind = rng.choice(KINDS)
        x, y = rng.sample(range(len(house_of)), 2)
        if kind in ("at", "not_at"):
            clue = [kind, x, rng.randrange(num_houses)]
        elif kind in ("same", "not_same", "beside"):
            clue = [kind, min(x, y), max(x, y)]
        else:
            clue = [kind, x, y]
        is_same_attribute = x // num_houses == y // num_houses
        if holds(clue, house_of) and not (kind == "not_same" and is_same_attribute):
            return clue


def _rename(clues: Sequence[Clue], num_houses: int) -> list[Clue]:
    """Returns the clues with attributes and values numbered as they come up, so that names do not matter."""
    attributes: dict[int, int] = {}
    things: dict[int, list[int]] = {}

    def rename(thing: int) -> list[int]:
        attribute = attributes.setdefault(thing // num_houses, len(attributes))
        known = sum(old // num_houses == thing // num_houses for old in things)
        return things.setdefault(thing, [attribute, known])

    return [[kind, rename(x), y if kind in ("at", "not_at") else rename(y)] for kind, x, y in clues]


def _read_houses(text: str, *, num_houses: int) -> list[dict[str, str]]:
    """Returns attribute to value for each house, from an object with house numbers as keys or a list in their order."""
    value = read_json(text)
    if isinstance(value, dict):
        by_number = {key.lower().removeprefix("house").strip(" _"): house for key, house in value.items()}
        value = (
            [by_number.get(str(number)) for number in range(1, num_houses + 1)] if len(by_number) == num_houses else []
        )
    if not isinstance(value, list) or len(value) != num_houses or not all(isinstance(house, dict) for house in value):
        raise DataError(
            f"answer: JSON of another kind; allowed: an object with keys 1 to {num_houses}, objects as values"
        )
    houses = []
    for house in value:
        if not all(isinstance(v, str) for v in house.values()):
            raise DataError("answer: a value that is no text; allowed: texts")
        found = {key.strip().lower(): v.strip().lower() for key, v in house.items()}
        if len(found) != len(house):
            raise DataError("answer: an attribute twice; allowed: each once")
        houses.append(found)
    return houses
