"""Knights, knaves and alternators: who is what, from two statements of each.

A knight says two true things, a knave two false ones, an alternator one of each, in either order. A truth table over
all assignments proves that the roles follow. Left out: one statement each (`web_of_lies`), and alternation over time.
"""

import random
from dataclasses import dataclass
from typing import ClassVar

from fulmen.envs.base import Puzzle, read_meta, require_between
from fulmen.envs.puzzle import Language, Levels, Phrases, PuzzleEnv, VerifierKind
from fulmen.envs.solve.liars import Village, draw_village, reason
from fulmen.envs.solve.speech import NAMES, say_all, tell
from fulmen.errors import ConfigError
from fulmen.rewards.fields import read_pairs
from fulmen.types import Task

ROLES: dict[Language, tuple[str, ...]] = {"en": ("knight", "knave", "alternator"), "zh": ("骑士", "无赖", "交替者")}
KINDS: dict[Language, tuple[str, str]] = {
    "en": (
        "a knight (both of his statements are true) or a knave (both are false)",
        "a knight (both of his statements are true), a knave (both are false) or an alternator (exactly one of the two "
        "is true, be it the first or the second)",
    ),
    "zh": (
        "骑士（两句话都是真的）或无赖（两句话都是假的）",
        "骑士（两句话都是真的）、无赖（两句话都是假的）或交替者（两句话恰好一真一假，先后不限）",
    ),
}


@dataclass(frozen=True, kw_only=True)
class KnightsAndKnaves(PuzzleEnv):
    """Who is a knight, who a knave, and who alternates."""

    name: str = "knights_and_knaves"
    num_people: int = 5
    """People, 3 to 8."""
    depth: int = 2
    """1: one or two people a statement; 2: also and, or, numbers; 3: also if, nested, larger groups."""
    has_alternators: bool = True
    """Whether some say one true and one false thing; at least one does, then."""

    rule: ClassVar[str] = "tell knights, knaves and alternators by what they say of one another"
    verifier: ClassVar[VerifierKind] = "exact"
    levels: ClassVar[Levels] = tuple(
        {"num_people": people, "depth": depth, "has_alternators": alternators}
        for people, depth, alternators in ((4, 1, False), (4, 1, True), (5, 2, True), (6, 3, True), (8, 3, True))
    )
    phrases: ClassVar[Phrases] = {
        "en": (
            "On an island everybody is {kinds}. Each islander makes two statements.\n{said}\n{logic} Say who is what: "
            "name: kind for each person, in any order, separated by commas, with the kinds {roles}, "
            "for example: Xena: {first}, Yuri: {second}",
            "{num} people each say two things. Every one of them is {kinds}.\n{said}\n{logic} What is each of them? "
            "Give a kind ({roles}) to every person as pairs name: kind with commas between the pairs, in the form "
            "Xena: {first}, Yuri: {second}",
            "Find out the kind of each speaker: everybody is {kinds}. These are their words, two statements each.\n"
            "{said}\n{logic} Answer for all speakers, one pair per person, as in Xena: {first}, Yuri: {second}. The "
            "kinds are called {roles}.",
        ),
        "zh": (
            "岛上每个人都是{kinds}。每人说了两句话。\n{said}\n{logic}请说明每个人的身份，写成“名字: 身份”，"
            "用逗号分隔，顺序不限，身份只能是{roles}，格式例如：甲甲: {first}, 乙乙: {second}",
            "{num} 个人各说了两句话，他们每个人都是{kinds}。\n"
            "{said}\n{logic}他们各是什么人？请给每个人写出身份（{roles}），"
            "形式如 甲甲: {first}, 乙乙: {second}，各对之间用逗号隔开",
        ),
    }
    logic: ClassVar[dict[Language, str]] = {
        "en": '"Or" does not exclude both; an "if" is false only if its first part is true and its second part false.',
        "zh": "“或者”不排除都成立；“如果……那么……”仅当前真后假时为假。",
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between("num_people", self.num_people, low=3, high=8)
        require_between("depth", self.depth, low=1, high=3)

    def draw(self, rng: random.Random) -> Puzzle:
        """Returns statements that leave one possibility."""
        num_roles = 3 if self.has_alternators else 2
        drawn = draw_village(rng, num_people=self.num_people, num_roles=num_roles, num_statements=2, variety=self.depth)
        if drawn is None:
            raise ConfigError(f"depth: {self.depth}; allowed: one whose statements settle {self.num_people} people")
        village, kinds = drawn
        names = rng.sample(NAMES[self.language], self.num_people)
        roles = ROLES[self.language][:num_roles]
        examples = rng.sample(roles, 2)
        prompt = self.phrase(
            rng,
            kinds=KINDS[self.language][num_roles - 2],
            said=say_all(village, names, roles, self.language),
            logic=self.logic[self.language],
            roles=("、" if self.language == "zh" else ", ").join(roles),
            num=self.num_people,
            first=examples[0],
            second=examples[1],
        )
        gold = ", ".join(f"{name}: {roles[kind]}" for name, kind in zip(names, kinds, strict=True))
        meta = {"names": names, "said": village.said, "roles": list(roles), "kinds": kinds}
        return Puzzle(key=(num_roles, village.said), prompt=prompt, gold=gold, meta=meta)

    def find_fault(self, task: Task, text: str) -> str:
        """Returns the first person with another kind than the true one."""
        names, kinds = read_meta(task, "names", kind=list), read_meta(task, "kinds", kind=list)
        roles = read_meta(task, "roles", kind=list)
        said = read_pairs(text, keys=[name.lower() for name in names])
        for name, kind in zip(names, kinds, strict=True):
            # "a knave" is as good as "knave".
            found = said[name.lower()].removeprefix("an ").removeprefix("a ")
            if found != roles[kind]:
                return f"{name} is no {found}" if found in roles else f"{name}: {found!r} is no kind"
        return ""

    def solve_aloud(self, task: Task, rng: random.Random) -> str:
        """Returns what follows from whose words, with suppositions where nothing does."""
        roles = read_meta(task, "roles", kind=list)
        village = Village(num_roles=len(roles), said=read_meta(task, "said", kind=list))
        return tell(reason(village), read_meta(task, "names", kind=list), roles, self.language)
