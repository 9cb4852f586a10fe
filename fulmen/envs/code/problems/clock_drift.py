"""Moving a clock by minutes, forwards and back over midnight."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, check_int, require


def generate(rng: random.Random, size: int) -> str:
    lines = [str(size)]
    for _ in range(size):
        shift = rng.choice((rng.randint(-90, 90), rng.randint(-(10**9), 10**9), 1440 * rng.randint(-3, 3)))
        lines.append(f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02} {shift}")
    return "\n".join(lines) + "\n"


def validate(given: Given) -> None:
    (num,) = given.ints(1, low=1, high=2000)
    for _ in range(num):
        clock, _, shift = given.line().partition(" ")
        hour, _, minute = clock.partition(":")
        require(len(clock) == 5 and hour.isdigit() and minute.isdigit(), f"clock {clock!r}")
        check_int(int(hour), low=0, high=23)
        check_int(int(minute), low=0, high=59)
        require(str(int(shift)) == shift, f"shift {shift!r}")
        check_int(int(shift), low=-(10**9), high=10**9)


PROBLEM = Problem(
    name="clock_drift",
    level="easy",
    en=Text(
        task="A station keeps clocks that run wrong by whole minutes. For each clock you know what it shows and by "
        "how many minutes its hands must be moved: forwards if positive, back if negative. What does it show then?",
        given="A line with n (1 to 2000), then n lines, each with a time `hh:mm` from 00:00 to 23:59 and an integer "
        "from -10^9 to 10^9.",
        wanted="n lines: the new times as `hh:mm`.",
    ),
    zh=Text(
        task="车站的时钟都有若干整分钟的误差。已知每只钟显示的时间以及指针需要拨动的分钟数：正数向前拨，负数向后拨。"
        "拨动之后它显示几点？",
        given="第一行是 n（1 到 2000），随后 n 行，每行是 00:00 到 23:59 的时间 `hh:mm` 和一个 -10^9 到 10^9 的整数。",
        wanted="n 行，每行是新的时间 `hh:mm`。",
    ),
    samples=(("3\n09:05 10\n23:50 15\n00:00 -1\n", "09:15\n00:05\n23:59\n"),),
    generate=generate,
    validate=validate,
    small=6,
    large=2000,
    edges=("1\n00:00 0\n", "2\n23:59 1\n12:30 -1440\n", "1\n00:30 -1000000000\n"),
    idea="Count minutes since midnight, add, and take the remainder modulo 1440.",
    solution="""\
for _ in range(int(input())):
    clock, shift = input().split()
    hour, minute = map(int, clock.split(":"))
    now = (hour * 60 + minute + int(shift)) % 1440
    print(f"{now // 60:02}:{now % 60:02}")
""",
    brute="""\
from datetime import datetime, timedelta

for _ in range(int(input())):
    clock, shift = input().split()
    start = datetime(6000, 1, 1, int(clock[:2]), int(clock[3:]))
    print((start + timedelta(minutes=int(shift))).strftime("%H:%M"))
""",
    wrong={
        "one day at most": """\
for _ in range(int(input())):
    clock, shift = input().split()
    hour, minute = map(int, clock.split(":"))
    now = hour * 60 + minute + int(shift)
    if now >= 1440:
        now -= 1440
    if now < 0:
        now += 1440
    print(f"{now // 60:02}:{now % 60:02}")
""",
        "remainder of the sign of the dividend": """\
import math

for _ in range(int(input())):
    clock, shift = input().split()
    hour, minute = map(int, clock.split(":"))
    now = abs(int(math.fmod(hour * 60 + minute + int(shift), 1440)))
    print(f"{now // 60:02}:{now % 60:02}")
""",
        "no leading zeros": """\
for _ in range(int(input())):
    clock, shift = input().split()
    hour, minute = map(int, clock.split(":"))
    now = (hour * 60 + minute + int(shift)) % 1440
    print(f"{now // 60}:{now % 60:02}")
""",
    },
)
