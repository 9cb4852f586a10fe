"""Hand ciphers as data: drawn, applied, undone, described in words, worked on paper.

A cipher is a dict of JSON values with a `kind`. Substitutions and transpositions make capital letters of capital
letters; codes make groups of digits, separated by spaces, and so can only come last. Each can be undone for every text.
"""

import random
import string
from collections.abc import Mapping, Sequence
from typing import Any

from fulmen.envs.words import words_between
from fulmen.errors import TaskError

Cipher = Mapping[str, Any]
LETTERS = string.ascii_uppercase
SUBSTITUTIONS = ("caesar", "atbash", "keyword", "affine", "progressive", "vigenere", "autokey")
TRANSPOSITIONS = ("blocks", "rail_fence", "columnar")
CODES = ("numbers", "polybius", "bits", "morse")
KINDS = (
    "caesar",
    "atbash",
    "blocks",
    "keyword",
    "polybius",
    "rail_fence",
    "progressive",
    "affine",
    "bits",
    "vigenere",
    "columnar",
    "morse",
    "numbers",
    "autokey",
)
"""From the plainest on."""
_MORSE_CODES = (
    "01 1000 1010 100 0 0010 110 0000 00 0111 101 0100 11 10 111 0110 1101 010 000 1 001 0001 011 1001 1011 1100"
)
MORSE = dict(zip(LETTERS, _MORSE_CODES.split(), strict=True))
"""0 is a dot, 1 a dash."""
_TABLE = ", ".join(f"{letter} {code}" for letter, code in MORSE.items())
SENTENCES = {
    "en": {
        "caesar": "replace each letter by the one {shift} places later in the alphabet, where A follows Z",
        "atbash": "replace each letter by its mirror image in the alphabet (A by Z, B by Y, and so on to Z by A)",
        "blocks": "cut the text into blocks of {size} letters from the left (the last one may be shorter) and write "
        "each block backwards",
        "keyword": "form an alphabet from the different letters of {key} as they first occur there, followed by all "
        "other letters from A to Z, and replace A by its first letter, B by its second, and so on to Z",
        "polybius": "write the alphabet row by row into a grid with {columns} columns and replace each letter by the "
        "numbers of its row and its column, counted from 1 and written as one two-digit number; put a space between "
        "the numbers",
        "rail_fence": "write the text in a zigzag over {rails} rows (the first letter in the top row, one row down "
        "with each letter, from the bottom row up again, and so on) and read the rows from top to bottom",
        "progressive": "shift the first letter {start} places forward in the alphabet and each further letter {step} "
        "places more than the one before it, where A follows Z",
        "affine": "number the letters from A = 0 to Z = 25 and replace the letter x by the letter "
        "({factor} * x + {add}) mod 26",
        "bits": "number the letters from A = 0 to Z = 25, write each number with five binary digits, flip the digits "
        "at which {mask} has a 1, and put a space between the letters",
        "vigenere": "write the key {key} again and again below the text and shift each letter forward in the alphabet "
        "by the number of the key's letter below it (A = 0, B = 1, to Z = 25), where A follows Z",
        "columnar": "write the text row by row into {columns} columns (the last row may be shorter) and read the "
        "columns, each from top to bottom, in the order {order} (1 is the leftmost)",
        "morse": f"replace each letter by its Morse code, 0 for a dot and 1 for a dash ({_TABLE}), with a space "
        "between the letters",
        "numbers": "replace each letter by the number {factor} * n + {add}, where n is 1 for A, 2 for B, to 26 for Z, "
        "with a space between the numbers",
        "autokey": "shift the first letter {start} places forward in the alphabet and each further letter by the "
        "number (A = 0 to Z = 25) of the letter that stood before it in the text as it was before this step, where A "
        "follows Z",
    },
    "zh": {
        "caesar": "把每个字母换成字母表中后移 {shift} 位的字母，Z 之后回到 A",
        "atbash": "把每个字母换成字母表中对称位置的字母（A 换成 Z，B 换成 Y，依此类推，Z 换成 A）",
        "blocks": "从左起每 {size} 个字母分成一组（最后一组可以不足），把每组字母倒过来写",
        "keyword": "取 {key} 中的不同字母（按首次出现的顺序），后接其余字母（从 A 到 Z），组成新字母表，"
        "把 A 换成它的第一个字母，B 换成第二个，依此类推到 Z",
        "polybius": "把字母表逐行写入 {columns} 列的表格，把每个字母换成它的行号和列号（都从 1 数起）组成的两位数，"
        "数之间用空格隔开",
        "rail_fence": "把文本按之字形写在 {rails} 行上（第一个字母在最上一行，每个字母下移一行，到最下一行后"
        "再逐行上移，如此往复），然后从上到下逐行读出",
        "progressive": "第一个字母在字母表中后移 {start} 位，之后每个字母比前一个多移 {step} 位，Z 之后回到 A",
        "affine": "字母编号 A = 0 到 Z = 25，把字母 x 换成编号为 ({factor} * x + {add}) mod 26 的字母",
        "bits": "字母编号 A = 0 到 Z = 25，把编号写成五位二进制数，把 {mask} 中为 1 的那些位取反，字母之间用空格隔开",
        "vigenere": "把密钥 {key} 反复写在文本下方，每个字母按其下方密钥字母的编号（A = 0，B = 1，直到 Z = 25）"
        "在字母表中后移，Z 之后回到 A",
        "columnar": "把文本逐行写入 {columns} 列（最后一行可以不满），按 {order} 的顺序（1 是最左列）从上到下读出各列",
        "morse": f"把每个字母换成莫尔斯电码，0 表示点，1 表示划（{_TABLE}），字母之间用空格隔开",
        "numbers": "把每个字母换成数 {factor} * n + {add}，其中 A 的 n 是 1，B 是 2，直到 Z 是 26，数之间用空格隔开",
        "autokey": "第一个字母在字母表中后移 {start} 位，之后每个字母后移的位数是本步之前文本中它前一个字母的编号"
        "（A = 0 到 Z = 25），Z 之后回到 A",
    },
}


