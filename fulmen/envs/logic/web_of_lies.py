"""Web of lies: who tells the truth, from what people say of one another.

Everybody makes one statement. A truth table over all assignments proves that the roles follow from the statements.
Left out: alternating liars (`knights_and_knaves`), and statements about oneself alone.
"""

import random
from dataclasses import dataclass
from typing import ClassVar

from fulmen.envs.base import Puzzle, read_meta, require_between
from fulmen.envs.puzzle import Language, Levels, Phrases, PuzzleEnv, VerifierKind
from fulmen.envs.solve.liars import TRUTH, Village, draw_village, reason
from fulmen.envs.solve.speech import NAMES, say_all, tell
from fulmen.errors import ConfigError
from fulmen.rewards.fields import read_words
from fulmen.types import Task

ROLES: dict[Language, tuple[str, str]] = {"en": ("truth-teller", "liar"), "zh": ("说真话者", "说谎者")}


@dataclass(frozen=True, kw_only=True)
class WebOfLies(PuzzleEnv):
    """Truth-tellers among liars."""

    name: str = "web_of_lies"
    num_people: int = 8
    """People, 3 to 18."""
    variety: int = 2
    """1: one or two people a statement; 2: also and, or, numbers; 3: also if, nested, larger groups."""

    rule: ClassVar[str] = "find the truth-tellers from what people say of one another"
    verifier: ClassVar[VerifierKind] = "exact"
    levels: ClassVar[Levels] = tuple(
        {"num_people": people, "variety": variety} for people, variety in ((4, 1), (5, 2), (8, 2), (12, 3), (18, 3))
    )
    phrases: ClassVar[Phrases] = {
        "en": (
            "Everybody here is either a truth-teller, who says only true things, or a liar, who says only false "
            'things.\n{said}\nAn "or" is true also if both parts are; an "if" is false only if its first part is true '
            "and its second part false. Who are the truth-tellers? List all their names and no others, separated by "
            "commas, for example: Xena, Yuri",
            "{num} people meet. Some of them always tell the truth (truth-tellers), the others always lie (liars).\n"
            '{said}\n"A, or B" holds if at least one of the two does; "if A, then B" fails only when A holds and B '
            "does not. Find every truth-teller. Answer with the names of exactly these, with commas between "
            "them, in any order, in the form: Xena, Yuri",
            "Each line is something that a person said.\n{said}\nWhat truth-tellers say is true, what liars say is "
            'false, and each person is one of the two. ("Or" does not exclude both; "if" promises nothing when its '
            "condition is false, and the whole is then true.) Write down the names of all truth-tellers, and nobody "
            "else, separated by commas, such as: Xena, Yuri",
        ),
        "zh": (
            "这里的每个人要么是说真话者（只说真话），要么是说谎者（只说假话）。\n{said}\n“或者”在两部分都成立时也成立；"
            "“如果……那么……”只在前一部分成立而后一部分不成立时为假。谁是说真话者？请列出所有说真话者的名字，"
            "不列其他人，用逗号分隔，格式例如：甲甲, 乙乙",
            "有 {num} 个人，有的总说真话（说真话者），其余的总说假话（说谎者）。\n{said}\n"
            "说明：“甲，或者乙”指至少一个成立；“如果甲，那么乙”仅当甲成立而乙不成立时不成立。\n请找出全部说真话者，只写他们的名字，用逗号隔开，"
            "顺序不限，形式如：甲甲, 乙乙",
        ),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between("num_people", self.num_people, low=3, high=18)
        require_between("variety", self.variety, low=1, high=3)

    def draw(self, rng: random.Random) -> Puzzle:
        """Returns statements that leave one possibility."""
        drawn = draw_village(rng, num_people=self.num_people, num_roles=2, num_statements=1, variety=self.variety)
        if drawn is None:
            raise ConfigError(f"variety: {self.variety}; allowed: one whose statements settle {self.num_people} people")
        village, roles = drawn
        names = rng.sample(NAMES[self.language], self.num_people)
        said = say_all(village, names, ROLES[self.language], self.language)
        truthful = [name for name, role in zip(names, roles, strict=True) if role == TRUTH]
        prompt = self.phrase(rng, said=said, num=self.num_people)
        meta = {"names": names, "said": village.said, "truthful": truthful}
        return Puzzle(key=(village.said,), prompt=prompt, gold=", ".join(truthful), meta=meta)

    def find_fault(self, task: Task, text: str) -> str:
        """Returns a name that is missing, wrong or repeated."""
        names, truthful = read_meta(task, "names", kind=list), read_meta(task, "truthful", kind=list)
        lower = {name.lower(): name for name in names}
        found = [lower[word] for word in read_words(text.replace(" and ", ", "), allowed=lower)]
        for at, name in enumerate(found):
            if name in found[:at]:
                return f"{name} comes twice"
            if name not in truthful:
                return f"{name} lies"
        missing = len(truthful) - len(found)
        return f"{missing} truth-tellers are missing" if missing else ""

    def solve_aloud(self, task: Task, rng: random.Random) -> str:
        """Returns what follows from whose words, with suppositions where nothing does."""
        village = Village(num_roles=2, said=read_meta(task, "said", kind=list))
        return tell(reason(village), read_meta(task, "names", kind=list), ROLES[self.language], self.language)
