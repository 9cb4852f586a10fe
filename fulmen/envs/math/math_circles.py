"""Circles: chords, tangents, inscribed angles, arcs, sectors, rings."""

import random
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from fulmen.envs.math.family import Maker, MathFamily, Problem
from fulmen.envs.math.writing import root, scaled, write
from fulmen.envs.puzzle import Levels

PI = r"\pi"


@dataclass(frozen=True, kw_only=True)
class Circles(MathFamily):
    """Lengths, areas and angles at circles; answers are multiples of π, surds or fractions."""

    name: str = "math_circles"
    kinds: tuple[str, ...] = ("sector", "arc", "chord", "tangent", "inscribed")
    max_length: int = 30
    """Largest length that is drawn, 12 to 300."""

    rule: ClassVar[str] = "find a length, an area or an angle at a circle"
    bounds: ClassVar = {"max_length": (12, 300)}
    levels: ClassVar[Levels] = (
        {"kinds": ("sector", "arc"), "max_length": 20},
        {"kinds": ("sector", "arc", "inscribed", "ring")},
        {},
        {"kinds": ("chord", "tangent", "power", "ring", "common_tangent"), "max_length": 60},
        {"kinds": ("power", "common_tangent", "two_chords", "common_chord", "cyclic"), "max_length": 150},
    )

    def makers(self) -> dict[str, Maker]:
        """Returns the makers."""
        return {
            "sector": lambda rng: self._part(rng, is_area=True),
            "arc": lambda rng: self._part(rng, is_area=False),
            "ring": self._ring,
            "chord": self._chord,
            "tangent": self._tangent,
            "inscribed": self._inscribed,
            "power": self._power,
            "common_tangent": self._common_tangent,
            "two_chords": self._two_chords,
            "common_chord": self._common_chord,
            "cyclic": self._cyclic,
        }

    def _length(self, rng: random.Random) -> int:
        return rng.randint(2, self.max_length)

    def _part(self, rng: random.Random, *, is_area: bool) -> Problem:
        r, angle = self._length(rng), 5 * rng.randint(2, 71)
        share = Fraction(angle, 360)
        value = share * r * r if is_area else share * 2 * r
        gold = scaled(value, PI)
        question = self.ask(
            rng,
            en=(
                "What is the area of a circular sector with radius {r} and central angle {a} degrees?"
                if is_area
                else "How long is the arc of a circle of radius {r} that belongs to a central angle of {a} degrees?",
                "A circle has radius {r}. Find the area of a sector of {a} degrees."
                if is_area
                else "A circle has radius {r}. Find the length of an arc of {a} degrees.",
            ),
            zh=(
                "半径为 {r}、圆心角为 {a} 度的扇形面积是多少？"
                if is_area
                else "半径为 {r} 的圆中，{a} 度圆心角所对的弧长是多少？",
                "圆的半径为 {r}，求 {a} 度扇形的面积。" if is_area else "圆的半径为 {r}，求 {a} 度弧的长度。",
            ),
            r=r,
            a=angle,
        )
        whole = f"{r}^2" if is_area else f"2*{r}"
        steps = (f"{angle}/360 = {write(share)}", f"{write(share)}*{whole}*π = {gold}")
        return Problem(question=question, gold=gold, form="pi", data=(r, angle), steps=steps)

    def _ring(self, rng: random.Random) -> Problem:
        """Returns the ring between two circles; a chord of the outer one touches the inner one."""
        r, half = self._length(rng), self._length(rng)
        has_chord = rng.random() < 0.5
        outer = r + half
        value = half * half if has_chord else outer * outer - r * r
        gold = scaled(value, PI)
        if has_chord:
            question = self.ask(
                rng,
                en=(
                    "Two circles have the same centre. A chord of the larger one has length {c} and "
                    "touches the smaller one. "
                    "What is the area of the ring between the circles?",
                ),
                zh=("两圆同心，大圆的一条弦长 {c} 且与小圆相切，求圆环的面积。",),
                c=2 * half,
            )
            steps = (f"R^2 - r^2 = ({2 * half}/2)^2 = {value}", gold)
            return Problem(question=question, gold=gold, form="pi", data=(2 * half,), steps=steps)
        question = self.ask(
            rng,
            en=("What is the area between two circles with the same centre and radii {r} and {s}?",),
            zh=("两同心圆的半径为 {r} 和 {s}，求两圆之间的面积。",),
            r=r,
            s=outer,
        )
        steps = (f"{outer}^2 - {r}^2 = {value}", gold)
        return Problem(question=question, gold=gold, form="pi", data=(r, outer), steps=steps)

    def _chord(self, rng: random.Random) -> Problem | None:
        r, d = self._length(rng), self._length(rng)
        if d >= r:
            return None
        square = r * r - d * d
        gold = root(square, 2)
        question = self.ask(
            rng,
            en=(
                "In a circle of radius {r}, how long is a chord at distance {d} from the centre?",
                "A chord of a circle with radius {r} is {d} away from the centre. Find its length.",
            ),
            zh=("半径为 {r} 的圆中，与圆心距离为 {d} 的弦长多少？", "圆的半径为 {r}，弦心距为 {d}，求弦长。"),
            r=r,
            d=d,
        )
        steps = (f"{r}^2 - {d}^2 = {square}", rf"2*\sqrt{{{square}}} = {gold}")
        return Problem(question=question, gold=gold, form="surd", data=(r, d), steps=steps)

    def _tangent(self, rng: random.Random) -> Problem | None:
        r, d = self._length(rng), self._length(rng)
        if d <= r:
            return None
        square = d * d - r * r
        gold = root(square)
        question = self.ask(
            rng,
            en=(
                "A point is {d} away from the centre of a circle of radius {r}. How long is a tangent from "
                "it to the circle?",
                "From a point at distance {d} from the centre of a circle with radius {r} a tangent is "
                "drawn. Find the distance "
                "from the point to the point of contact.",
            ),
            zh=(
                "圆的半径为 {r}，一点到圆心的距离为 {d}，从该点到圆的切线长是多少？",
                "点到半径为 {r} 的圆的圆心距离为 {d}，求该点到切点的距离。",
            ),
            r=r,
            d=d,
        )
        steps = (f"{d}^2 - {r}^2 = {square}", rf"\sqrt{{{square}}} = {gold}")
        return Problem(question=question, gold=gold, form="surd", data=(r, d), steps=steps)

    def _inscribed(self, rng: random.Random) -> Problem:
        central, is_central = rng.randint(10, 170), rng.random() < 0.5
        if is_central:
            inscribed = Fraction(central, 2)
            question = self.ask(
                rng,
                en=(
                    "O is the centre of a circle through A, B and C. Angle AOB is {a} degrees, and C lies "
                    "on the longer arc AB. "
                    "How many degrees has angle ACB?",
                ),
                zh=("O 是过 A、B、C 的圆的圆心，角 AOB 为 {a} 度，C 在优弧 AB 上，角 ACB 是多少度？",),
                a=central,
            )
            steps = (f"{central}/2 = {write(inscribed)}",)
            return Problem(question=question, gold=write(inscribed), form="fraction", data=("c", central), steps=steps)
        opposite = 180 - central
        question = self.ask(
            rng,
            en=(
                "ABCD is a quadrilateral inscribed in a circle. The angle at A is {a} degrees. How many "
                "degrees has the "
                "angle at C?",
            ),
            zh=("四边形 ABCD 内接于圆，角 A 为 {a} 度，角 C 是多少度？",),
            a=central,
        )
        steps = (f"180 - {central} = {opposite}",)
        return Problem(question=question, gold=str(opposite), form="integer", data=("q", central), steps=steps)

    def _power(self, rng: random.Random) -> Problem:
        """Returns the other part of a chord through a point inside."""
        a, b, c = (self._length(rng) for _ in range(3))
        value = Fraction(a * b, c)
        question = self.ask(
            rng,
            en=(
                "Chords AB and CD of a circle meet inside it at P. PA = {a}, PB = {b} and PC = {c}. Find PD.",
                "P lies inside a circle on the chords AB and CD. If PA = {a}, PB = {b} and PC = {c}, how long is PD?",
            ),
            zh=(
                "圆的弦 AB 与 CD 在圆内交于 P，PA = {a}，PB = {b}，PC = {c}，求 PD。",
                "P 是圆内弦 AB 与 CD 的交点，PA = {a}，PB = {b}，PC = {c}，PD 长多少？",
            ),
            a=a,
            b=b,
            c=c,
        )
        steps = (f"PA*PB = PC*PD: {a}*{b} = {a * b}", f"{a * b}/{c} = {write(value)}")
        return Problem(question=question, gold=write(value), form="fraction", data=(a, b, c), steps=steps)

    def _common_tangent(self, rng: random.Random) -> Problem | None:
        r, s, d = self._length(rng), self._length(rng), self._length(rng) + self._length(rng)
        is_outer = rng.random() < 0.5
        if d <= r + s:
            return None
        gap = abs(r - s) if is_outer else r + s
        square = d * d - gap * gap
        gold = root(square)
        question = self.ask(
            rng,
            en=(
                "Two circles have radii {r} and {s}, and their centres are {d} apart. How long is the "
                "segment of a common "
                + ("external" if is_outer else "internal")
                + " tangent between its two points of contact?",
            ),
            zh=(
                "两圆半径为 {r} 和 {s}，圆心距为 {d}，求一条",
                "外",
                "内",
                "公切线上两切点间的距离。",
            ),
            r=r,
            s=s,
            d=d,
        )
        steps = (f"{d}^2 - {gap}^2 = {square}", rf"\sqrt{{{square}}} = {gold}")
        data = (min(r, s), max(r, s), d, is_outer)
        return Problem(question=question, gold=gold, form="surd", data=data, steps=steps)

    def _two_chords(self, rng: random.Random) -> Problem | None:
        """Returns the radius, from two perpendicular chords through a point that divides them."""
        a, b, c = (self._length(rng) for _ in range(3))
        if a * b % c:
            return None
        d = a * b // c
        square = Fraction(a * a + b * b + c * c + d * d, 4)
        gold = root(square)
        question = self.ask(
            rng,
            en=(
                "Two perpendicular chords of a circle meet in P. One is divided by P into parts of length "
                "{a} and {b}, the "
                "other into parts of length {c} and {d}. What is the radius of the circle?",
            ),
            zh=(
                "圆的两条互相垂直的弦交于 P，一条被 P 分成 {a} 和 {b} 两段，另一条被分成 {c} 和 {d} 两段，求圆的半径。",
            ),
            a=a,
            b=b,
            c=c,
            d=d,
        )
        steps = (
            f"4R^2 = {a}^2 + {b}^2 + {c}^2 + {d}^2 = {write(4 * square)}",
            f"R = {gold}",
        )
        data = (sorted([sorted([a, b]), sorted([c, d])]),)
        return Problem(question=question, gold=gold, form="surd", data=data, steps=steps)

    def _common_chord(self, rng: random.Random) -> Problem | None:
        """Returns the common chord of two circles: with x = (d^2 + r^2 - s^2) / 2d, half of it squared is r^2 - x^2."""
        r, s, d = self._length(rng), self._length(rng), self._length(rng)
        if not abs(r - s) < d < r + s:
            return None
        x = Fraction(d * d + r * r - s * s, 2 * d)
        square = r * r - x * x
        gold = root(square, 2)
        question = self.ask(
            rng,
            en=(
                "Circles with radii {r} and {s} intersect; their centres are {d} apart. How long is their "
                "common chord?",
                "Two circles of radius {r} and {s} have their centres at distance {d} and cross in A and B. Find AB.",
            ),
            zh=(
                "半径为 {r} 和 {s} 的两圆相交，圆心距为 {d}，公共弦长多少？",
                "两圆半径为 {r}、{s}，圆心距 {d}，相交于 A、B，求 AB。",
            ),
            r=r,
            s=s,
            d=d,
        )
        steps = (
            f"x = ({d}^2 + {r}^2 - {s}^2)/(2*{d}) = {write(x)}",
            f"{r}^2 - ({write(x)})^2 = {write(square)}",
            f"AB = {gold}",
        )
        data = (min(r, s), max(r, s), d)
        return Problem(question=question, gold=gold, form="surd", data=data, steps=steps)

    def _cyclic(self, rng: random.Random) -> Problem | None:
        """Returns the area of a quadrilateral inscribed in a circle, by Brahmagupta's formula."""
        sides = [self._length(rng) for _ in range(4)]
        total = sum(sides)
        if 2 * max(sides) >= total:
            return None
        square = Fraction(1)
        for side in sides:
            square *= Fraction(total - 2 * side, 2)
        gold = root(square)
        question = self.ask(
            rng,
            en=(
                "A quadrilateral with sides {a}, {b}, {c}, {d} in this order is inscribed in a circle. "
                "What is its area?",
                "Find the area of the convex quadrilateral ABCD with AB = {a}, BC = {b}, CD = {c}, DA = "
                "{d} whose vertices lie "
                "on a circle.",
            ),
            zh=(
                "圆内接四边形的四边依次为 {a}、{b}、{c}、{d}，面积是多少？",
                "凸四边形 ABCD 内接于圆，AB = {a}，BC = {b}，CD = {c}，DA = {d}，求面积。",
            ),
            a=sides[0],
            b=sides[1],
            c=sides[2],
            d=sides[3],
        )
        half = Fraction(total, 2)
        factors = "*".join(f"({write(half - side)})" for side in sides)
        steps = (f"s = {write(half)}", f"{factors} = {write(square)}", f"{self.say('area', '面积')} = {gold}")
        return Problem(question=question, gold=gold, form="surd", data=(sides,), steps=steps)
