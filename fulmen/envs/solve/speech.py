"""What people in puzzles of liars say, and the reasoning about it, in words."""

from collections.abc import Mapping, Sequence

from fulmen.envs.puzzle import Language
from fulmen.envs.solve.liars import Reasoning, Statement, Village

_ENGLISH = "Ada Ben Cleo Dan Eve Finn Gus Hal Ivy Jude Kim Leo Mia Ned Ola Pam Quin Rae Sam Tess Uma Vic"
_CHINESE = "小明 小红 小刚 小丽 阿强 阿芳 大伟 小军 小燕 阿杰 小梅 大山 小雪 阿龙 小云 阿峰 小兰 大海 小宝 阿珍"
NAMES: Mapping[Language, tuple[str, ...]] = {"en": tuple(_ENGLISH.split()), "zh": tuple(_CHINESE.split())}
PATTERNS: Mapping[Language, Mapping[str, str]] = {
    "en": {
        "is": "{0} is {1}",
        "same": "{0} and {1} are of the same kind",
        "differ": "{0} and {1} are of different kinds",
        "and": "{0}, and {1}",
        "or": "{0}, or {1}",
        "if": "if {0}, then {1}",
        "count": "the number of {1}s among {0} is {2} {3}",
        "says": "{0}: {1}.",
        "by": "{2}'s words: {0} is {1}",
        "suppose": "Suppose {0} is {1}.",
        "broken": "{0}'s words do not fit.",
        "reject": "So {0} is not {1}.",
        "left": "So {0} is {1}.",
    },
    "zh": {
        "is": "{0}是{1}",
        "same": "{0}和{1}是同一类人",
        "differ": "{0}和{1}不是同一类人",
        "and": "{0}，并且{1}",
        "or": "{0}，或者{1}",
        "if": "如果{0}，那么{1}",
        "count": "{0}当中{1}的人数{2} {3}",
        "says": "{0}：{1}。",
        "by": "由{2}的话：{0}是{1}",
        "suppose": "假设{0}是{1}。",
        "broken": "{0}的话不符。",
        "reject": "所以{0}不是{1}。",
        "left": "所以{0}是{1}。",
    },
}
BOUNDS: Mapping[Language, Mapping[str, str]] = {
    "en": {"exactly": "exactly", "at least": "at least", "at most": "at most"},
    "zh": {"exactly": "恰好是", "at least": "至少是", "at most": "至多是"},
}


def say(statement: Statement, names: Sequence[str], roles: Sequence[str], language: Language) -> str:
    """Returns a statement as a clause."""
    kind, *rest = statement
    pattern = PATTERNS[language][kind]
    if kind == "is":
        return pattern.format(names[rest[0]], _one(roles[rest[1]], language))
    if kind in ("same", "differ"):
        return pattern.format(*(names[person] for person in rest))
    if kind == "count":
        people, role, bound, number = rest
        return pattern.format(
            _enumerate([names[person] for person in people], language), roles[role], BOUNDS[language][bound], number
        )
    return pattern.format(*(say(part, names, roles, language) for part in rest))


def say_all(village: Village, names: Sequence[str], roles: Sequence[str], language: Language) -> str:
    """Returns everybody's words, one statement a line."""
    pattern = PATTERNS[language]["says"]
    lines = []
    for person, statements in enumerate(village.said):
        for statement in statements:
            clause = say(statement, names, roles, language)
            lines.append(pattern.format(names[person], clause[0].upper() + clause[1:]))
    return "\n".join(lines)


def tell(reasoning: Reasoning, names: Sequence[str], roles: Sequence[str], language: Language) -> str:
    """Returns the steps of a reasoning, one a line."""
    patterns = PATTERNS[language]
    lines = []
    for how, person, role in reasoning.steps:
        if how.startswith("set "):
            lines.append(patterns["by"].format(names[person], _one(roles[role], language), names[int(how[4:])]))
        elif how == "broken":
            lines.append(patterns["broken"].format(names[person]))
        elif how != "reject" or len(roles) > 2:
            lines.append(patterns[how].format(names[person], _one(roles[role], language)))
    return "\n".join(lines)


def _one(role: str, language: Language) -> str:
    """Returns a role with its article."""
    return role if language == "zh" else f"an {role}" if role[0] in "aeiou" else f"a {role}"


def _enumerate(words: Sequence[str], language: Language) -> str:
    if language == "zh":
        return "、".join(words)
    return ", ".join(words[:-1]) + " and " + words[-1]
