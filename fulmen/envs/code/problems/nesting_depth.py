"""Depth of balanced brackets of two kinds."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, check_word, require
from fulmen.rewards.judge import Judge


def generate(rng: random.Random, size: int) -> list[str]:
    if rng.random() < 0.2:
        return ["".join(rng.choice("()<>") for _ in range(size))]
    open_: list[str] = []
    text = ""
    while len(text) + len(open_) < size:
        if open_ and rng.random() < 0.45:
            text += open_.pop()
        else:
            kind = rng.choice(("()", "<>"))
            text += kind[0]
            open_.append(kind[1])
    text += "".join(reversed(open_))
    if rng.random() < 0.4:
        at = rng.randrange(len(text))
        swapped = text[at + 1 : at + 2] + text[at] + text[at + 2 :]
        text = text[:at] + rng.choice((rng.choice("()<>") + text[at + 1 :], swapped))
    return [text]


def validate(given: Given) -> None:
    require(len(given.arguments) == 1, "one argument")
    check_word(given.arguments[0], low=0, high=5001, alphabet="()<>")


PROBLEM = Problem(
    name="nesting_depth",
    level="easy",
    en=Text(
        task="A clerk nests folders, written with the brackets ( ) and < >. A text is sound if every bracket is "
        "closed by one of its kind and pairs do not cross. The depth of a sound text is the largest number of pairs "
        "around one place.",
        given="`text`: 0 to 5001 characters, each one of ( ) < >.",
        wanted="The depth, or -1 if the text is not sound.",
    ),
    zh=Text(
        task="职员用括号 ( ) 和 < > 表示层层嵌套的文件夹。若每个括号都由同类括号闭合，且各对括号互不交叉，则文本合法。"
        "合法文本的深度是包围同一位置的括号对数的最大值。",
        given="`text`：0 到 5001 个字符，每个都是 ( ) < > 之一。",
        wanted="深度；若文本不合法，返回 -1。",
    ),
    samples=((["(<>)()"], 2), (["(<)>"], -1)),
    generate=generate,
    validate=validate,
    small=8,
    large=5000,
    edges=([""], ["("], [")("], ["(>"], ["((()))"], ["<>()<>"]),
    function="depth",
    signature="def depth(text: str) -> int",
    judge=Judge(kind="json"),
    idea="A stack holds the closing brackets that are due; its greatest height is the depth.",
    solution="""\
def depth(text):
    closing = {"(": ")", "<": ">"}
    due, deepest = [], 0
    for c in text:
        if c in closing:
            due.append(closing[c])
            deepest = max(deepest, len(due))
        elif not due or due.pop() != c:
            return -1
    return -1 if due else deepest
""",
    brute="""\
import re

def depth(text):
    # Each pass takes the innermost pairs away, all at once, so there are as many passes as levels.
    passes = 0
    while re.search(r"\\(\\)|<>", text):
        text = re.sub(r"\\(\\)|<>", "", text)
        passes += 1
    return -1 if text else passes
""",
    wrong={
        "forgets what stays open": """\
def depth(text):
    due, deepest = [], 0
    for c in text:
        if c in "(<":
            due.append(")" if c == "(" else ">")
            deepest = max(deepest, len(due))
        elif not due or due.pop() != c:
            return -1
    return deepest
""",
        "counts the kinds apart": """\
def depth(text):
    a = b = deepest = 0
    for c in text:
        a += (c == "(") - (c == ")")
        b += (c == "<") - (c == ">")
        if a < 0 or b < 0:
            return -1
        deepest = max(deepest, a + b)
    return deepest if a == b == 0 else -1
""",
    },
)
