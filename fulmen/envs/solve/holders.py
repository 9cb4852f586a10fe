"""Who holds what: the answer form of tasks in which each person holds one thing."""

from collections.abc import Mapping, Sequence

from fulmen.envs.puzzle import Language
from fulmen.rewards.fields import read_pairs

HOLDERS_FORM: Mapping[Language, str] = {
    "en": "Answer with one pair per person, `name: thing`, separated by commas, as in `Tom: hat, Liz: pen`.",
    "zh": "请为每个人写出一对“姓名: 物品”，用逗号分隔，形如“小明: 帽子, 小红: 钢笔”。",
}
_ARTICLES = ("the ", "a ", "an ")


def write_holders(people: Sequence[str], things: Sequence[str], held: Sequence[int]) -> str:
    """Returns `name: thing` for each person, `held` being the index of the thing that each has."""
    return ", ".join(f"{person}: {things[thing]}" for person, thing in zip(people, held, strict=True))


def find_holder_fault(text: str, *, people: Sequence[str], things: Sequence[str], held: Sequence[int]) -> str:
    """Returns what is wrong with an answer that says what each person holds; a thing may have its article.

    Raises:
        DataError: not one pair for each person.
    """
    said = read_pairs(text, keys=[person.lower() for person in people])
    for person, thing in zip(people, held, strict=True):
        name = said[person.lower()]
        article = next((article for article in _ARTICLES if name.startswith(article)), "")
        if name.removeprefix(article) != things[thing].lower():
            return f"{person} does not hold {name!r}"
    return ""
