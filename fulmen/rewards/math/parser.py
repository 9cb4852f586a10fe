r"""Answers: what is built of expressions. Tuples, sets, intervals, relations, quantities, matrices, times, words.

answer   := item (("," | ";" | "or" | "and") item)*
item     := operand (relation operand)*             relation: = < > <= >= != in ~
operand  := region | words | matrix | ratio | time | number with a base | expression unit?
"""

import itertools

from fulmen.errors import DataError
from fulmen.rewards.math.expressions import Cursor, fail, parse_sum
from fulmen.rewards.math.lexer import Token, tokenize
from fulmen.rewards.math.nodes import (
    EMPTY_SET,
    Based,
    Clock,
    Expr,
    Group,
    Interval,
    Matrix,
    Name,
    Node,
    Number,
    Op,
    Quantity,
    Ratio,
    Region,
    Relation,
    Unit,
    Words,
    is_expr,
    neg,
    number,
    walk,
)
from fulmen.rewards.math.regions import REAL_LINE, as_region, relation_region, without
from fulmen.rewards.math.units import MULTIPLIERS, read_unit

MAX_ITEMS = 64
"""Items of a list, set or tuple, and rows or columns of a matrix."""
_MATRICES = ("matrix", "pmatrix", "bmatrix", "array", "smallmatrix")
_OPENING = {"(": ")", "[": "]", "\\{": "\\}", "{": "}", "<(": ")>"}
_RELATIONS = ("=", "<", ">", "<=", ">=", "!=", "in", "~")
_CURRENCIES = {"$": "dollars", "£": "£", "€": "€", "¥": "¥"}
_SETS: dict[str, Node] = {"emptyset": EMPTY_SET, "\\mathbb{R}": Region((REAL_LINE,))}
_SENTENCES: dict[str, Node] = {
    "no solution": EMPTY_SET,
    "no solutions": EMPTY_SET,
    "there is no solution": EMPTY_SET,
    "there are no solutions": EMPTY_SET,
    "empty set": EMPTY_SET,
    "the empty set": EMPTY_SET,
    "all real numbers": Region((REAL_LINE,)),
    "all reals": Region((REAL_LINE,)),
    "does not exist": Words("dne"),
}


def parse_answer(text: str) -> Node:
    r"""Returns what an answer says.

    >>> parse_answer(r"\frac{1}{2}\text{ cm}")
    Quantity(value=Op(kind='mul', args=(Number(value=Fraction(1, 1)), ...

    Raises:
        DataError: it is not in the grammar, or too large.
    """
    return parse_tokens(tokenize(text))


def parse_tokens(tokens: list[Token]) -> Node:
    """Returns what the tokens of an answer say.

    Raises:
        DataError: they are not in the grammar.
    """
    steps = [{"{": 1, "}": -1}.get(token.text, 0) for token in tokens if token.kind == "sym"]
    heights = list(itertools.accumulate(steps, initial=0))
    if min(heights) < 0 or heights[-1]:
        raise DataError("answer: braces that do not match; allowed: balanced braces")
    return _answer(tokens)


def _answer(tokens: list[Token]) -> Node:
    """Returns the list of items, or the only one."""
    parts, joints = _split(tokens, (",", ";", "or", "and"))
    # "1, 2, and 3" has an empty item; "1,,2" and "1," have too, and are none.
    kept = [part for i, part in enumerate(parts) if part or not _is_oxford(i, joints)]
    if len(kept) > MAX_ITEMS:
        raise DataError(f"answer: {len(kept)} items; allowed: up to {MAX_ITEMS}")
    items = [member for part in kept for member in _spread(_item(part))]
    if len(items) == 1:
        return items[0]
    union = _union_of_relations(items) if set(joints) == {"or"} else None
    return union or Group("list", tuple(items))


def _union_of_relations(items: list[Node]) -> Region | None:
    """Returns what inequalities joined by "or" say, if all are of one variable."""
    regions = [relation_region(item) if isinstance(item, Relation) else None for item in items]
    found = [region for region in regions if region is not None]
    if len(found) < len(items) or len({region.name for region in found}) > 1:
        return None
    return Region(tuple(part for region in found for part in region.parts), found[0].name)


