"""Object properties: changes that depend on properties, then a count.

A change touches all objects it describes at once, as they are before it: it sets a property, permutes the values of
one, removes or copies objects, or does the first only if enough objects are of some kind.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from fulmen.envs.base import Puzzle, read_meta, require_between
from fulmen.envs.puzzle import Language, Levels, Phrases, PuzzleEnv, VerifierKind
from fulmen.envs.things import FEATURE_NAMES, FEATURES
from fulmen.rewards.measured import read_measured
from fulmen.types import Task

Object = list[int]
"""Index of the value of each feature."""
Terms = Sequence[Sequence[Any]]
"""[feature, value, whether it must have it] each; all must hold."""
Change = Mapping[str, Any]
KINDS = ("set", "permute", "remove", "copy", "if")
MAX_GROWTH = 3
"""Copies never make more than so many times the first number of objects."""

TEXTS: Mapping[Language, Mapping[str, str]] = {
    "en": {
        "is": "{feature} is {value}",
        "is_not": "{feature} is not {value}",
        "and": " and ",
        "set": "Every object whose {terms} gets the {feature} {value}.",
        "permute": "All at once, the {feature} changes: {pairs}; any other {feature} stays.",
        "pair": "{0} becomes {1}",
        "remove": "Every object whose {terms} is removed.",
        "copy": "For every object whose {terms}, one object is added that is like it in all but the {feature}, "
        "which is {value}.",
        "if": "If there are at least {least} objects whose {also}, every object whose {terms} gets the {feature} "
        "{value}; otherwise nothing changes.",
        "all": "whose {terms}",
        "any": "for which at least one of these is true: {terms}",
        "nothing": "nothing",
        "removed": "removed",
        "units": "object,objects",
    },
    "zh": {
        "is": "{feature}为{value}",
        "is_not": "{feature}不为{value}",
        "and": "且",
        "set": "所有{terms}的物体，{feature}变为{value}。",
        "permute": "所有物体的{feature}同时变化：{pairs}；其余{feature}不变。",
        "pair": "{0}变为{1}",
        "remove": "所有{terms}的物体被移走。",
        "copy": "每有一个{terms}的物体，就增加一个物体，除{feature}为{value}外，其余性质与它相同。",
        "if": "如果{also}的物体至少有{least}个，则所有{terms}的物体，{feature}变为{value}；否则不变。",
        "all": "{terms}",
        "any": "至少满足其中一条（{terms}）",
        "nothing": "不变",
        "removed": "移走",
        "units": "个,个物体",
    },
}


@dataclass(frozen=True, kw_only=True)
class ObjectProperties(PuzzleEnv):
    """Objects with several properties that change in steps."""

    name: str = "object_properties"
    num_objects: int = 10
    """Objects at first, 2 to 40."""
    num_features: int = 4
    """Properties of each, 2 to 7."""
    num_values: int = 4
    """Values of each property, 2 to 6."""
    num_changes: int = 5
    """Changes, 1 to 20."""
    num_terms: int = 2
    """Most conditions joined in one sentence, 1 to 3, up to `num_features`."""

    rule: ClassVar[str] = "change properties of objects step by step, then count those of a kind"
    verifier: ClassVar[VerifierKind] = "number"
    levels: ClassVar[Levels] = (
        {"num_objects": 6, "num_features": 2, "num_values": 3, "num_changes": 1, "num_terms": 1},
        {"num_objects": 8, "num_features": 3, "num_values": 3, "num_changes": 3, "num_terms": 1},
        {},
        {"num_objects": 18, "num_features": 6, "num_values": 4, "num_changes": 8, "num_terms": 2},
        {"num_objects": 30, "num_features": 7, "num_values": 5, "num_changes": 14, "num_terms": 3},
    )
    phrases: ClassVar[Phrases] = {
        "en": (
            "Objects and their properties ({features}):\n{objects}\nThey change in these steps, each of which looks at "
            "the objects as the step before has left them and acts on all of them at once:\n{changes}\nHow many "
            "objects are there now {question}? Answer with the number alone, such as 99.",
            "Each line is an object, with its {features}:\n{objects}\nNow, in this order (whom a step concerns is "
            "decided just before it, for all objects together, added ones included):\n{changes}\nCount the objects "
            "{question}, after the last step. Write only the number, in the form 99.",
            "There is a table of {features}, one object per line:\n{objects}\nSteps, carried out one after another, "
            "each for all objects that fit it when it begins:\n{changes}\nWhat is the final number of objects "
            "{question}? Give one number in digits (like 99) and nothing else.",
        ),
        "zh": (
            "下面每行是一个物体的性质（{features}）：\n{objects}\n依次进行下列步骤，每一步按上一步之后的状态判断，"
            "并同时作用于所有符合的物体：\n{changes}\n最后{question}的物体有多少个？只回答一个数字，例如 99。",
            "物体清单，每行依次是{features}：\n{objects}\n步骤按顺序执行；某一步涉及哪些物体（包括新增的物体），"
            "在该步开始时对全部物体一起判断：\n{changes}\n请数出全部步骤之后{question}的物体个数，"
            "只写阿拉伯数字，形如 99。",
        ),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between("num_objects", self.num_objects, low=2, high=40)
        require_between("num_features", self.num_features, low=2, high=len(FEATURES))
        require_between("num_values", self.num_values, low=2, high=6)
        require_between("num_changes", self.num_changes, low=1, high=20)
        require_between("num_terms", self.num_terms, low=1, high=min(3, self.num_features))

    def draw(self, rng: random.Random) -> Puzzle:
        """Returns changes of which each does something, and a question that some object fits."""
        features = rng.sample(list(FEATURES), self.num_features)
        objects = [[rng.randrange(self.num_values) for _ in features] for _ in range(self.num_objects)]
        state = objects
        changes: list[Change] = []
        while len(changes) < self.num_changes:
            change = self._draw_change(state, rng)
            after = _apply(change, state)
            if 2 <= len(after) <= MAX_GROWTH * self.num_objects:
                state = after
                changes.append(change)
        question: dict[str, Any] = {"terms": self._draw_terms(rng.choice(state), rng), "is_any": rng.random() < 0.3}
        texts = TEXTS[self.language]
        kind = "any" if question["is_any"] and len(question["terms"]) > 1 else "all"
        joint = ("; " if self.language == "en" else "；") if kind == "any" else texts["and"]
        prompt = self.phrase(
            rng,
            features=(", " if self.language == "en" else "、").join(FEATURE_NAMES[self.language][f] for f in features),
            objects="\n".join(f"{n}: {self._describe(thing, features)}" for n, thing in enumerate(objects, 1)),
            changes="\n".join(f"{n}. {self._tell(change, features)}" for n, change in enumerate(changes, 1)),
            question=texts[kind].format(terms=self._terms(question["terms"], features, joint=joint)),
        )
        meta = {"features": features, "objects": objects, "changes": changes, "question": question}
        gold = str(sum(_fits(thing, question["terms"], is_any=kind == "any") for thing in state))
        return Puzzle(key=(features, objects, changes, question), prompt=prompt, gold=gold, meta=meta)

    def find_fault(self, task: Task, text: str) -> str:
        """Makes the changes again and compares the count; the number may be followed by "objects"."""
        said = read_measured(text, units={unit for texts in TEXTS.values() for unit in texts["units"].split(",")})
        state = read_meta(task, "objects", kind=list)
        for change in read_meta(task, "changes", kind=list):
            state = _apply(change, state)
        question = read_meta(task, "question", kind=dict)
        right = sum(_fits(thing, question["terms"], is_any=question["is_any"]) for thing in state)
        return "" if said == right else f"{said} objects do not fit"

    def solve_aloud(self, task: Task, rng: random.Random) -> str:
        """Returns the objects that each change touches, as they are after it, then those that are counted."""
        features, objects, changes = (read_meta(task, name, kind=list) for name in ("features", "objects", "changes"))
        question = read_meta(task, "question", kind=dict)
        texts = TEXTS[self.language]
        named = list(enumerate(objects, 1))
        num_named = len(named)
        lines = []
        for number, change in enumerate(changes, 1):
            kept, added = _step(change, [thing for _, thing in named])
            notes = [
                f"{label}: {self._describe(new, features)}" if new else f"{label} {texts['removed']}"
                for (label, thing), new in zip(named, kept, strict=True)
                if new != thing
            ]
            after = [(label, new) for (label, _), new in zip(named, kept, strict=True) if new]
            for copy in added:
                num_named += 1
                after.append((num_named, copy))
                notes.append(f"{num_named}: {self._describe(copy, features)}")
            named = after
            lines.append(f"{number}. {'; '.join(notes) or texts['nothing']}")
        fitting = [str(label) for label, thing in named if _fits(thing, question["terms"], is_any=question["is_any"])]
        return "\n".join([*lines, f"{', '.join(fitting)}: {len(fitting)}"])

    def _draw_terms(self, thing: Object, rng: random.Random) -> list[list[Any]]:
        """Returns conditions that an object fits, on different features, a third of them negated."""
        terms: list[list[Any]] = []
        for feature in sorted(rng.sample(range(self.num_features), rng.randint(1, self.num_terms))):
            is_it = rng.random() < 0.67
            others = [value for value in range(self.num_values) if value != thing[feature]]
            terms.append([feature, thing[feature] if is_it else rng.choice(others), is_it])
        return terms

    def _draw_change(self, state: Sequence[Object], rng: random.Random) -> Change:
        """Returns a change; it names objects that exist."""
        kind = rng.choices(KINDS, weights=(5, 3, 2, 2, 3))[0]
        feature = rng.randrange(self.num_features)
        if kind == "permute":
            values = rng.sample(range(self.num_values), rng.randint(2, min(3, self.num_values)))
            first = values.index(min(values))
            return {"kind": kind, "feature": feature, "values": values[first:] + values[:first]}
        terms = self._draw_terms(rng.choice(state), rng)
        if kind == "remove":
            return {"kind": kind, "terms": terms}
        change = {"kind": kind, "terms": terms, "feature": feature, "value": rng.randrange(self.num_values)}
        if kind == "if":
            also = self._draw_terms(rng.choice(state), rng)
            number = sum(_fits(thing, also) for thing in state)
            change |= {"also": also, "least": max(2, number + rng.randint(-1, 1))}
        return change

    def _tell(self, change: Change, features: Sequence[str]) -> str:
        """Returns the sentence of a change."""
        texts = TEXTS[self.language]
        if change["kind"] == "remove":
            return texts["remove"].format(terms=self._terms(change["terms"], features, joint=texts["and"]))
        feature = features[change["feature"]]
        words = FEATURES[feature][self.language]
        feature_name = FEATURE_NAMES[self.language][feature]
        if change["kind"] == "permute":
            values = change["values"]
            pairs = [
                texts["pair"].format(words[a], words[b]) for a, b in zip(values, values[1:] + values[:1], strict=True)
            ]
            return texts["permute"].format(
                feature=feature_name, pairs=(", " if self.language == "en" else "，").join(pairs)
            )
        return texts[change["kind"]].format(
            terms=self._terms(change["terms"], features, joint=texts["and"]),
            also=self._terms(change.get("also", ()), features, joint=texts["and"]),
            least=change.get("least"),
            feature=feature_name,
            value=words[change["value"]],
        )

    def _terms(self, terms: Terms, features: Sequence[str], *, joint: str) -> str:
        """Returns conditions in words."""
        return joint.join(
            TEXTS[self.language]["is" if is_it else "is_not"].format(
                feature=FEATURE_NAMES[self.language][features[feature]],
                value=FEATURES[features[feature]][self.language][value],
            )
            for feature, value, is_it in terms
        )

    def _describe(self, thing: Object, features: Sequence[str]) -> str:
        words = [FEATURES[feature][self.language][value] for feature, value in zip(features, thing, strict=True)]
        return ", ".join(words)


def _fits(thing: Object, terms: Terms, *, is_any: bool = False) -> bool:
    """Returns whether an object fits all conditions, or any of them."""
    results = [(thing[feature] == value) == is_it for feature, value, is_it in terms]
    return any(results) if is_any else all(results)


def _apply(change: Change, state: Sequence[Object]) -> list[Object]:
    """Returns the objects after a change, added ones last."""
    kept, added = _step(change, state)
    return [thing for thing in kept if thing] + added


def _step(change: Change, state: Sequence[Object]) -> tuple[list[Object], list[Object]]:
    """Returns what becomes of each object (an empty list where it is removed), and the objects that are added."""
    kind = change["kind"]
    if kind == "permute":
        values, feature = change["values"], change["feature"]
        new = dict(zip(values, values[1:] + values[:1], strict=True))
        return [[*t[:feature], new.get(t[feature], t[feature]), *t[feature + 1 :]] for t in state], []
    is_hit = [_fits(thing, change["terms"]) for thing in state]
    if kind == "remove":
        return [[] if hit else thing for thing, hit in zip(state, is_hit, strict=True)], []
    feature, value = change["feature"], change["value"]
    changed = [[*thing[:feature], value, *thing[feature + 1 :]] for thing in state]
    if kind == "copy":
        return list(state), [new for new, hit in zip(changed, is_hit, strict=True) if hit]
    if kind == "if" and sum(_fits(thing, change["also"]) for thing in state) < change["least"]:
        return list(state), []
    return [new if hit else thing for thing, new, hit in zip(state, changed, is_hit, strict=True)], []
