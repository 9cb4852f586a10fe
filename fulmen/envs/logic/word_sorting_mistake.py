"""Word sorting mistake: the first wrong step in a written account of sorting words.

Each step is judged by the step before it and the stated method, and every step but one follows from it, so the first
wrong step is well defined even where the list is no longer sorted.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from fulmen.envs.base import Puzzle, read_meta, require_between
from fulmen.envs.puzzle import Levels, Phrases, PuzzleEnv, VerifierKind, require_one_of
from fulmen.envs.words import words_between
from fulmen.errors import DataError
from fulmen.types import Task

NONE = "none"
Method = Literal["insertion", "selection"]
METHODS = {
    "en": {
        "insertion": "Step k takes word k of the list above and puts it into the list of the step before, right before "
        "the first word there that comes after it in the alphabet, or at the end if there is none (before step 1 the "
        "list is empty). The last step repeats the list.",
        "selection": "Each step takes, of the words above that are not in the list of the step before, the one that "
        "comes first in the alphabet, and appends it to that list (before step 1 the list is empty). The last step "
        "repeats the list.",
    },
    "zh": {
        "insertion": "第 k 步取上面的第 k 个单词，插入前一步的列表中，放在其中第一个按字母顺序排在它后面的单词之前，"
        "没有这样的单词就放在末尾（第 1 步之前列表为空）。最后一步重复前一步的列表。",
        "selection": "每一步从上面的单词中、在前一步列表里没有的那些里取字母顺序最靠前的一个，追加到列表末尾"
        "（第 1 步之前列表为空）。最后一步重复前一步的列表。",
    },
}
MAX_DRAWS = 100
_NUMBER = re.compile(r"(?:step\s{0,4})?([0-9]{1,3})")


@dataclass(frozen=True, kw_only=True)
class WordSortingMistake(PuzzleEnv):
    """An account of sorting with a mistake, or none."""

    name: str = "word_sorting_mistake"
    num_words: int = 8
    """Words, 2 to 40."""
    num_initials: int = 6
    """Letters that the words begin with, at most, 1 to 20."""
    mistake_percent: int = 90
    """Accounts that have a mistake, in percent, 0 to 100."""
    method: str = "either"
    """How the account sorts: insertion, selection, or either."""

    rule: ClassVar[str] = "name the first step of a sorting account that does not follow from the step before"
    verifier: ClassVar[VerifierKind] = "exact"
    levels: ClassVar[Levels] = (
        {"num_words": 3, "num_initials": 4, "mistake_percent": 75, "method": "selection"},
        {"num_words": 5, "num_initials": 4, "mistake_percent": 80},
        {},
        {"num_words": 15, "num_initials": 5},
        {"num_words": 28, "num_initials": 6},
    )
    phrases: ClassVar[Phrases] = {
        "en": (
            "Words: {words}\nSomebody sorts them. {method}\n{steps}\nWhich is the first step that was not done right? "
            'Answer with its number, like 99, or "none".',
            "The words {words} are to be sorted in alphabetical order in this way: {method}\nThe account:\n{steps}\n"
            "Find the first step whose list is not what the method makes of the step before. Reply with the number of "
            'that step only (e.g. 99); if every step is right, reply "none".',
            "Check the steps of a sort. Words: {words}\nMethod: {method}\n{steps}\nAn error may be a word in the wrong "
            "place, a wrong word, or one that is lost. Give the number of the earliest step with an error (a number "
            'such as 99), or "none" if there is no error.',
        ),
        "zh": (
            "单词：{words}\n有人给它们排序。{method}\n{steps}\n"
            '第一个做错的是哪一步？回答它的编号，如 99；如果都没错，回答 "none"。',
            "检查下面的排序过程。单词：{words}\n方法：{method}\n{steps}\n"
            "请找出第一个不符合方法的步骤（位置放错、取错单词或丢失单词）。"
            '只写该步骤的编号，例如 99；没有错误则写 "none"。',
        ),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between("num_words", self.num_words, low=2, high=40)
        require_between("num_initials", self.num_initials, low=1, high=20)
        require_between("mistake_percent", self.mistake_percent, low=0, high=100)
        require_one_of("method", self.method, allowed=[*get_args(Method), "either"])

    def draw(self, rng: random.Random) -> Puzzle:
        """Returns an account that goes on by the method after its mistake."""
        words = self._words(rng)
        method: str = rng.choice(get_args(Method)) if self.method == "either" else self.method
        mistake = rng.randint(1, len(words) + 1) if rng.randrange(100) < self.mistake_percent else 0
        lists: list[list[str]] = []
        for number in range(1, len(words) + 2):
            before = lists[-1] if lists else []
            right = next_list(words, method, number=number, before=before)
            lists.append(_spoilt(rng, words, right, before=before) if number == mistake else right)
        steps = "\n".join(f"{number}. {', '.join(shown)}" for number, shown in enumerate(lists, 1))
        return Puzzle(
            key=(words, method, lists),
            prompt=self.phrase(rng, words=", ".join(words), method=METHODS[self.language][method], steps=steps),
            gold=str(first_wrong(words, method, lists) or NONE),
            meta={"words": words, "method": method, "lists": lists},
        )

    def find_fault(self, task: Task, text: str) -> str:
        """Returns the reason why a step is not the first wrong one."""
        right = _first_wrong_of(task)
        text = text.lower()
        match = _NUMBER.fullmatch(text)
        if match is None and text not in (NONE, "无"):
            raise DataError(f"answer: {text[:40]!r}; allowed: the number of a step, or none")
        found = int(match[1]) if match else 0
        if found == right and (match is None) == (right == 0):
            return ""
        return f"{found or NONE}, not {right or NONE}"

    def solve_aloud(self, task: Task, rng: random.Random) -> str:
        """Returns what each step should show, up to the first that does not."""
        words = read_meta(task, "words", kind=list)
        method = read_meta(task, "method", kind=str)
        lines, before = [], list[str]()
        for number, shown in enumerate(read_meta(task, "lists", kind=list), 1):
            right = next_list(words, method, number=number, before=before)
            lines.append(f"{number}. {', '.join(right)}: {'ok' if shown == right else 'wrong'}")
            if shown != right:
                break
            before = shown
        return "\n".join([*lines, str(_first_wrong_of(task) or NONE)])

    def _words(self, rng: random.Random) -> list[str]:
        """Returns different words in a random order."""
        known = words_between(min_length=3, max_length=8)
        initials = rng.sample(sorted({word[0] for word in known}), self.num_initials)
        pool = [word for word in known if word[0] in initials]
        return rng.sample(pool if len(pool) >= self.num_words else list(known), self.num_words)


def next_list(words: Sequence[str], method: str, *, number: int, before: Sequence[str]) -> list[str]:
    """Returns the list that a step shows if it follows the method from the list before."""
    if number > len(words):
        return list(before)
    if method == "selection":
        return [*before, *sorted(set(words) - set(before))[:1]]
    word = words[number - 1]
    place = next((at for at, other in enumerate(before) if other > word), len(before))
    return [*before[:place], word, *before[place:]]


def first_wrong(words: Sequence[str], method: str, lists: Sequence[Sequence[str]]) -> int:
    """Returns the number of the first step that does not follow from the step before, or 0."""
    for number, shown in enumerate(lists, 1):
        before = lists[number - 2] if number > 1 else []
        if list(shown) != next_list(words, method, number=number, before=before):
            return number
    return 0


def _first_wrong_of(task: Task) -> int:
    """Returns the first wrong step of a task, or 0."""
    words, method = read_meta(task, "words", kind=list), read_meta(task, "method", kind=str)
    return first_wrong(words, method, read_meta(task, "lists", kind=list))


def _spoilt(rng: random.Random, words: Sequence[str], right: list[str], *, before: Sequence[str]) -> list[str]:
    """Returns another list than the right one: a word elsewhere, another new word, two swapped, or one lost."""
    new = [word for word in right if word not in before] or right[-1:]
    others = [word for word in words if word not in right]
    for _ in range(MAX_DRAWS):
        found = list(right)
        kind = rng.choice(("place", "word", "swap", "lost"))
        if kind == "place":
            found.remove(new[0])
            found.insert(rng.randint(0, len(found)), new[0])
        elif kind == "word" and others:
            found[found.index(new[0])] = rng.choice(others)
        elif kind == "swap" and len(found) > 1:
            place = rng.randrange(len(found) - 1)
            found[place : place + 2] = found[place : place + 2][::-1]
        elif kind == "lost" and len(found) > 1:
            found.pop(rng.randrange(len(found)))
        if found != right:
            return found
    raise AssertionError("a list with a word can be spoilt")