def _is_oxford(index: int, joints: list[str]) -> bool:
    """Returns whether a part is what stands between the comma and the word of ", and"."""
    return 0 < index < len(joints) and joints[index - 1] == "," and joints[index] in ("or", "and")


def _split(tokens: list[Token], separators: tuple[str, ...]) -> tuple[list[list[Token]], list[str]]:
    """Returns the parts between separators that are in no brackets, and the separators."""
    parts: list[list[Token]] = [[]]
    joints: list[str] = []
    for token, is_outer in zip(tokens, _outer(tokens), strict=True):
        if is_outer and token.kind != "num" and token.text in separators:
            joints.append(token.text)
            parts.append([])
        else:
            parts[-1].append(token)
    return parts, joints


def _outer(tokens: list[Token]) -> list[bool]:
    """Returns which tokens are in no brackets; of half-open intervals, the two ends need not match."""
    depths: list[bool] = []
    depth = 0
    for token in tokens:
        is_sign = token.kind == "sym"
        is_closing = is_sign and (token.text in (")", "]", "}", "\\}", ")>") or token.text.startswith("end "))
        is_opening = is_sign and (token.text in _OPENING or token.text.startswith("begin "))
        depth -= is_closing
        depths.append(depth == 0 and not is_closing)
        depth += is_opening
    return depths


def _spread(item: Node) -> list[Node]:
    r"""Returns the values that \pm and \mp stand for, upper signs first, or the item itself."""
    if isinstance(item, Relation) and item.ops == ("=",):
        label, value = item.members
        return [Relation((label, branch), ("=",)) for branch in _spread(value)]
    if isinstance(item, Quantity):
        values = _spread(item.value)
        return [Quantity(value, item.unit) for value in values if isinstance(value, Number | Name | Op)]
    if not isinstance(item, Number | Name | Op) or not any(_is_double(node) for node in walk(item)):
        return [item]
    return [_choose(item, upper=True), _choose(item, upper=False)]


def _is_double(node: Expr) -> bool:
    return isinstance(node, Op) and node.kind in ("pm", "mp")


def _choose(expr: Expr, *, upper: bool) -> Expr:
    """Returns the expression with one choice of all double signs."""
    if not isinstance(expr, Op):
        return expr
    args = tuple(_choose(arg, upper=upper) for arg in expr.args)
    if expr.kind in ("pm", "mp"):
        return args[0] if (expr.kind == "pm") == upper else neg(args[0])
    return Op(expr.kind, args)


def _item(tokens: list[Token]) -> Node:
    """Returns one item: an operand, or a relation between some."""
    if not tokens:
        raise DataError("answer: an empty item; allowed: items between separators")
    parts, joints = _split(tokens, _RELATIONS)
    if joints and not parts[0] and joints[0] in ("~", "=", "in"):
        # "= 5" and "\approx 5": what stands before is understood.
        parts, joints = parts[1:], joints[1:]
    members = tuple(_operand(part) for part in parts)
    if not joints:
        return members[0]
    if len(joints) == 1 and joints[0] == "=" and is_expr(members[1]) and isinstance(members[0], Number):
        members = (members[1], members[0]) if isinstance(members[1], Name) else members
    return Relation(members, tuple(joints))


def _operand(tokens: list[Token]) -> Node:
    """Returns what stands between relations."""
    if not tokens:
        raise DataError("answer: a relation without a side; allowed: one on each side")
    if len(tokens) == 1 and tokens[0].text in _SETS:
        return _SETS[tokens[0].text]
    parts, _ = _split(tokens, ("cup",))
    if len(parts) > 1:
        return _union([_operand(part) for part in parts])
    parts, _ = _split(tokens, ("setminus",))
    if len(parts) == 2:
        return without(_operand(parts[0]), _operand(parts[1]))
    if all(token.kind == "word" or (token.kind == "sym" and token.text in "-'.") for token in tokens):
        return _words(tokens)
    for read in (_bracketed, _matrix, _clock, _based, _ratio):
        found = read(tokens)
        if found is not None:
            return found
    return _quantity(tokens)


