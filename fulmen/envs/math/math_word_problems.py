"""Short stories with numbers: shopping, speeds, meetings, mixtures, ages, shared work, tickets."""

import random
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from fulmen.envs.math.family import Maker, MathFamily, Problem
from fulmen.envs.math.writing import write
from fulmen.envs.puzzle import Levels

PEOPLE = (
    ("Ana", "安娜"), ("Ben", "小斌"), ("Chen", "小陈"), ("Dora", "朵拉"), ("Emil", "小明"),
    ("Fatima", "法蒂玛"), ("Goran", "小刚"), ("Hana", "花子"), ("Ivo", "小伊"), ("Lea", "丽雅"),
)  # fmt: skip
GOODS = (
    ("pencils", "铅笔"), ("notebooks", "笔记本"), ("apples", "苹果"), ("stamps", "邮票"), ("candles", "蜡烛"),
    ("tea cups", "茶杯"), ("balloons", "气球"), ("light bulbs", "灯泡"),
)  # fmt: skip
TRAVELLERS = (("train", "火车"), ("bus", "公共汽车"), ("lorry", "卡车"), ("cyclist", "自行车手"))
LIQUIDS = (("salt water", "盐水"), ("sugar syrup", "糖水"), ("acid solution", "酸溶液"))
WORKERS = (("pump", "水泵", "fill the tank", "注满水箱"), ("printer", "打印机", "print the job", "印完这批文件"))


