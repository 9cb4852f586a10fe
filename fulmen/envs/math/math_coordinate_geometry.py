"""Points, lines and circles in the plane."""

import random
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from fulmen.envs.math.family import Maker, MathFamily, Problem
from fulmen.envs.math.writing import guard, point, root, terms, write
from fulmen.envs.puzzle import Levels


@dataclass(frozen=True, kw_only=True)
class CoordinateGeometry(MathFamily):
    """Distances, slopes, intersections, reflections and circles with integer data."""

    name: str = "math_coordinate_geometry"
    kinds: tuple[str, ...] = ("distance", "slope", "intersection", "centre")
    max_coordinate: int = 20
    """Largest size of a coordinate, 6 to 100."""

    rule: ClassVar[str] = "find a distance, slope, point or radius in the plane"
    bounds: ClassVar = {"max_coordinate": (6, 100)}
    levels: ClassVar[Levels] = (
        {"kinds": ("midpoint",), "max_coordinate": 30},
        {"kinds": ("midpoint", "slope", "distance"), "max_coordinate": 12},
        {},
        {"kinds": ("intersection", "point_line", "centre", "reflection"), "max_coordinate": 30},
        {"kinds": ("point_line", "reflection", "circumcentre", "polygon"), "max_coordinate": 50},
    )

    def makers(self) -> dict[str, Maker]:
        """Returns the makers."""
        return {
            "midpoint": self._midpoint,
            "slope": self._slope,
            "distance": self._distance,
            "intersection": self._intersection,
            "point_line": self._point_line,
            "centre": self._centre,
            "reflection": self._reflection,
            "circumcentre": self._circumcentre,
            "polygon": self._polygon,
        }

    def _two(self, rng: random.Random) -> tuple[int, int]:
        high = self.max_coordinate
        return rng.randint(-high, high), rng.randint(-high, high)

    def _midpoint(self, rng: random.Random) -> Problem | None:
        (a, b), (c, d) = self._two(rng), self._two(rng)
        if (a, b) == (c, d):
            return None
        x, y = Fraction(a + c, 2), Fraction(b + d, 2)
        question = self.ask(
            rng,
            en=("What is the midpoint of {p} and {q}?", "Find the midpoint of the segment from {p} to {q}."),
            zh=("{p} 和 {q} 的中点是什么？", "求从 {p} 到 {q} 的线段的中点。"),
            p=point(a, b),
            q=point(c, d),
        )
        steps = (
            f"({a} + {guard(c)})/2 = {write(x)}",
            f"({b} + {guard(d)})/2 = {write(y)}",
            point(x, y),
        )
        return Problem(question=question, gold=point(x, y), form="pair", data=(a, b, c, d), steps=steps)

    def _slope(self, rng: random.Random) -> Problem | None:
        (a, b), (c, d) = self._two(rng), self._two(rng)
        if a == c:
            return None
        value = Fraction(d - b, c - a)
        question = self.ask(
            rng,
            en=(
                "What is the slope of the line through {p} and {q}?",
                "A line passes through {p} and {q}. Find its slope.",
            ),
            zh=("过 {p} 和 {q} 的直线的斜率是多少？", "直线经过 {p} 与 {q}，求其斜率。"),
            p=point(a, b),
            q=point(c, d),
        )
        steps = (f"({d} - {guard(b)})/({c} - {guard(a)}) = {d - b}/{guard(c - a)} = {write(value)}",)
        return Problem(question=question, gold=write(value), form="fraction", data=(a, b, c, d), steps=steps)

    def _distance(self, rng: random.Random) -> Problem | None:
        (a, b), (c, d) = self._two(rng), self._two(rng)
        square = (a - c) ** 2 + (b - d) ** 2
        if square == 0:
            return None
        gold = root(square)
        question = self.ask(
            rng,
            en=("How far apart are {p} and {q}?", "What is the distance between the points {p} and {q}?"),
            zh=("{p} 与 {q} 之间的距离是多少？", "求点 {p} 到点 {q} 的距离。"),
            p=point(a, b),
            q=point(c, d),
        )
        steps = (f"{guard(c - a)}^2 + {guard(d - b)}^2 = {square}", rf"\sqrt{{{square}}} = {gold}")
        return Problem(question=question, gold=gold, form="surd", data=(a, b, c, d), steps=steps)

    def _line(self, rng: random.Random) -> tuple[int, int, int]:
        """Returns a, b, c of the line a x + b y = c, a and b not 0."""
        a, b = (rng.randint(1, 9) * rng.choice((1, -1)) for _ in range(2))
        return a, b, rng.randint(-self.max_coordinate, self.max_coordinate)

    def _intersection(self, rng: random.Random) -> Problem | None:
        (a, b, c), (d, e, f) = self._line(rng), self._line(rng)
        det = a * e - b * d
        if det == 0:
            return None
        x, y = Fraction(c * e - b * f, det), Fraction(a * f - c * d, det)
        lines = f"{terms([(a, 'x'), (b, 'y')])} = {c}", f"{terms([(d, 'x'), (e, 'y')])} = {f}"
        question = self.ask(
            rng,
            en=(
                "Where do the lines {p} and {q} meet?",
                "Find the point (x, y) in which the lines {p} and {q} intersect.",
            ),
            zh=("直线 {p} 与 {q} 相交于哪一点？", "求直线 {p} 和 {q} 的交点 (x, y)。"),
            p=lines[0],
            q=lines[1],
        )
        steps = (
            f"D = {guard(a)}*{guard(e)} - {guard(b)}*{guard(d)} = {det}",
            f"x = ({guard(c)}*{guard(e)} - {guard(b)}*{guard(f)})/{guard(det)} = {write(x)}",
            f"y = ({guard(a)}*{guard(f)} - {guard(c)}*{guard(d)})/{guard(det)} = {write(y)}",
            point(x, y),
        )
        return Problem(question=question, gold=point(x, y), form="pair", data=(a, b, c, d, e, f), steps=steps)

    def _point_line(self, rng: random.Random) -> Problem | None:
        (a, b, c), (x, y) = self._line(rng), self._two(rng)
        top, bottom = abs(a * x + b * y - c), a * a + b * b
        if top == 0:
            return None
        gold = root(bottom, Fraction(top, bottom))
        question = self.ask(
            rng,
            en=("What is the distance of the point {p} from the line {l}?", "How far is {p} from the line {l}?"),
            zh=("点 {p} 到直线 {l} 的距离是多少？", "求 {p} 到直线 {l} 的距离。"),
            p=point(x, y),
            l=f"{terms([(a, 'x'), (b, 'y')])} = {c}",
        )
        steps = (
            f"|{guard(a)}*{guard(x)} + {guard(b)}*{guard(y)} - {guard(c)}| = {top}",
            f"{guard(a)}^2 + {guard(b)}^2 = {bottom}",
            rf"{top}/\sqrt{{{bottom}}} = {gold}",
        )
        return Problem(question=question, gold=gold, form="surd", data=(a, b, c, x, y), steps=steps)

    def _centre(self, rng: random.Random) -> Problem:
        """Returns (x - p)^2 + (y - q)^2 = n, multiplied out; its radius is asked for."""
        p, q = self._two(rng)
        square = rng.randint(1, self.max_coordinate**2)
        gold = root(square)
        equation = terms([(1, "x^2"), (1, "y^2"), (-2 * p, "x"), (-2 * q, "y"), (p * p + q * q - square, "")])
        question = self.ask(
            rng,
            en=(
                "What is the radius of the circle {eq} = 0?",
                "Find the radius of the circle with the equation {eq} = 0.",
            ),
            zh=("圆 {eq} = 0 的半径是多少？", "求方程为 {eq} = 0 的圆的半径。"),
            eq=equation,
        )
        steps = (
            f"({terms([(1, 'x'), (-p, '')])})^2 + ({terms([(1, 'y'), (-q, '')])})^2 = "
            f"{p * p} + {q * q} - {guard(p * p + q * q - square)} = {square}",
            rf"\sqrt{{{square}}} = {gold}",
        )
        return Problem(question=question, gold=gold, form="surd", data=(p, q, square), steps=steps)

    def _reflection(self, rng: random.Random) -> Problem | None:
        (a, b, c), (x, y) = self._line(rng), self._two(rng)
        t = Fraction(a * x + b * y - c, a * a + b * b)
        if t == 0:
            return None
        u, v = x - 2 * a * t, y - 2 * b * t
        question = self.ask(
            rng,
            en=(
                "The point {p} is reflected in the line {l}. What is its image?",
                "Find the mirror image of {p} in the line {l}.",
            ),
            zh=("点 {p} 关于直线 {l} 的对称点是什么？", "求 {p} 关于直线 {l} 的镜像点。"),
            p=point(x, y),
            l=f"{terms([(a, 'x'), (b, 'y')])} = {c}",
        )
        steps = (
            f"t = ({guard(a)}*{guard(x)} + {guard(b)}*{guard(y)} - {guard(c)})/({a * a + b * b}) = {write(t)}",
            f"{x} - 2*{guard(a)}*{guard(t)} = {write(u)}",
            f"{y} - 2*{guard(b)}*{guard(t)} = {write(v)}",
            point(u, v),
        )
        return Problem(question=question, gold=point(u, v), form="pair", data=(a, b, c, x, y), steps=steps)

    def _circumcentre(self, rng: random.Random) -> Problem | None:
        (a, b), (c, d), (e, f) = (self._two(rng) for _ in range(3))
        p, q, r, s = c - a, d - b, e - a, f - b
        det = 2 * (p * s - q * r)
        if det == 0:
            return None
        m, n = p * p + q * q, r * r + s * s
        x, y = Fraction(s * m - q * n, det), Fraction(p * n - r * m, det)
        gold = point(a + x, b + y)
        question = self.ask(
            rng,
            en=(
                "Which point has the same distance from {p}, {q} and {r}?",
                "Find the centre of the circle through {p}, {q} and {r}.",
            ),
            zh=("哪一点到 {p}、{q}、{r} 的距离相等？", "求过 {p}、{q}、{r} 三点的圆的圆心。"),
            p=point(a, b),
            q=point(c, d),
            r=point(e, f),
        )
        steps = (
            f"u = {point(p, q)}, v = {point(r, s)}, |u|^2 = {m}, |v|^2 = {n}",
            f"D = 2*({guard(p)}*{guard(s)} - {guard(q)}*{guard(r)}) = {det}",
            f"({guard(s)}*{m} - {guard(q)}*{n})/{guard(det)} = {write(x)}",
            f"({guard(p)}*{n} - {guard(r)}*{m})/{guard(det)} = {write(y)}",
            f"({a} + {guard(x)}, {b} + {guard(y)}) = {gold}",
        )
        data = (sorted([[a, b], [c, d], [e, f]]),)
        return Problem(question=question, gold=gold, form="pair", data=data, steps=steps)

    def _polygon(self, rng: random.Random) -> Problem | None:
        """Returns the area of a quadrilateral that does not cross itself: its diagonal AC separates B and D."""
        points = [self._two(rng) for _ in range(4)]
        (a, b), (c, d), (e, f), (g, h) = points

        def cross(px: int, py: int) -> int:
            return (e - a) * (py - b) - (f - b) * (px - a)

        if cross(c, d) * cross(g, h) >= 0:
            return None
        pairs = list(zip(points, [*points[1:], points[0]], strict=True))
        parts = [p[0] * q[1] - q[0] * p[1] for p, q in pairs]
        value = Fraction(abs(sum(parts)), 2)
        question = self.ask(
            rng,
            en=(
                "What is the area of the quadrilateral with vertices {p}, in this order?",
                "Find the area of the quadrilateral {p} (vertices in order).",
            ),
            zh=("顶点依次为 {p} 的四边形面积是多少？", "求四边形 {p}（顶点按顺序）的面积。"),
            p=", ".join(point(*p) for p in points),
        )
        steps = [
            f"{guard(p[0])}*{guard(q[1])} - {guard(q[0])}*{guard(p[1])} = {v}"
            for (p, q), v in zip(pairs, parts, strict=True)
        ]
        steps.append(f"|{sum(parts)}|/2 = {write(value)}")
        data = ([list(p) for p in points],)
        return Problem(question=question, gold=write(value), form="fraction", data=data, steps=tuple(steps))
