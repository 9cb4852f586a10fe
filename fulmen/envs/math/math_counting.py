"""Counting: arrangements of letters, committees, seatings, numbers with restrictions."""

import math
import random
from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

from fulmen.envs.math.family import Maker, MathFamily, Problem
from fulmen.envs.puzzle import Levels

LETTERS = "ABCDEFGH"


@dataclass(frozen=True, kw_only=True)
class Counting(MathFamily):
    """Arrangements and selections, some with restrictions."""

    name: str = "math_counting"
    kinds: tuple[str, ...] = ("letters", "committee", "together", "numbers")
    max_size: int = 8
    """Largest number of things to arrange or of people of a kind, 6 to 14."""

    rule: ClassVar[str] = "count arrangements or selections"
    bounds: ClassVar = {"max_size": (6, 14)}
    levels: ClassVar[Levels] = (
        {"kinds": ("letters",), "max_size": 6},
        {"kinds": ("letters", "committee"), "max_size": 7},
        {},
        {"kinds": ("committee", "apart", "numbers", "letters_apart", "grid"), "max_size": 10},
        {"kinds": ("letters_apart", "feud", "numbers", "circle", "couples", "onto"), "max_size": 13},
    )

    def makers(self) -> dict[str, Maker]:
        """Returns the makers."""
        return {
            "letters": self._letters,
            "letters_apart": self._letters_apart,
            "committee": self._committee,
            "feud": self._feud,
            "together": lambda rng: self._row(rng, is_together=True),
            "apart": lambda rng: self._row(rng, is_together=False),
            "circle": self._circle,
            "couples": self._couples,
            "numbers": self._numbers,
            "grid": self._grid,
            "onto": self._onto,
        }

    def _problem(self, question: str, value: int, data: tuple[object, ...], steps: list[str]) -> Problem:
        return Problem(question=question, gold=str(value), form="integer", data=data, steps=tuple(steps))

    def _word(self, rng: random.Random) -> str:
        size = rng.randint(4, self.max_size)
        letters = rng.sample(LETTERS, rng.randint(2, min(size, 5)))
        word = [*letters, *(rng.choice(letters) for _ in range(size - len(letters)))]
        rng.shuffle(word)
        return "".join(word)

    def _letters(self, rng: random.Random) -> Problem:
        word = self._word(rng)
        counts = [count for _, count in sorted(Counter(word).items())]
        value = math.factorial(len(word)) // math.prod(map(math.factorial, counts))
        question = self.ask(
            rng,
            en=(
                "How many different words, meaningful or not, use exactly the letters of {w}?",
                "In how many distinguishable ways can the letters of {w} be put in a row?",
                "How many different arrangements do the letters {w} have?",
            ),
            zh=("用 {w} 的全部字母能排成多少个不同的字母串？", "把 {w} 的字母排成一行，有多少种不同的排法？"),
            w=word,
        )
        below = "*".join(f"{count}!" for count in counts)
        return self._problem(question, value, (word,), [f"{len(word)}!/({below}) = {value}"])

    def _letters_apart(self, rng: random.Random) -> Problem | None:
        """Returns words in which no two of one repeated letter are neighbours."""
        word = self._word(rng)
        counts = Counter(word)
        letter, count = max(sorted(counts.items()), key=lambda item: item[1])
        rest = len(word) - count
        if count < 2 or count > rest + 1:
            return None
        others = [c for name, c in sorted(counts.items()) if name != letter]
        base, gaps = math.factorial(rest) // math.prod(map(math.factorial, others)), math.comb(rest + 1, count)
        question = self.ask(
            rng,
            en=(
                "How many different arrangements of the letters of {w} have no two letters {x} side by side?",
                "The letters of {w} are put in a row so that no two letters {x} are neighbours. How many "
                "different rows exist?",
            ),
            zh=(
                "用 {w} 的全部字母排成一行，任意两个 {x} 不相邻，有多少种不同排法？",
                "{w} 的字母全排列中，{x} 互不相邻的不同排列有多少个？",
            ),
            w=word,
            x=letter,
        )
        steps = [
            f"{rest}!/({'*'.join(f'{c}!' for c in others)}) = {base}",
            f"C({rest + 1}, {count}) = {gaps}",
            f"{base}*{gaps} = {base * gaps}",
        ]
        return self._problem(question, base * gaps, (word, letter), steps)

    def _committee(self, rng: random.Random) -> Problem | None:
        women, men = rng.randint(3, self.max_size), rng.randint(3, self.max_size)
        size = rng.randint(3, min(7, women + men - 1))
        least = rng.randint(1, min(size - 1, women))
        cases = [(w, size - w) for w in range(least, min(size, women) + 1) if size - w <= men]
        if not cases:
            return None
        values = [math.comb(women, w) * math.comb(men, m) for w, m in cases]
        question = self.ask(
            rng,
            en=(
                "A committee of {k} is chosen from {w} women and {m} men. It must have at least {a} of the women. "
                "How many committees are possible?",
                "From {w} women and {m} men, {k} people are chosen, among them {a} women or more. In how many ways?",
                "How many groups of {k} people with at least {a} women can be formed from {w} women and {m} men?",
            ),
            zh=(
                "从 {w} 名女性和 {m} 名男性中选出 {k} 人组成委员会，其中女性至少 {a} 人，有多少种选法？",
                "在 {w} 名女性和 {m} 名男性中选 {k} 人，女性不少于 {a} 人，共有多少种不同的选法？",
            ),
            k=size,
            w=women,
            m=men,
            a=least,
        )
        steps = [f"C({women}, {w})*C({men}, {m}) = {value}" for (w, m), value in zip(cases, values, strict=True)]
        steps.append(f"{' + '.join(map(str, values))} = {sum(values)}")
        return self._problem(question, sum(values), (women, men, size, least), steps)

    def _feud(self, rng: random.Random) -> Problem | None:
        """Returns committees on which one woman and one man do not serve together."""
        women, men = rng.randint(3, self.max_size), rng.randint(3, self.max_size)
        size = rng.randint(3, min(7, women + men - 2))
        least = rng.randint(1, min(size - 1, women))
        cases = [(w, size - w) for w in range(least, min(size, women) + 1) if size - w <= men]
        if not cases:
            return None
        every = [math.comb(women, w) * math.comb(men, m) for w, m in cases]
        both = [math.comb(women - 1, w - 1) * math.comb(men - 1, m - 1) for w, m in cases if m]
        value = sum(every) - sum(both)
        question = self.ask(
            rng,
            en=(
                "{k} people are chosen from {w} women and {m} men, at least {a} of them women. Ana, one of "
                "the women, and "
                "Ben, one of the men, must not both be chosen. How many choices are there?",
                "A committee of {k} with at least {a} women is formed from {w} women and {m} men. One of "
                "the women and one of "
                "the men refuse to serve together. How many committees are possible?",
            ),
            zh=(
                "从 {w} 名女性和 {m} 名男性中选 {k} 人，女性至少 {a} 人，"
                "且女性中的安娜与男性中的小斌不能同时入选，有多少种选法？",
                "由 {w} 名女性和 {m} 名男性组成 {k} 人委员会，女性不少于 {a} 人，"
                "某一名女性与某一名男性拒绝同时参加，有多少种组成方式？",
            ),
            k=size,
            w=women,
            m=men,
            a=least,
        )
        steps = [f"C({women}, {w})*C({men}, {m}) = {v}" for (w, m), v in zip(cases, every, strict=True)]
        steps += [
            f"C({women - 1}, {w - 1})*C({men - 1}, {m - 1}) = {v}" for (w, m), v in zip(cases, both, strict=False)
        ]
        steps.append(f"{sum(every)} - {sum(both)} = {value}")
        return self._problem(question, value, (women, men, size, least), steps)

    def _row(self, rng: random.Random, *, is_together: bool) -> Problem | None:
        special, others = rng.randint(2, 5), rng.randint(2, self.max_size)
        if not is_together and special > others + 1:
            return None
        if is_together:
            value = math.factorial(others + 1) * math.factorial(special)
            steps = [f"{others + 1}!*{special}! = {value}"]
        else:
            value = math.factorial(others) * math.perm(others + 1, special)
            factors = "*".join(str(others + 1 - i) for i in range(special))
            steps = [f"{others}! = {math.factorial(others)}", f"{math.factorial(others)}*{factors} = {value}"]
        question = self.ask(
            rng,
            en=(
                "{a} different maths books and {b} different novels stand in a row on a shelf. In how many orders do "
                + ("all the maths books stand together?" if is_together else "no two maths books stand side by side?"),
                "{a} girls and {b} boys line up. How many line-ups are there in which "
                + ("the girls form one block without a gap?" if is_together else "no two girls are neighbours?"),
            ),
            zh=(
                "{a} 本不同的数学书和 {b} 本不同的小说排成一行，"
                + ("所有数学书都排在一起" if is_together else "任意两本数学书不相邻")
                + "，有多少种排法？",
                "{a} 名女生和 {b} 名男生排成一列，"
                + ("所有女生连续站在一起" if is_together else "任意两名女生不相邻")
                + "，有多少种排法？",
            ),
            a=special,
            b=others,
        )
        return self._problem(question, value, (special, others), steps)

    def _circle(self, rng: random.Random) -> Problem:
        """Returns round tables on which two people are not neighbours, and two others are; rotations count as one."""
        n = rng.randint(5, self.max_size)
        together = 2 * math.factorial(n - 2)
        both = 4 * math.factorial(n - 3)
        kind = rng.randrange(3)
        value = (math.factorial(n - 1) - together, together, together - both)[kind]
        en = (
            "two of them, Ana and Ben, do not sit side by side",
            "two of them, Ana and Ben, sit side by side",
            "Ana and Ben, two of them, sit side by side, but Cem and Dora, two others, do not",
        )[kind]
        zh = ("其中安娜和小斌不相邻", "其中安娜和小斌相邻", "其中安娜和小斌相邻，而另外两人小陈和朵拉不相邻")[kind]
        question = self.ask(
            rng,
            en=(
                "{n} people sit at a round table with {n} seats so that {c}. Seatings that differ by a "
                "rotation count as one; "
                "mirror images differ. How many seatings are there?",
                "In how many ways can {n} people sit around a table with {n} seats if {c}? Rotations of a "
                "seating are the "
                "same seating, reflections are not.",
            ),
            zh=(
                "{n} 人围坐在有 {n} 个座位的圆桌旁，{c}。旋转后相同的坐法算同一种，镜像算不同，有多少种坐法？",
                "{n} 人围圆桌（{n} 个座位）而坐，{c}，共有多少种坐法（旋转视为相同，翻转视为不同）？",
            ),
            n=n,
            c=self.say(en, zh),
        )
        steps = [
            [f"{n - 1}! - 2*{n - 2}! = {value}"],
            [f"2*{n - 2}! = {value}"],
            [f"2*{n - 2}! = {together}", f"2*2*{n - 3}! = {both}", f"{together} - {both} = {value}"],
        ][kind]
        return self._problem(question, value, (n, kind), steps)

    def _couples(self, rng: random.Random) -> Problem:
        """Returns rows of couples and single people in which no couple sits together, by inclusion and exclusion."""
        couples, singles = rng.randint(2, 5), rng.randint(1, self.max_size - 5)
        n = 2 * couples + singles
        parts = [(-1) ** k * math.comb(couples, k) * 2**k * math.factorial(n - k) for k in range(couples + 1)]
        question = self.ask(
            rng,
            en=(
                "{c} couples and {s} single people sit in a row of {n} seats. In how many seatings does "
                "nobody sit next to "
                "the own partner?",
                "A row has {n} seats for {c} couples and {s} people without a partner. Count the seatings "
                "in which no couple "
                "sits side by side.",
            ),
            zh=(
                "{c} 对夫妻和 {s} 名单身者坐成一排（{n} 个座位），任何一对夫妻都不相邻，有多少种坐法？",
                "一排 {n} 个座位坐 {c} 对夫妻和 {s} 名单身者，求没有夫妻相邻的坐法数。",
            ),
            c=couples,
            s=singles,
            n=n,
        )
        steps = [f"(-1)^{k}*C({couples}, {k})*2^{k}*{n - k}! = {part}" for k, part in enumerate(parts)]
        steps.append(str(sum(parts)))
        return self._problem(question, sum(parts), (couples, singles), steps)

    def _numbers(self, rng: random.Random) -> Problem | None:
        """Returns numbers without repeated digits from a set that has 0 or not, even or odd."""
        digits = sorted(rng.sample(range(10), rng.randint(4, min(9, self.max_size))))
        size, parity = rng.randint(3, min(5, len(digits))), rng.randrange(2)
        total, steps = 0, []
        for last in digits:
            if last % 2 != parity:
                continue
            firsts = len(digits) - 1 - (0 in digits and last != 0)
            count = firsts * math.perm(len(digits) - 2, size - 2)
            inner = "".join(f"*{len(digits) - 2 - i}" for i in range(size - 2))
            steps.append(f"...{last}: {firsts}{inner} = {count}")
            total += count
        if not steps:
            return None
        word = self.say(("even", "odd")[parity], ("偶数", "奇数")[parity])
        question = self.ask(
            rng,
            en=(
                "How many {p} numbers with {k} different digits can be formed from the digits {d}? None begins with 0.",
                "Using each of the digits {d} at most once, how many {p} {k}-digit numbers (no leading 0) "
                "can be written?",
            ),
            zh=(
                "用数字 {d} 可以组成多少个各位数字不同的 {k} 位{p}（首位不为 0）？",
                "从数字 {d} 中每个至多用一次，能写出多少个 {k} 位{p}（首位不能是 0）？",
            ),
            p=word,
            k=size,
            d=", ".join(map(str, digits)),
        )
        return self._problem(question, total, (digits, size, parity), [*steps, str(total)])

    def _grid(self, rng: random.Random) -> Problem:
        rows, columns = rng.randint(3, self.max_size), rng.randint(3, self.max_size)
        rooks = rng.randint(2, min(rows, columns, 5))
        value = math.comb(rows, rooks) * math.perm(columns, rooks)
        question = self.ask(
            rng,
            en=(
                "In how many ways can {k} equal counters be put on different cells of a grid of {r} rows "
                "and {c} columns, no two "
                "in one row or column?",
                "Choose {k} cells of a {r} by {c} grid so that no two share a row or a column. How many "
                "choices are there?",
            ),
            zh=(
                "把 {k} 枚相同的棋子放在 {r} 行 {c} 列的方格中，任意两枚不同行也不同列，有多少种放法？",
                "在 {r} 行 {c} 列的方格中选 {k} 个格子，任意两个不同行且不同列，有多少种选法？",
            ),
            k=rooks,
            r=rows,
            c=columns,
        )
        factors = "*".join(str(columns - i) for i in range(rooks))
        return self._problem(question, value, (rows, columns, rooks), [f"C({rows}, {rooks})*{factors} = {value}"])

    def _onto(self, rng: random.Random) -> Problem:
        """Returns the ways to give different gifts to children, none of whom goes without."""
        children, gifts = rng.randint(2, 5), rng.randint(5, self.max_size)
        parts = [(-1) ** k * math.comb(children, k) * (children - k) ** gifts for k in range(children + 1)]
        question = self.ask(
            rng,
            en=(
                "{g} different gifts are given to {c} different children, each of whom gets at least one. "
                "In how many ways?",
                "How many ways are there to hand out {g} different gifts among {c} different children so "
                "that none goes without?",
            ),
            zh=(
                "把 {g} 件不同的礼物分给 {c} 个不同的孩子，每人至少一件，有多少种分法？",
                "{g} 件不同的礼物全部分给 {c} 个不同的孩子，没有孩子空手，共有多少种分法？",
            ),
            g=gifts,
            c=children,
        )
        steps = [f"(-1)^{k}*C({children}, {k})*{children - k}^{gifts} = {part}" for k, part in enumerate(parts)]
        return self._problem(question, sum(parts), (gifts, children), [*steps, str(sum(parts))])