@dataclass(frozen=True, kw_only=True)
class WordProblems(MathFamily):
    """Stories whose answer is one number; units are given in the question."""

    name: str = "math_word_problems"
    kinds: tuple[str, ...] = ("shopping", "speed", "meeting", "ages", "tickets")
    max_number: int = 30
    """Largest count, price or age that is drawn, 12 to 200."""

    rule: ClassVar[str] = "solve a short story problem"
    bounds: ClassVar = {"max_number": (12, 200)}
    levels: ClassVar[Levels] = (
        {"kinds": ("shopping",), "max_number": 15},
        {"kinds": ("shopping", "speed", "ages"), "max_number": 20},
        {},
        {"kinds": ("meeting", "mixture", "tickets", "work", "overtake"), "max_number": 60},
        {"kinds": ("mixture", "work", "overtake", "average", "replace"), "max_number": 150},
    )

    def makers(self) -> dict[str, Maker]:
        """Returns the makers."""
        return {
            "shopping": self._shopping,
            "speed": self._speed,
            "meeting": self._meeting,
            "overtake": self._overtake,
            "ages": self._ages,
            "tickets": self._tickets,
            "mixture": self._mixture,
            "work": self._work,
            "average": self._average,
            "replace": self._replace,
        }

    def _name(self, pair: tuple[str, ...]) -> str:
        return pair[0] if self.language == "en" else pair[1]

    def _shopping(self, rng: random.Random) -> Problem:
        who, (first, second) = rng.choice(PEOPLE), rng.sample(GOODS, 2)
        a, b = rng.randint(2, self.max_number), rng.randint(2, self.max_number)
        p, q = rng.randint(2, self.max_number), rng.randint(2, self.max_number)
        total = a * p + b * q
        paid = -(-total // 50) * 50 + 50 * rng.randint(0, 1)
        question = self.ask(
            rng,
            en=(
                "{who} buys {a} {x} at {p} coins each and {b} {y} at {q} coins each, and pays with {paid} coins. "
                "How many coins come back?",
                "At the market {x} cost {p} coins apiece and {y} {q} coins apiece. {who} takes {a} {x} and {b} {y} and "
                "hands over {paid} coins. How many coins of change are due?",
            ),
            zh=(
                "{who}买了 {a} 件{x}，每件 {p} 枚硬币；又买了 {b} 件{y}，每件 {q} 枚硬币。付了 {paid} "
                "枚硬币，应找回多少枚？",
                "市场上{x}每件 {p} 枚硬币，{y}每件 {q} 枚硬币。{who}买 {a} 件{x}和 {b} 件{y}，付 {paid} "
                "枚硬币，找回多少枚？",
            ),
            who=self._name(who),
            x=self._name(first),
            y=self._name(second),
            a=a,
            b=b,
            p=p,
            q=q,
            paid=paid,
        )
        steps = (
            f"{a}*{p} = {a * p}",
            f"{b}*{q} = {b * q}",
            f"{a * p} + {b * q} = {total}",
            f"{paid} - {total} = {paid - total}",
        )
        return Problem(question=question, gold=str(paid - total), form="integer", data=(a, p, b, q, paid), steps=steps)

    def _speed(self, rng: random.Random) -> Problem:
        """Returns two stretches and the average speed over both."""
        who = rng.choice(TRAVELLERS)
        u, v = rng.sample(range(10, 10 + 2 * self.max_number, 2), 2)
        s, t = rng.randint(1, 6), rng.randint(1, 6)
        value = Fraction(u * s + v * t, s + t)
        question = self.ask(
            rng,
            en=(
                "A {who} travels for {s} h at {u} km/h and then for {t} h at {v} km/h. "
                "What is its average speed over the whole trip, in km/h?",
                "For the first {s} h a {who} moves at {u} km/h, for the next {t} h at {v} km/h. "
                "Find the average speed of the {total} h in km/h.",
            ),
            zh=(
                "一辆{who}先以 {u} km/h 行驶 {s} 小时，再以 {v} km/h 行驶 {t} 小时。全程平均速度是多少 km/h？",
                "{who}前 {s} 小时速度为 {u} km/h，后 {t} 小时速度为 {v} km/h，求全程的平均速度（km/h）。",
            ),
            who=self._name(who),
            s=s,
            t=t,
            u=u,
            v=v,
            total=s + t,
        )
        steps = (
            f"{u}*{s} + {v}*{t} = {u * s + v * t}",
            f"{s} + {t} = {s + t}",
            f"{u * s + v * t}/{s + t} = {write(value)}",
        )
        return Problem(question=question, gold=write(value), form="fraction", data=(u, s, v, t), steps=steps)

    def _meeting(self, rng: random.Random) -> Problem:
        who, other = rng.sample(TRAVELLERS, 2)
        u, v, ahead = (rng.randint(10, 10 + 2 * self.max_number) for _ in range(3))
        hours = Fraction(rng.randint(1, 12), rng.choice((1, 2)))
        distance = (u + v) * hours + ahead
        question = self.ask(
            rng,
            en=(
                "Two towns are {d} km apart. A {who} leaves one at {u} km/h; when it has gone {w} km, a "
                "{other} leaves the "
                "other town towards it at {v} km/h. How many hours after the second departure do they meet?",
                "A {who} ({u} km/h) and a {other} ({v} km/h) move towards each other along a road of {d} "
                "km. The {other} "
                "starts when the {who} has covered {w} km. How many hours after that start do they meet?",
            ),
            zh=(
                "两地相距 {d} km。一辆{who}以 {u} km/h 从一地出发，行驶 {w} km 后，一辆{other}以 {v} km/h "
                "从另一地相向出发。后者出发几小时后两者相遇？",
                "{who}（{u} km/h）与{other}（{v} km/h）在长 {d} km 的路上相向而行，{who}走了 {w} km "
                "时{other}才出发。{other}出发后几小时相遇？",
            ),
            who=self._name(who),
            other=self._name(other),
            u=u,
            v=v,
            w=ahead,
            d=write(distance),
        )
        rest = distance - ahead
        steps = (
            f"{write(distance)} - {ahead} = {write(rest)}",
            f"{u} + {v} = {u + v}",
            f"{write(rest)}/{u + v} = {write(hours)}",
        )
        data = (u, v, ahead, write(distance))
        return Problem(question=question, gold=write(hours), form="fraction", data=data, steps=steps)

    def _overtake(self, rng: random.Random) -> Problem:
        slow = rng.randint(10, 10 + self.max_number)
        fast, head = slow + rng.randint(2, self.max_number), rng.randint(10, 600)
        hours = Fraction(slow * head, 60 * (fast - slow))
        question = self.ask(
            rng,
            en=(
                "A lorry drives at {u} km/h. {m} minutes later a car follows from the same place on the "
                "same road at {v} km/h. "
                "How many kilometres from the start does the car catch up?",
                "A car starts {m} minutes after a lorry, from the same point in the same direction. The "
                "lorry does {u} km/h, "
                "the car {v} km/h. After how many kilometres does the car reach the lorry?",
            ),
            zh=(
                "卡车以 {u} km/h 行驶，{m} 分钟后小汽车从同一地点沿同一条路以 {v} km/h 追赶。"
                "小汽车在离起点多少千米处追上？",
                "小汽车比卡车晚 {m} 分钟从同一地点同向出发。卡车速度 {u} km/h，小汽车速度 {v} km/h，"
                "小汽车行驶多少千米后追上卡车？",
            ),
            u=slow,
            v=fast,
            m=head,
        )
        gap, value = Fraction(slow * head, 60), hours * fast
        steps = (
            f"{slow}*{head}/60 = {write(gap)}",
            f"({write(gap)})/({fast} - {slow}) = {write(hours)}",
            f"{fast}*{write(hours)} = {write(value)}",
        )
        return Problem(question=question, gold=write(value), form="fraction", data=(slow, fast, head), steps=steps)

    def _ages(self, rng: random.Random) -> Problem | None:
        """Returns: the older is k times as old as the younger now (or was, or will be) and the sum of ages is known."""
        old, young = rng.sample(PEOPLE, 2)
        k, shift = rng.randint(2, 6), rng.randint(-8, 15)
        then = rng.randint(2, 2 + self.max_number)
        a, b = k * then - shift, then - shift
        if b < 2 or a > 110 or abs(shift) < 2:
            return None
        en_when = f"In {shift} years {{a}} will be" if shift > 0 else f"{-shift} years ago {{a}} was"
        zh_when = f"{abs(shift)} 年{'后' if shift > 0 else '前'}"
        question = self.ask(
            rng,
            en=(
                en_when + " {k} times as old as {b}. Together they are {s} years old now. How old is {b} now?",
                "{a} and {b} are {s} years old together. " + en_when + " {k} times as old as {b}. How old is {b} now?",
            ),
            zh=(
                zh_when + "{a}的年龄是{b}的 {k} 倍，现在两人共 {s} 岁。{b}现在多少岁？",
                "{a}和{b}现在年龄之和为 {s}。" + zh_when + "{a}的年龄是{b}的 {k} 倍，{b}现在几岁？",
            ),
            a=self._name(old),
            b=self._name(young),
            k=k,
            s=a + b,
        )
        total = a + b + 2 * shift
        steps = (
            f"{a + b} {'+' if shift > 0 else '-'} 2*{abs(shift)} = {total}",
            f"{total}/({k} + 1) = {then}",
            f"{then} {'-' if shift > 0 else '+'} {abs(shift)} = {b}",
        )
        return Problem(question=question, gold=str(b), form="integer", data=(k, shift, a + b), steps=steps)

    def _tickets(self, rng: random.Random) -> Problem:
        child, adult = sorted(rng.sample(range(3, 3 + self.max_number), 2))
        x, y = rng.randint(5, 5 * self.max_number), rng.randint(5, 5 * self.max_number)
        income = child * x + adult * y
        question = self.ask(
            rng,
            en=(
                "A show sold {n} tickets, {p} coins for a child and {q} for an adult, and took {s} coins. "
                "How many adults' tickets were sold?",
                "Child tickets cost {p} coins, adult tickets {q}. {n} tickets brought {s} coins. How many "
                "were for adults?",
            ),
            zh=(
                "一场演出共售出 {n} 张票，儿童票 {p} 枚硬币，成人票 {q} 枚硬币，共收入 {s} 枚硬币。成人票售出多少张？",
                "儿童票每张 {p} 枚硬币，成人票每张 {q} 枚硬币。{n} 张票共卖得 {s} 枚硬币，其中成人票多少张？",
            ),
            n=x + y,
            p=child,
            q=adult,
            s=income,
        )
        rest = income - child * (x + y)
        steps = (
            f"{child}*{x + y} = {child * (x + y)}",
            f"{income} - {child * (x + y)} = {rest}",
            f"{rest}/({adult} - {child}) = {y}",
        )
        return Problem(question=question, gold=str(y), form="integer", data=(child, adult, x + y, income), steps=steps)

    def _mixture(self, rng: random.Random) -> Problem:
        what = rng.choice(LIQUIDS)
        p, target, q = sorted(rng.sample(range(1, 91), 3))
        amount = rng.randint(2, 6 * self.max_number)
        value = Fraction(amount * (target - p), q - target)
        question = self.ask(
            rng,
            en=(
                "How many litres of {q}% {what} must be added to {n} litres of {p}% {what} to get {t}% {what}? "
                "Percentages are by volume and volumes add up.",
                "{n} litres of {p}% {what} are mixed with x litres of {q}% {what}; the mixture is {t}%. "
                "Percentages are by volume and volumes add up. Find x.",
            ),
            zh=(
                "在 {n} 升浓度 {p}% 的{what}中加入多少升浓度 {q}% 的{what}，可得浓度 {t}% 的{what}？"
                "（体积百分比，体积可相加）",
                "{n} 升 {p}% 的{what}与 x 升 {q}% 的{what}混合后浓度为 {t}%（体积百分比，体积可相加），求 x。",
            ),
            what=self._name(what),
            n=amount,
            p=p,
            q=q,
            t=target,
        )
        steps = (
            f"{amount}*({target} - {p}) = x*({q} - {target})",
            f"x = {amount * (target - p)}/{q - target} = {write(value)}",
        )
        return Problem(question=question, gold=write(value), form="fraction", data=(amount, p, q, target), steps=steps)

    def _work(self, rng: random.Random) -> Problem:
        en_who, zh_who, en_job, zh_job = rng.choice(WORKERS)
        a, b, alone = rng.randint(2, self.max_number), rng.randint(2, self.max_number), rng.randint(1, 9)
        alone = min(alone, a - 1)
        value = (1 - Fraction(alone, a)) / (Fraction(1, a) + Fraction(1, b))
        question = self.ask(
            rng,
            en=(
                "One {who} can {job} in {a} hours, another in {b} hours. The first works alone for {c} h, "
                "then both together. "
                "How many hours do they work together?",
                "To {job}, the first {who} alone needs {a} h and the second alone {b} h. The first starts {c} h before "
                "the second. For how many hours do both run until the job is done?",
            ),
            zh=(
                "一台{who}单独{job}需 {a} 小时，另一台需 {b} 小时。第一台先单独工作 {c} 小时，"
                "然后两台一起完成剩余工作，还需几小时？",
                "{job}，第一台{who}单独要 {a} 小时，第二台单独要 {b} 小时。第一台先开 {c} 小时，"
                "再两台同开，同开几小时完成？",
            ),
            who=self.say(en_who, zh_who),
            job=self.say(en_job, zh_job),
            a=a,
            b=b,
            c=alone,
        )
        rest, rate = 1 - Fraction(alone, a), Fraction(a + b, a * b)
        steps = (
            f"1 - {alone}/{a} = {write(rest)}",
            f"1/{a} + 1/{b} = {write(rate)}",
            f"({write(rest)})/({write(rate)}) = {write(value)}",
        )
        return Problem(question=question, gold=write(value), form="fraction", data=(a, b, alone), steps=steps)

    def _average(self, rng: random.Random) -> Problem:
        n, mean, more = rng.randint(4, 40), rng.randint(10, self.max_number), rng.randint(2, 8)
        after = mean + rng.choice((-3, -2, -1, 1, 2, 3))
        value = Fraction((n + more) * after - n * mean, more)
        question = self.ask(
            rng,
            en=(
                "The mean of {n} numbers is {m}. After {k} more numbers are added to the list, the mean is {t}. "
                "What is the mean of the {k} added numbers?",
                "{n} numbers average {m}; together with {k} new ones they average {t}. Find the average of "
                "the new ones.",
            ),
            zh=(
                "{n} 个数的平均数是 {m}，再加入 {k} 个数后平均数为 {t}。新加入的 {k} 个数的平均数是多少？",
                "已知 {n} 个数平均为 {m}，连同另外 {k} 个数一起平均为 {t}，求这另外 {k} 个数的平均数。",
            ),
            n=n,
            m=mean,
            k=more,
            t=after,
        )
        whole = (n + more) * after
        steps = (
            f"{n}*{mean} = {n * mean}",
            f"{n + more}*{after} = {whole}",
            f"({whole} - {n * mean})/{more} = {write(value)}",
        )
        return Problem(question=question, gold=write(value), form="fraction", data=(n, mean, more, after), steps=steps)

    def _replace(self, rng: random.Random) -> Problem:
        """Returns: part of a solution is drawn off and replaced by water, several times."""
        whole, times = rng.randint(10, self.max_number), rng.randint(2, 3)
        taken, percent = rng.randint(1, whole // 2), rng.randint(10, 95)
        value, steps = Fraction(percent), []
        for _ in range(times):
            line = f"{write(value)}*({whole} - {taken})/{whole} = "
            value *= Fraction(whole - taken, whole)
            steps.append(line + write(value))
        question = self.ask(
            rng,
            en=(
                "A barrel holds {n} litres of {p}% syrup, by volume. {k} times in a row, {t} litres are "
                "drawn off and replaced "
                "by water, and stirred. What is the percentage in the end? Give the number of percent.",
                "From {n} litres of a {p}% solution (by volume) {t} litres are replaced by water and mixed "
                "well; this is done "
                "{k} times in all. How many percent is the solution then? Give the number of percent.",
            ),
            zh=(
                "桶中有 {n} 升体积浓度 {p}% 的糖浆。每次取出 {t} 升并用水补满、搅匀，共进行 {k} 次。"
                "最后浓度是百分之几？只写百分数中的数。",
                "{n} 升体积浓度 {p}% 的溶液，每次用水替换其中 {t} 升并混匀，共 {k} 次。最后浓度为百分之几？"
                "只写百分数中的数。",
            ),
            n=whole,
            p=percent,
            t=taken,
            k=times,
        )
        data = (whole, percent, taken, times)
        return Problem(question=question, gold=write(value), form="fraction", data=data, steps=tuple(steps))