def _words(tokens: list[Token]) -> Node:
    """Returns what plain words say."""
    text = " ".join(token.text for token in tokens).casefold().strip(" .")
    return _SENTENCES.get(text, Words(text))


def _union(parts: list[Node]) -> Node:
    """Returns a union of intervals, or of sets."""
    if all(isinstance(part, Group) and part.kind == "set" for part in parts):
        return Group(
            "set", tuple(itertools.chain.from_iterable(part.items for part in parts if isinstance(part, Group)))
        )
    intervals: list[Interval] = []
    for part in parts:
        found = as_region(part)
        if found is None:
            raise DataError("answer: a union of what is no set; allowed: intervals and sets")
        intervals.extend(found.parts)
    return Region(tuple(intervals))


def _bracketed(tokens: list[Token]) -> Node | None:
    """Returns the tuple, set or interval that fills the tokens, or None."""
    opening, closing = tokens[0], tokens[-1]
    if opening.kind != "sym" or opening.text not in _OPENING or len(tokens) < 2 or closing.kind != "sym":
        return None
    if any(_outer(tokens)[1:]):
        return None
    inner = tokens[1:-1]
    if opening.text == "\\{" or (opening.text == "{" and closing.text == "}"):
        return _set(inner, is_braced=opening.text == "\\{")
    parts, _ = _split(inner, (",", ";"))
    if opening.text + closing.text in ("<()>",) or len(parts) > 2:
        return Group("tuple", _items(parts)) if len(parts) > 1 else None
    if len(parts) < 2:
        return _unwrapped(inner) if opening.text == "(" and closing.text == ")" else None
    if opening.text == "(" and closing.text == ")":
        return Group("tuple", _items(parts))
    low, high = (_expression(part) for part in parts)
    return Interval(low, high, opening.text == "[", closing.text == "]")


def _unwrapped(inner: list[Token]) -> Node | None:
    """Returns what stands in parentheses around a whole answer, where it is text; else None."""
    is_text = bool(inner) and all(token.kind == "word" for token in inner)
    return _operand(inner) if is_text or (len(inner) == 1 and inner[0].kind == "name") else None


def _items(parts: list[list[Token]]) -> tuple[Node, ...]:
    """Returns the items of a bracket."""
    if len(parts) > MAX_ITEMS:
        raise DataError(f"answer: {len(parts)} items; allowed: up to {MAX_ITEMS}")
    return tuple(_item(part) for part in parts)


def _set(inner: list[Token], *, is_braced: bool) -> Node | None:
    """Returns a set; bare braces are one where they hold several items."""
    if not inner:
        return EMPTY_SET if is_braced else None
    condition, _ = _split(inner, ("|", ":"))
    if is_braced and len(condition) == 2 and len(condition[0]) in (1, 3):
        return _item(condition[1])
    parts, _ = _split(inner, (",", ";"))
    if not is_braced and len(parts) < 2:
        return None
    items = tuple(member for item in _items(parts) for member in _spread(item))
    return Group("set", items)


def _matrix(tokens: list[Token]) -> Matrix | None:
    """Returns a matrix, with a factor before it multiplied in, or None."""
    start = next((i for i, token in enumerate(tokens) if token.kind == "sym" and token.text.startswith("begin ")), None)
    if start is None:
        return None
    environment = tokens[start].text.removeprefix("begin ")
    if (
        environment not in ("matrix", "pmatrix", "bmatrix", "array", "smallmatrix")
        or tokens[-1].text != f"end {environment}"
    ):
        raise DataError(f"answer: environment '{environment}'; allowed: a matrix")
    before, body = tokens[:start], tokens[start + 1 : -1]
    if before and before[-1].text in ("(", "["):
        raise DataError("answer: a matrix in brackets; allowed: pmatrix, bmatrix")
    lines = [line for line in _split(body, ("\\\\",))[0] if line]
    rows = tuple(tuple(_expression(cell) for cell in _split(line, ("&",))[0]) for line in lines)
    if not rows or len({len(row) for row in rows}) > 1 or len(rows) > MAX_ITEMS or len(rows[0]) > MAX_ITEMS:
        raise DataError(f"answer: a matrix with uneven rows; allowed: up to {MAX_ITEMS} rows of one length")
    if before:
        factor = _expression([token for token in before if token.text not in ("cdot", "times", "*")])
        rows = tuple(tuple(Op("mul", (factor, cell)) for cell in row) for row in rows)
    return Matrix(rows)