def draw_cipher(rng: random.Random, kind: str) -> dict[str, Any]:
    """Returns a cipher of a kind with parameters that change every text of several letters."""
    keys = words_between(min_length=4, max_length=7)
    order = list(range(1, rng.randint(3, 6) + 1))
    while order == sorted(order):
        rng.shuffle(order)
    parameters: dict[str, dict[str, Any]] = {
        "caesar": {"shift": rng.randint(1, 25)},
        "atbash": {},
        "blocks": {"size": rng.randint(2, 5)},
        "keyword": {"key": rng.choice(keys).upper()},
        "polybius": {"columns": rng.randint(5, 8)},
        "rail_fence": {"rails": rng.randint(2, 4)},
        "progressive": {"start": rng.randint(0, 9), "step": rng.randint(1, 5)},
        "affine": {"factor": rng.choice((3, 5, 7, 9, 11, 15, 17, 19, 21, 23)), "add": rng.randint(0, 25)},
        "bits": {"mask": f"{rng.randint(1, 31):05b}"},
        "vigenere": {"key": rng.choice(keys).upper()},
        "columnar": {"columns": len(order), "order": order},
        "morse": {},
        "numbers": {"factor": rng.randint(2, 9), "add": rng.randint(0, 20)},
        "autokey": {"start": rng.randint(1, 25)},
    }
    return {"kind": kind, **parameters[kind]}


def describe(cipher: Cipher, language: str) -> str:
    """Returns the clause that says what the cipher does."""
    values = {name: value for name, value in cipher.items() if name != "kind"}
    if "order" in values:
        values["order"] = " ".join(map(str, values["order"]))
    return SENTENCES[language][cipher["kind"]].format(**values)


def encrypt(cipher: Cipher, text: str) -> str:
    """Returns what the cipher makes of capital letters."""
    kind = cipher["kind"]
    if kind in TRANSPOSITIONS:
        return "".join(text[place] for place in reading_order(cipher, len(text)))
    if kind in CODES:
        table = code_of(cipher)
        return " ".join(table[letter] for letter in text)
    table = substitution_table(cipher)
    if table:
        return "".join(table[letter] for letter in text)
    numbers = [LETTERS.index(letter) for letter in text]
    return "".join(LETTERS[(x + _shift(cipher, place, numbers)) % 26] for place, x in enumerate(numbers))


