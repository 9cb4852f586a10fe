"""Golden answers of the families of geometry, found in coordinates; exact answers are compared as numbers."""

import math
from fractions import Fraction

import pytest

from tests.envs.math.samples import fraction, pair, samples, symbol

Point = tuple[float, float]


def near(gold: str, value: float) -> bool:
    return math.isclose(float(symbol(gold)), value, rel_tol=1e-9)


def corners(a: float, b: float, c: float) -> tuple[Point, Point, Point]:
    """Returns A, B, C with BC = a, CA = b, AB = c."""
    x = (b * b + c * c - a * a) / (2 * c)
    return (0.0, 0.0), (c, 0.0), (x, math.sqrt(b * b - x * x))


def area(points: list[Point]) -> float:
    """Returns the area of a polygon by trapezia."""
    pairs = zip(points, [*points[1:], points[0]], strict=True)
    return abs(sum((q[0] - p[0]) * (p[1] + q[1]) / 2 for p, q in pairs))


@pytest.mark.parametrize("kind", ["half_base", "angles", "coordinates", "right", "similar", "law_of_cosines"])
def test_triangles(kind: str) -> None:
    for task in samples("math_triangles", kind):
        data, gold = task.meta["data"], task.gold
        if kind == "half_base":
            assert near(gold, area([(0, 0), (data[0], 0), (data[0] / 3, data[1])]))
        elif kind == "angles":
            assert int(gold) + sum(data) == 180
            assert int(gold) > 0
        elif kind == "coordinates":
            assert near(gold, area([tuple(data[:2]), tuple(data[2:4]), tuple(data[4:])]))  # type: ignore[list-item]
        elif kind == "right":
            a, b, is_leg = data
            assert near(gold, math.hypot(a, b) if not is_leg else math.sqrt(b * b - a * a))
        elif kind == "similar":
            assert fraction(gold) * data[0] == data[1] * data[2]
        else:
            a, b, angle = data
            turned = b * math.cos(math.radians(angle)), b * math.sin(math.radians(angle))
            assert near(gold, math.dist((a, 0), turned))


@pytest.mark.parametrize("kind", ["heron", "circumradius", "inradius", "median", "bisector"])
def test_triangles_of_three_sides(kind: str) -> None:
    for task in samples("math_triangles", kind):
        data = task.meta["data"]
        a, b, c = data[0] if isinstance(data[0], list) else data
        A, B, C = corners(a, b, c)
        whole = area([A, B, C])
        if kind == "heron":
            wanted = whole
        elif kind == "circumradius":
            wanted = a / (2 * math.sin(math.atan2(C[1], C[0])))
        elif kind == "inradius":
            wanted = 2 * whole / (a + b + c)
        else:
            share = 0.5 if kind == "median" else c / (b + c)
            foot = B[0] + share * (C[0] - B[0]), B[1] + share * (C[1] - B[1])
            if kind == "bisector":
                assert math.isclose(math.atan2(foot[1], foot[0]) * 2, math.atan2(C[1], C[0]), rel_tol=1e-9)
            wanted = math.dist(A, foot) if kind == "median" else math.dist(B, foot)
        assert near(task.gold, wanted)


@pytest.mark.parametrize(
    "kind", ["sector", "arc", "ring", "chord", "tangent", "inscribed", "power", "common_tangent", "two_chords"]
)
def test_circles(kind: str) -> None:
    for task in samples("math_circles", kind):
        data, gold = task.meta["data"], task.gold
        if kind in ("sector", "arc"):
            r, angle = data
            turn = math.radians(angle)
            assert near(gold, r * turn if kind == "arc" else r * r * turn / 2)
        elif kind == "ring":
            r, s = (3.0, math.hypot(3, data[0] / 2)) if len(data) == 1 else data
            assert near(gold, math.pi * s * s - math.pi * r * r)
        elif kind == "chord":
            r, d = data
            assert near(gold, 2 * r * math.sin(math.acos(d / r)))
        elif kind == "tangent":
            r, d = data
            assert near(gold, d * math.sin(math.acos(r / d)))
        elif kind == "inscribed":
            assert fraction(gold) == (180 - data[1] if data[0] == "q" else Fraction(data[1], 2))
        elif kind == "power":
            assert data[0] * data[1] == data[2] * fraction(gold)
        elif kind == "common_tangent":
            r, s, d, is_outer = data
            # A line at distance r from one centre and s (or -s) from the other.
            slope = math.asin(((s - r) if is_outer else (s + r)) / d)
            assert near(gold, d * math.cos(slope))
        else:
            (a, b), (c, d) = data[0]
            centre = ((b - a) / 2, (d - c) / 2)
            radii = [math.dist(centre, p) for p in ((-a, 0), (b, 0), (0, -c), (0, d))]
            assert all(near(gold, radius) for radius in radii)


def test_common_chords_and_cyclic_quadrilaterals() -> None:
    for task in samples("math_circles", "common_chord"):
        r, s, d = task.meta["data"]
        half = float(symbol(task.gold)) / 2
        reach = math.sqrt(r * r - half * half), math.sqrt(s * s - half * half)
        assert any(math.isclose(abs(reach[0] + sign * reach[1]), d, rel_tol=1e-9) for sign in (1, -1))
    for task in samples("math_circles", "cyclic"):
        a, b, c, d = task.meta["data"][0]
        # The diagonal from the law of cosines with opposite angles that add up to 180 degrees.
        cosine = (a * a + b * b - c * c - d * d) / (2 * (a * b + c * d))
        assert near(task.gold, (a * b + c * d) * math.sqrt(1 - cosine * cosine) / 2)


@pytest.mark.parametrize(
    "kind",
    ["midpoint", "slope", "distance", "intersection", "point_line", "centre", "reflection", "circumcentre", "polygon"],
)
def test_coordinate_geometry(kind: str) -> None:
    for task in samples("math_coordinate_geometry", kind):
        data, gold = task.meta["data"], task.gold
        if kind == "midpoint":
            x, y = pair(gold)
            assert (x - data[0], y - data[1]) == (data[2] - x, data[3] - y)
        elif kind == "slope":
            assert fraction(gold) * (data[2] - data[0]) == data[3] - data[1]
        elif kind == "distance":
            assert near(gold, math.dist(data[:2], data[2:]))
        elif kind == "intersection":
            x, y = pair(gold)
            assert (data[0] * x + data[1] * y, data[3] * x + data[4] * y) == (data[2], data[5])
        elif kind == "point_line":
            a, b, c, x, y = data
            assert near(gold, abs(a * x + b * y - c) / math.hypot(a, b))
        elif kind == "centre":
            p, _, square = data
            assert near(gold, math.sqrt(square))
            assert f"{abs(2 * p)}x" in task.prompt[0].content or abs(p) < 1
        elif kind == "reflection":
            a, b, c, x, y = data
            u, v = pair(gold)
            assert a * (x + u) / 2 + b * (y + v) / 2 == c
            assert (u - x) * b == (v - y) * a
            assert (u, v) != (x, y)
        elif kind == "circumcentre":
            x, y = pair(gold)
            assert len({(x - p) ** 2 + (y - q) ** 2 for p, q in data[0]}) == 1
        else:
            points = [tuple(p) for p in data[0]]
            assert near(gold, area(points))
            assert near(gold, area(points[:3]) + area([points[0], *points[2:]]))