def _clock(tokens: list[Token]) -> Clock | None:
    """Returns a time of day such as `12:30` or `9:05 p.m.`, or None."""
    texts = [token.text for token in tokens]
    if len(tokens) < 3 or texts[1] != ":" or tokens[0].kind != "num" or tokens[2].kind != "num":
        return None
    is_time = texts[0].isdigit() and texts[2].isdigit() and len(texts[0]) <= 2 and len(texts[2]) == 2
    mark = "".join(texts[3:]).casefold().replace(".", "")
    if not is_time or int(texts[0]) > 24 or int(texts[2]) > 59 or mark not in ("", "am", "pm"):
        return None
    return Clock(int(texts[0]) * 60 + int(texts[2]), mark)


def _based(tokens: list[Token]) -> Based | None:
    """Returns digits with a base such as `1011_2`, or None."""
    texts = [token.text for token in tokens if token.text not in ("{", "}")]
    if len(texts) != 3 or texts[1] != "_" or not texts[0].isdigit() or not texts[2].isdigit():
        return None
    base = int(texts[2][:4])
    if not 2 <= base <= 36 or any(int(digit) >= base for digit in texts[0]):
        raise DataError(f"answer: {texts[0]} in base {texts[2]}; allowed: digits below the base, 2 to 36")
    return Based(texts[0].lstrip("0") or "0", base)


def _ratio(tokens: list[Token]) -> Ratio | None:
    """Returns a ratio, or None."""
    parts, joints = _split(tokens, (":",))
    return Ratio(tuple(_expression(part) for part in parts)) if joints else None


def _expression(tokens: list[Token]) -> Expr:
    """Returns the expression that fills the tokens."""
    cursor = Cursor(list(tokens))
    value = parse_sum(cursor)
    if not cursor.is_done():
        raise fail(cursor, "an operator or the end")
    return value


def _quantity(tokens: list[Token]) -> Node:
    """Returns an expression with what stands around it: a currency, a unit, a percent or degree sign, or nothing."""
    if len(tokens) > 1 and tokens[0].text == "-" and tokens[1].text in _CURRENCIES:
        found = _quantity(tokens[1:])
        assert isinstance(found, Quantity), "it begins with a currency"
        return Quantity(neg(found.value), found.unit)
    currency = _CURRENCIES.get(tokens[0].text, "") if tokens[0].kind == "sym" else ""
    cursor = Cursor(list(tokens[1:] if currency else tokens))
    value = parse_sum(cursor)
    rest = [token for token in cursor.tokens[cursor.position :] if token.text not in ("{", "}")]
    while rest and rest[0].kind == "word" and rest[0].text.casefold() in MULTIPLIERS:
        value = Op("mul", (value, number(MULTIPLIERS[rest.pop(0).text.casefold()])))
    if currency and [token.text.casefold() for token in rest] in ([], ["dollars"], ["usd"]):
        rest = [Token(kind="word", text=currency)]
    elif currency:
        raise fail(cursor, "the end")
    if not rest:
        return value
    unit = _unit(rest)
    if unit is None:
        raise fail(cursor, "an operator, a unit or the end")
    return Quantity(value, unit)


def _unit(rest: list[Token]) -> Unit | None:
    """Returns the unit that the tokens behind a value name, or None."""
    texts = [token.text for token in rest]
    if texts[:2] == ["^", "circ"]:
        scale = {"C": "celsius", "F": "fahrenheit"}.get("".join(texts[2:]), "")
        return read_unit([scale or "degree"]) if scale or len(texts) == 2 else None
    if len(texts) == 1 and texts[0] in ("%", *_CURRENCIES):
        return read_unit([_CURRENCIES.get(texts[0], texts[0])])
    words = ["*" if text == "cdot" else text for text in texts]
    is_unit = all(token.kind == "word" or token.text in ("^", "/", "2", "3", "cdot") for token in rest)
    return read_unit(words) if is_unit and rest[0].kind == "word" else None
