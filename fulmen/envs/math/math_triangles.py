"""Triangles: areas, right triangles, similar triangles, radii, angles."""

import random
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from fulmen.envs.math.family import Maker, MathFamily, Problem
from fulmen.envs.math.writing import guard, point, root, write
from fulmen.envs.puzzle import Levels


@dataclass(frozen=True, kw_only=True)
class Triangles(MathFamily):
    """Lengths and areas in triangles whose data are integers."""

    name: str = "math_triangles"
    kinds: tuple[str, ...] = ("coordinates", "right", "similar", "heron")
    max_length: int = 30
    """Largest coordinate or side that is drawn, 10 to 200."""

    rule: ClassVar[str] = "find an area, a length or a radius in a triangle"
    bounds: ClassVar = {"max_length": (10, 200)}
    levels: ClassVar[Levels] = (
        {"kinds": ("half_base", "angles"), "max_length": 90},
        {"kinds": ("coordinates", "right", "angles"), "max_length": 15},
        {},
        {"kinds": ("heron", "law_of_cosines", "bisector", "coordinates"), "max_length": 60},
        {"kinds": ("circumradius", "inradius", "median", "bisector", "law_of_cosines"), "max_length": 150},
    )

    def makers(self) -> dict[str, Maker]:
        """Returns the makers."""
        return {
            "half_base": self._half_base,
            "angles": self._angles,
            "coordinates": self._coordinates,
            "right": self._right,
            "similar": self._similar,
            "heron": lambda rng: self._sides(rng, "heron"),
            "circumradius": lambda rng: self._sides(rng, "circumradius"),
            "inradius": lambda rng: self._sides(rng, "inradius"),
            "median": self._median,
            "bisector": self._bisector,
            "law_of_cosines": self._law_of_cosines,
        }

    def _length(self, rng: random.Random) -> int:
        return rng.randint(2, self.max_length)

    def _three(self, rng: random.Random) -> tuple[int, int, int] | None:
        a, b, c = (self._length(rng) for _ in range(3))
        return (a, b, c) if a + b > c and a + c > b and b + c > a else None

    def _half_base(self, rng: random.Random) -> Problem:
        base, height = self._length(rng), self._length(rng)
        value = Fraction(base * height, 2)
        question = self.ask(
            rng,
            en=(
                "A triangle has a side of length {b} and the height on it is {h}. What is its area?",
                "Find the area of a triangle with base {b} and height {h}.",
            ),
            zh=("三角形的一边长 {b}，该边上的高为 {h}，面积是多少？", "求底为 {b}、高为 {h} 的三角形的面积。"),
            b=base,
            h=height,
        )
        steps = (f"{base}*{height}/2 = {write(value)}",)
        return Problem(question=question, gold=write(value), form="fraction", data=(base, height), steps=steps)

    def _angles(self, rng: random.Random) -> Problem | None:
        a, b = rng.randint(5, 150), rng.randint(5, 150)
        if a + b >= 176:
            return None
        c = 180 - a - b
        question = self.ask(
            rng,
            en=(
                "Two angles of a triangle measure {a} and {b} degrees. How many degrees has the third?",
                "A triangle has angles of {a} and {b} degrees. Find the third angle in degrees.",
            ),
            zh=(
                "三角形的两个角为 {a} 度和 {b} 度，第三个角是多少度？",
                "已知三角形两角分别为 {a} 度、{b} 度，求第三个角的度数。",
            ),
            a=a,
            b=b,
        )
        steps = (f"180 - {a} - {b} = {c}",)
        return Problem(question=question, gold=str(c), form="integer", data=(a, b), steps=steps)

    def _coordinates(self, rng: random.Random) -> Problem | None:
        m = self.max_length
        (ax, ay), (bx, by), (cx, cy) = ((rng.randint(-m, m), rng.randint(-m, m)) for _ in range(3))
        first, second = (bx - ax) * (cy - ay), (cx - ax) * (by - ay)
        if first == second:
            return None
        value = Fraction(abs(first - second), 2)
        question = self.ask(
            rng,
            en=(
                "What is the area of the triangle with vertices {a}, {b} and {c}?",
                "Find the area of the triangle ABC with A = {a}, B = {b}, C = {c}.",
            ),
            zh=("顶点为 {a}、{b}、{c} 的三角形面积是多少？", "已知 A = {a}，B = {b}，C = {c}，求三角形 ABC 的面积。"),
            a=point(ax, ay),
            b=point(bx, by),
            c=point(cx, cy),
        )
        steps = (
            f"B - A = {point(bx - ax, by - ay)}, C - A = {point(cx - ax, cy - ay)}",
            f"{guard(bx - ax)}*{guard(cy - ay)} - {guard(cx - ax)}*{guard(by - ay)} = {first - second}",
            f"{abs(first - second)}/2 = {write(value)}",
        )
        data = (ax, ay, bx, by, cx, cy)
        return Problem(question=question, gold=write(value), form="fraction", data=data, steps=steps)

    def _right(self, rng: random.Random) -> Problem | None:
        """Returns the missing side of a right triangle."""
        a, b = self._length(rng), self._length(rng)
        if rng.random() < 0.5:
            m, n = sorted(rng.sample(range(1, 9), 2), reverse=True)
            a, b = m * m - n * n, 2 * m * n
        is_leg = rng.random() < 0.5 and a != b
        low, high = sorted((a, b))
        square = high * high - low * low if is_leg else a * a + b * b
        given = (low, high) if is_leg else (a, b)
        gold = root(square)
        question = self.ask(
            rng,
            en=(
                ("A right triangle has a leg of length {a} and a hypotenuse of length {b}. How long is the other leg?",)
                if is_leg
                else ("The legs of a right triangle have lengths {a} and {b}. How long is the hypotenuse?",)
            ),
            zh=(
                ("直角三角形的一条直角边长 {a}，斜边长 {b}，另一条直角边长多少？",)
                if is_leg
                else ("直角三角形两直角边长为 {a} 和 {b}，斜边长多少？",)
            ),
            a=given[0],
            b=given[1],
        )
        sign = "-" if is_leg else "+"
        big, small = (given[1], given[0]) if is_leg else given
        steps = (f"{big}^2 {sign} {small}^2 = {square}", rf"\sqrt{{{square}}} = {gold}")
        return Problem(question=question, gold=gold, form="surd", data=(*given, is_leg), steps=steps)

    def _similar(self, rng: random.Random) -> Problem | None:
        sides = self._three(rng)
        if sides is None or len(set(sides)) < 3:
            return None
        a, b, _ = sides
        d = self._length(rng)
        value = Fraction(b * d, a)
        question = self.ask(
            rng,
            en=(
                "Triangles ABC and DEF are similar, with A, B, C corresponding to D, E, F. AB = {a}, BC = "
                "{b} and DE = {d}. "
                "Find EF.",
                "Triangle ABC with AB = {a} and BC = {b} is similar to triangle DEF (vertices in this "
                "order), and DE = {d}. "
                "How long is EF?",
            ),
            zh=(
                "三角形 ABC 与 DEF 相似（A, B, C 依次对应 D, E, F），AB = {a}，BC = {b}，DE = {d}，求 EF。",
                "已知三角形 ABC 相似于三角形 DEF（顶点按此顺序对应），AB = {a}，BC = {b}，DE = {d}，EF 长多少？",
            ),
            a=a,
            b=b,
            d=d,
        )
        steps = (f"EF = {b}*{d}/{a} = {write(value)}",)
        return Problem(question=question, gold=write(value), form="fraction", data=(a, b, d), steps=steps)

    def _sides(self, rng: random.Random, kind: str) -> Problem | None:
        """Returns the area or a radius, from three sides; 16 area^2 is an integer."""
        sides = self._three(rng)
        if sides is None:
            return None
        a, b, c = sides
        square = (a + b + c) * (-a + b + c) * (a - b + c) * (a + b - c)
        area = root(Fraction(square, 16))
        if kind == "heron":
            gold, line = area, ""
            what = ("area", "面积")
        elif kind == "inradius":
            # r = 2 area / perimeter
            gold = root(Fraction(square, 16), Fraction(2, a + b + c))
            what, line = ("radius of the inscribed circle", "内切圆半径"), f"2*({area})/{a + b + c} = {gold}"
        else:
            # R = a b c / (4 area) = a b c sqrt(square) / square
            gold = root(square, Fraction(a * b * c, square))
            what, line = ("radius of the circumscribed circle", "外接圆半径"), f"{a}*{b}*{c}/(4*({area})) = {gold}"
        question = self.ask(
            rng,
            en=(
                "A triangle has sides of length {a}, {b} and {c}. What is the {what}?",
                "The sides of a triangle are {a}, {b} and {c} long. Find the {what}.",
            ),
            zh=("三角形三边长为 {a}、{b}、{c}，求其{what}。", "边长为 {a}、{b}、{c} 的三角形，{what}是多少？"),
            a=a,
            b=b,
            c=c,
            what=self.say(*what),
        )
        half = Fraction(a + b + c, 2)
        steps = [
            f"s = {write(half)}",
            f"{write(half)}*{guard(half - a)}*{guard(half - b)}*{guard(half - c)} = {write(Fraction(square, 16))}",
            f"{self.say('area', '面积')} = {area}",
        ]
        return Problem(
            question=question,
            gold=gold,
            form="surd",
            data=(sorted(sides),),
            steps=tuple([*steps, line] if line else steps),
        )

    def _median(self, rng: random.Random) -> Problem | None:
        sides = self._three(rng)
        if sides is None:
            return None
        a, b, c = sides
        square = Fraction(2 * b * b + 2 * c * c - a * a, 4)
        gold = root(square)
        question = self.ask(
            rng,
            en=(
                "In triangle ABC, BC = {a}, CA = {b} and AB = {c}. How long is the median from A to the "
                "midpoint of BC?",
                "Triangle ABC has BC = {a}, CA = {b}, AB = {c}, and M is the midpoint of BC. Find AM.",
            ),
            zh=(
                "三角形 ABC 中，BC = {a}，CA = {b}，AB = {c}，求 BC 边上的中线长。",
                "已知 BC = {a}，CA = {b}，AB = {c}，M 是 BC 的中点，求 AM。",
            ),
            a=a,
            b=b,
            c=c,
        )
        steps = (f"AM^2 = (2*{b}^2 + 2*{c}^2 - {a}^2)/4 = {write(square)}", f"AM = {gold}")
        return Problem(question=question, gold=gold, form="surd", data=(a, b, c), steps=steps)

    def _bisector(self, rng: random.Random) -> Problem | None:
        sides = self._three(rng)
        if sides is None:
            return None
        a, b, c = sides
        value = Fraction(a * c, b + c)
        question = self.ask(
            rng,
            en=(
                "In triangle ABC, BC = {a}, CA = {b} and AB = {c}. The bisector of the angle at A meets BC "
                "in D. Find BD.",
                "Triangle ABC has BC = {a}, CA = {b}, AB = {c}. D is the point of BC on the bisector of "
                "angle A. How long is BD?",
            ),
            zh=(
                "三角形 ABC 中，BC = {a}，CA = {b}，AB = {c}，角 A 的平分线交 BC 于 D，求 BD。",
                "已知 BC = {a}，CA = {b}，AB = {c}，角 A 的平分线与 BC 相交于 D，BD 长多少？",
            ),
            a=a,
            b=b,
            c=c,
        )
        steps = (f"BD/DC = AB/CA = {c}/{b}", f"BD = {a}*{c}/({b} + {c}) = {write(value)}")
        return Problem(question=question, gold=write(value), form="fraction", data=(a, b, c), steps=steps)

    def _law_of_cosines(self, rng: random.Random) -> Problem:
        a, b, angle = self._length(rng), self._length(rng), rng.choice((60, 120))
        square = a * a + b * b + (-a * b if angle == 60 else a * b)
        gold = root(square)
        question = self.ask(
            rng,
            en=(
                "Two sides of a triangle are {a} and {b} long and enclose an angle of {g} degrees. How "
                "long is the third side?",
                "In triangle ABC, CA = {b}, CB = {a} and the angle at C is {g} degrees. Find AB.",
            ),
            zh=(
                "三角形的两边长为 {a} 和 {b}，夹角为 {g} 度，第三边长多少？",
                "三角形 ABC 中，CA = {b}，CB = {a}，角 C 为 {g} 度，求 AB。",
            ),
            a=a,
            b=b,
            g=angle,
        )
        sign = "-" if angle == 60 else "+"
        steps = (f"{a}^2 + {b}^2 {sign} {a}*{b} = {square}", rf"\sqrt{{{square}}} = {gold}")
        data = (min(a, b), max(a, b), angle)
        return Problem(question=question, gold=gold, form="surd", data=data, steps=steps)
