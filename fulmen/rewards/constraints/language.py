"""Which scripts a reply is written in. Scripts only: languages of one script are not told apart."""

import random
from dataclasses import dataclass
from typing import ClassVar

from fulmen.rewards.constraints.constraint import Constraint, Phrases, scaled
from fulmen.rewards.constraints.draft import Demands, Draft, Span
from fulmen.rewards.constraints.reading import SCRIPTS, Language, Reply, Script
from fulmen.rewards.constraints.vocabulary import FILLER

NAMES: dict[Language, dict[Script, str]] = {
    "en": {
        "latin": "Latin",
        "han": "Chinese (Han)",
        "cyrillic": "Cyrillic",
        "kana": "Japanese Kana",
        "hangul": "Korean Hangul",
        "arabic": "Arabic",
        "greek": "Greek",
    },
    "zh": {
        "latin": "拉丁字母",
        "han": "汉字",
        "cyrillic": "西里尔字母",
        "kana": "日文假名",
        "hangul": "韩文谚文",
        "arabic": "阿拉伯字母",
        "greek": "希腊字母",
    },
}


@dataclass(frozen=True, kw_only=True)
class OnlyScript(Constraint):
    """Letters of one script only."""

    KIND = "only_script"
    CLAIMS = frozenset({"script"})
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Write in the {script} script only: every letter of the reply must belong to it (digits are free).",
            "No letter of any script other than {script} may occur; digits and marks are free.",
        ),
        "zh": (
            "只能用{script}书写，不得出现其他文字（数字和标点不限）。",
            "全文的文字必须都是{script}，数字和标点不限。",
        ),
    }
    script: Script

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "OnlyScript":
        home: Script = "han" if language == "zh" else "latin"
        return cls(script=rng.choice((home, *SCRIPTS[2 : 2 + 2 * level])) if level else home)

    def values(self, language: Language) -> dict[str, str]:
        return {"script": NAMES[language][self.script]}

    def fault_in(self, reply: Reply) -> str:
        foreign = reply.num_letters - reply.num_of_script(self.script)
        if foreign > 0:
            return f"{foreign} letters that are not {NAMES['en'][self.script]}"
        return "" if reply.num_of_script(self.script) else f"no {NAMES['en'][self.script]} letters"

    def needs(self) -> tuple[str, ...]:
        return (FILLER[self.script][0][0],)

    def allows(self, piece: str) -> bool:
        reply = Reply(piece)
        return reply.num_letters <= reply.num_of_script(self.script)

    def mend(self, draft: Draft) -> None:
        draft.script = self.script
        for passage in draft.passages(is_free=True):
            if passage.script != self.script:
                passage.tokens = [token for token in passage.tokens if self.allows(token.text) and token.is_pinned]
                passage.script, passage.end = self.script, draft.end_mark(self.script)
                draft.add_words(passage, 6)


@dataclass(frozen=True, kw_only=True)
class ScriptForbidden(Constraint):
    """No letters of one script."""

    KIND = "script_forbidden"
    LANGUAGES = ("zh",)
    CLAIMS = frozenset({"script"})
    PHRASES: ClassVar[Phrases] = {
        "en": ("Do not use any letter of the {script} script.",),
        "zh": ("不得出现任何{script}。", "全文不能使用{script}。"),
    }
    script: Script

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "ScriptForbidden":
        return cls(script=rng.choice(SCRIPTS[2:] if level else ("latin",)) if rng.random() < 0.3 else "latin")

    def values(self, language: Language) -> dict[str, str]:
        return {"script": NAMES[language][self.script]}

    def fault_in(self, reply: Reply) -> str:
        num = reply.num_of_script(self.script)
        return f"{num} letters that are {NAMES['en'][self.script]}" if num else ""

    def allows(self, piece: str) -> bool:
        return not Reply(piece).num_of_script(self.script)

    def mend(self, draft: Draft) -> None:
        draft.fit()


@dataclass(frozen=True, kw_only=True)
class ForeignLettersAtLeast(Constraint):
    """At least so many letters of another script."""

    KIND = "foreign_letters_at_least"
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Use at least {num} letters of the {script} script somewhere in the reply.",
            "Somewhere, {num} or more letters (or characters) of the {script} script must occur.",
        ),
        "zh": ("文中至少出现{num}个{script}的字符。", "某处要用到不少于{num}个{script}的字符。"),
    }
    script: Script
    num: int

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "ForeignLettersAtLeast":
        home = "han" if language == "zh" else "latin"
        script: Script = rng.choice([script for script in SCRIPTS if script != home])
        return cls(script=script, num=scaled(rng, level, easy=(2, 5), hard=(12, 30)))

    def values(self, language: Language) -> dict[str, str]:
        return super().values(language) | {"script": NAMES[language][self.script]}

    def fault_in(self, reply: Reply) -> str:
        num = reply.num_of_script(self.script)
        return "" if num >= self.num else f"{num} letters that are {NAMES['en'][self.script]}, not {self.num} or more"

    def needs(self) -> tuple[str, ...]:
        return (FILLER[self.script][0][0],)

    def mend(self, draft: Draft) -> None:
        missing = self.num - Reply(draft.render()).num_of_script(self.script)
        while missing > 0 and (word := draft.find_word(lambda word: True, script=self.script)):
            draft.insert_word(word)
            missing -= len(word)


@dataclass(frozen=True, kw_only=True)
class ParagraphScripts(Constraint):
    """Two paragraphs, each in a script of its own."""

    KIND = "paragraph_scripts"
    UNITS = ("paragraph",)
    CLAIMS = frozenset({"script", "layout", "casing"})
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Write exactly two paragraphs: every letter of the first in the {first} script, of the second in {second}.",
            "The reply has two paragraphs; the first uses only {first} letters, the second only {second} letters.",
        ),
        "zh": ("正好写两段：第一段的文字全用{first}，第二段的文字全用{second}。",),
    }
    first: Script
    second: Script

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "ParagraphScripts":
        pair: list[Script] = ["latin", "han"] if level < 3 else list(rng.sample(SCRIPTS, 2))
        rng.shuffle(pair)
        return cls(first=pair[0], second=pair[1])

    def values(self, language: Language) -> dict[str, str]:
        return {"first": NAMES[language][self.first], "second": NAMES[language][self.second]}

    def fault_in(self, reply: Reply) -> str:
        if len(reply.paragraphs) != 2:
            return f"{len(reply.paragraphs)} paragraphs, not 2"
        for text, script in zip(reply.paragraphs, (self.first, self.second), strict=True):
            part = Reply(text)
            if not part.num_letters or part.num_letters > part.num_of_script(script):
                return f"a paragraph that is not {NAMES['en'][script]} throughout"
        return ""

    def needs(self) -> tuple[str, ...]:
        return (FILLER[self.first][0][0], FILLER[self.second][0][0])

    def demands(self) -> Demands:
        return Demands(paragraphs=Span(low=2, high=2))

    def mend(self, draft: Draft) -> None:
        for block, script in zip(draft.blocks, (self.first, self.second), strict=False):
            for passage in block.passages:
                part = Reply(draft.render_passage(passage))
                if part.num_letters > part.num_of_script(script) and not passage.is_fixed:
                    passage.tokens, passage.script = [], script
                    passage.end = draft.end_mark(script)
                    draft.add_words(passage, 6)


KINDS: tuple[type[Constraint], ...] = (OnlyScript, ScriptForbidden, ForeignLettersAtLeast, ParagraphScripts)
