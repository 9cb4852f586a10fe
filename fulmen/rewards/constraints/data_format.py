"""Replies that are JSON as a whole."""

import json
import random
from dataclasses import dataclass
from typing import Any, ClassVar

from fulmen.rewards.constraints.constraint import Constraint, Phrases, scaled
from fulmen.rewards.constraints.draft import Demands, Draft, Span
from fulmen.rewards.constraints.reading import Language, Reply, split_words
from fulmen.rewards.constraints.vocabulary import JSON_KEYS


class _Json(Constraint):
    """A kind that decides the whole form of the text."""

    UNITS = ()
    CLAIMS = frozenset({"layout", "opening", "ending", "casing", "sentence_start", "sentence_end", "whole"})

    def demands(self) -> Demands:
        return Demands(lines=Span(high=1), paragraphs=Span(high=1))


@dataclass(frozen=True, kw_only=True)
class JsonObject(_Json):
    """A JSON object with given keys and texts as values."""

    KIND = "json_object"
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Answer with one JSON object and nothing else (no code fence), with exactly these keys: {keys}. "
            "Every value is a non-empty string.",
            "The whole reply must be a JSON object, without a code fence, whose keys are just {keys} and whose values "
            "are non-empty strings.",
        ),
        "zh": ("只用一个JSON对象回答（不要代码块），键恰好是：{keys}，每个值都是非空字符串。",),
    }
    keys: tuple[str, ...]

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "JsonObject":
        return cls(keys=tuple(rng.sample(JSON_KEYS[language], scaled(rng, level, easy=(2, 2), hard=(4, 7)))))

    def fault_in(self, reply: Reply) -> str:
        value = _parse(reply.text)
        if not isinstance(value, list) or not all(isinstance(pair, tuple) for pair in value):
            return "not a JSON object"
        keys = [key for key, _ in value]
        if sorted(keys) != sorted(self.keys):
            return f"keys {keys[:20]}, not {list(self.keys)}"
        return "" if all(_is_text(item) for _, item in value) else "a value that is not a string with text"

    def needs(self) -> tuple[str, ...]:
        return ("{", "}", '"', ":", ",", *self.keys)

    def mend(self, draft: Draft) -> None:
        draft.layout = lambda draft: json.dumps(
            dict(zip(self.keys, _texts(draft, len(self.keys)), strict=True)), ensure_ascii=False
        )


@dataclass(frozen=True, kw_only=True)
class JsonArray(_Json):
    """A JSON array of so many texts."""

    KIND = "json_array"
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Answer with one JSON array and nothing else (no code fence): exactly {num} different non-empty strings.",
            "The whole reply must be a JSON array of exactly {num} different non-empty strings, without a code fence.",
        ),
        "zh": ("只用一个JSON数组回答（不要代码块），正好包含{num}个互不相同的非空字符串。",),
    }
    num: int

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "JsonArray":
        return cls(num=scaled(rng, level, easy=(2, 3), hard=(5, 9)))

    def fault_in(self, reply: Reply) -> str:
        value = _parse(reply.text)
        if not isinstance(value, list) or any(isinstance(item, tuple) for item in value):
            return "not a JSON array"
        if len(value) != self.num:
            return f"{len(value)} items, not {self.num}"
        if not all(map(_is_text, value)):
            return "an item that is not a string with text"
        return "" if len(set(value)) == self.num else "an item twice"

    def needs(self) -> tuple[str, ...]:
        return ("[", "]", '"', ",")

    def mend(self, draft: Draft) -> None:
        for passage in draft.passages(is_free=True) if draft.layout else ():
            draft.add_words(passage, 2)
        draft.layout = lambda draft: json.dumps(_texts(draft, self.num), ensure_ascii=False)


def _parse(text: str) -> Any:
    """Returns the JSON value, objects as lists of pairs, so that no key hides another; None if it is none."""
    try:
        return json.loads(text, object_pairs_hook=list, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None


def _refuse(name: str) -> Any:
    """Refuses NaN and infinities, which are not JSON."""
    raise ValueError(name)


def _is_text(value: object) -> bool:
    """Returns whether a value is a string with a word."""
    return isinstance(value, str) and bool(split_words(value))


def _texts(draft: Draft, num: int) -> list[str]:
    """Returns the sentences of a draft in so many texts, none empty; it gets more sentences if it has too few."""
    passages = draft.passages()
    while len(passages) < num:
        draft.body()[0].passages.append(draft.new_passage(3))
        passages = draft.passages()
    texts = [[draft.render_passage(passage) for passage in passages[at::num]] for at in range(num)]
    return [" ".join(each) for each in texts]


KINDS: tuple[type[Constraint], ...] = (JsonObject, JsonArray)