def decrypt(cipher: Cipher, text: str) -> str:
    """Returns the letters that the cipher made into this text.

    Raises:
        TaskError: it makes no text into this one.
    """
    kind = cipher["kind"]
    if kind in TRANSPOSITIONS:
        back = dict(zip(reading_order(cipher, len(text)), text, strict=True))
        return "".join(back[place] for place in range(len(text)))
    table = code_of(cipher) if kind in CODES else substitution_table(cipher)
    if table:
        letters = {code: letter for letter, code in table.items()}
        parts = text.split() if kind in CODES else list(text)
        if not set(parts) <= set(letters):
            raise TaskError(f"task.meta['text']: {text[:40]!r}; allowed: what {kind} makes of letters")
        return "".join(letters[part] for part in parts)
    numbers: list[int] = []
    for place, letter in enumerate(text):
        numbers.append((LETTERS.index(letter) - _shift(cipher, place, numbers)) % 26)
    return "".join(LETTERS[x] for x in numbers)


def rows_of(cipher: Cipher, text: str) -> list[str]:
    """Returns the rows or blocks into which a transposition writes a text."""
    if cipher["kind"] == "rail_fence":
        rails = cipher["rails"]
        return ["".join(text[place] for place in _rail(row, rails, len(text))) for row in range(rails)]
    size = cipher["size"] if cipher["kind"] == "blocks" else cipher["columns"]
    return [text[start : start + size] for start in range(0, len(text), size)]


def reading_order(cipher: Cipher, length: int) -> list[int]:
    """Returns, for each place of the result of a transposition, the place of the text it comes from."""
    if cipher["kind"] == "rail_fence":
        return [place for row in range(cipher["rails"]) for place in _rail(row, cipher["rails"], length)]
    if cipher["kind"] == "blocks":
        size = cipher["size"]
        starts = range(0, length, size)
        return [place for start in starts for place in reversed(range(start, min(start + size, length)))]
    return [place for column in cipher["order"] for place in range(column - 1, length, cipher["columns"])]


def substitution_table(cipher: Cipher) -> dict[str, str]:
    """Returns what each letter becomes; empty where that depends on its place."""
    kind = cipher["kind"]
    if kind == "keyword":
        return dict(zip(LETTERS, dict.fromkeys(cipher["key"] + LETTERS), strict=True))
    factor, add = {
        "caesar": lambda: (1, cipher["shift"]),
        "atbash": lambda: (25, 25),
        "affine": lambda: (cipher["factor"], cipher["add"]),
    }.get(kind, lambda: (0, 0))()
    return {letter: LETTERS[(factor * x + add) % 26] for x, letter in enumerate(LETTERS)} if factor else {}


def code_of(cipher: Cipher) -> dict[str, str]:
    """Returns the group of digits that each letter becomes."""
    kind = cipher["kind"]
    if kind == "morse":
        return MORSE
    if kind == "polybius":
        columns = cipher["columns"]
        return {letter: f"{x // columns + 1}{x % columns + 1}" for x, letter in enumerate(LETTERS)}
    if kind == "bits":
        return {letter: f"{x ^ int(cipher['mask'], 2):05b}" for x, letter in enumerate(LETTERS)}
    return {letter: str(cipher["factor"] * (x + 1) + cipher["add"]) for x, letter in enumerate(LETTERS)}


def _shift(cipher: Cipher, place: int, plain: Sequence[int]) -> int:
    """Returns how far a letter moves, from the numbers of the letters before it in the plain text."""
    kind = cipher["kind"]
    if kind == "vigenere":
        return LETTERS.index(cipher["key"][place % len(cipher["key"])])
    if kind == "progressive":
        return int(cipher["start"] + place * cipher["step"])
    return plain[place - 1] if place else int(cipher["start"])


def _rail(row: int, rails: int, length: int) -> list[int]:
    """Returns the places of a text that a zigzag puts into a row, from 0."""
    period = 2 * (rails - 1)
    return [place for place in range(length) if min(place % period, period - place % period) == row]
