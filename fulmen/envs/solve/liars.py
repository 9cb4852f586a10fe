"""People who tell the truth, lie or alternate, and what they say of one another.

A statement is a JSON list that names people and roles by number:

    ["is", person, role]                                ["same", person, person]    ["differ", person, person]
    ["and", statement, statement]    ["or", ...]        ["if", statement, statement]
    ["count", [person, ...], role, "exactly" | "at least" | "at most", number]

Roles: 0 truth-teller (all said is true), 1 liar (all is false), 2 alternator (one of two statements is true).
Solutions are counted over truth tables: integers whose bit `a` is the truth under assignment `a`.
"""

import functools
import itertools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

Statement = list[Any]
TRUTH, LIE, ALTERNATE = 0, 1, 2
KINDS = (
    ("is", "is", "same", "differ"),
    ("is", "same", "differ", "and", "or", "count", "count"),
    ("same", "differ", "and", "or", "if", "count", "count"),
)
"""Kinds of statements that are drawn, for each variety."""
MAX_CASES = 300
"""Combinations of roles that are gone through to use one person's words; more wait until some roles are known."""


@dataclass(frozen=True, kw_only=True)
class Village:
    """A puzzle."""

    num_roles: int
    """2, or 3 with alternators."""
    said: Sequence[Sequence[Statement]]
    """For each person, what he says: one or two statements; two of everybody with alternators."""


def people_of(statement: Statement) -> list[int]:
    """Returns whom a statement is about, ascending."""
    kind, *rest = statement
    if kind in ("and", "or", "if"):
        return sorted({person for part in rest for person in people_of(part)})
    return sorted(rest[0]) if kind == "count" else [rest[0]] if kind == "is" else sorted(rest)


def is_true(statement: Statement, roles: Sequence[int]) -> bool:
    """Returns whether a statement holds when everybody's role is known."""
    match statement:
        case ["is", person, role]:
            return roles[person] == role
        case ["same", one, other]:
            return roles[one] == roles[other]
        case ["differ", one, other]:
            return roles[one] != roles[other]
        case ["and", one, other]:
            return is_true(one, roles) and is_true(other, roles)
        case ["or", one, other]:
            return is_true(one, roles) or is_true(other, roles)
        case ["if", one, other]:
            return not is_true(one, roles) or is_true(other, roles)
        case ["count", people, role, bound, number]:
            return _keeps(sum(roles[person] == role for person in people), bound, number)
    raise AssertionError(f"no statement: {statement!r}")


def is_in_role(role: int, truths: Sequence[bool]) -> bool:
    """Returns whether somebody of a role may say what is so true and false."""
    return all(truths) if role == TRUTH else not any(truths) if role == LIE else sum(truths) == 1


def solution_table(village: Village) -> int:
    """Returns the truth table of "everybody speaks as his role does"; its ones are the solutions."""
    tables = role_tables(len(village.said), village.num_roles)
    result = (1 << village.num_roles ** len(village.said)) - 1
    for person, statements in enumerate(village.said):
        result &= speech_table(person, statements, tables)
    return result


def speech_table(person: int, statements: Sequence[Statement], tables: Sequence[Sequence[int]]) -> int:
    """Returns the truth table of "he speaks as his role does"."""
    full = functools.reduce(int.__or__, tables[person])
    truths = [truth_table(statement, tables) for statement in statements]
    every = functools.reduce(int.__and__, truths)
    some = functools.reduce(int.__or__, truths)
    result = tables[person][TRUTH] & every | tables[person][LIE] & (full ^ some)
    return result | tables[person][ALTERNATE] & some & ~every if len(tables[person]) == 3 else result


def truth_table(statement: Statement, tables: Sequence[Sequence[int]]) -> int:
    """Returns the truth table of a statement."""
    full = functools.reduce(int.__or__, tables[0])
    match statement:
        case ["is", person, role]:
            return tables[person][role]
        case ["same", one, other]:
            return functools.reduce(int.__or__, (a & b for a, b in zip(tables[one], tables[other], strict=True)))
        case ["differ", one, other]:
            return full ^ truth_table(["same", one, other], tables)
        case ["and", one, other]:
            return truth_table(one, tables) & truth_table(other, tables)
        case ["or", one, other]:
            return truth_table(one, tables) | truth_table(other, tables)
        case ["if", one, other]:
            return full ^ truth_table(one, tables) | truth_table(other, tables)
        case ["count", people, role, bound, number]:
            exactly = [full] + [0] * len(people)
            for person in people:
                has = tables[person][role]
                for count in range(len(people), 0, -1):
                    exactly[count] = exactly[count] & ~has | exactly[count - 1] & has
                exactly[0] &= ~has
            return functools.reduce(
                int.__or__, (table for count, table in enumerate(exactly) if _keeps(count, bound, number)), 0
            )
    raise AssertionError(f"no statement: {statement!r}")


@functools.lru_cache(maxsize=32)
def role_tables(num_people: int, num_roles: int) -> list[list[int]]:
    """Returns, for each person and role, the truth table of "he has it"."""
    tables: list[list[int]] = []
    size = 1
    for _ in range(num_people):
        copies = [size * copy for copy in range(num_roles)]
        tables = [[sum(table << shift for shift in copies) for table in person] for person in tables]
        tables.append([(1 << size) - 1 << shift for shift in copies])
        size *= num_roles
    return tables


def draw_village(
    rng: random.Random, *, num_people: int, num_roles: int, num_statements: int, variety: int, max_tries: int = 200
) -> tuple[Village, list[int]] | None:
    """Returns a village whose roles follow from what is said, with the roles; None after so many tries."""
    tables = role_tables(num_people, num_roles)
    for _ in range(max_tries):
        roles = [rng.randrange(num_roles) for _ in range(num_people)]
        if len(set(roles)) < min(num_roles, num_people):
            continue
        left = (1 << num_roles**num_people) - 1
        said: list[list[Statement]] = [[] for _ in range(num_people)]
        for person in rng.sample(range(num_people), num_people):
            options = [_draw_speech(rng, person, roles, num_statements, variety, num_roles) for _ in range(5)]
            options = [option for option in options if speech_table(person, option, tables) & left != left] or options
            said[person] = min(options, key=lambda o: (speech_table(person, o, tables) & left).bit_count())
            left &= speech_table(person, said[person], tables)
        if left.bit_count() == 1:
            return Village(num_roles=num_roles, said=said), roles
    return None


def draw_statement(rng: random.Random, people: Sequence[int], *, variety: int, num_roles: int) -> Statement:
    """Returns a statement about some of at least two people."""
    kind = rng.choice(KINDS[variety - 1])
    if kind == "is":
        return ["is", rng.choice(people), rng.randrange(num_roles)]
    if kind in ("same", "differ"):
        return [kind, *sorted(rng.sample(people, 2))]
    if kind == "count":
        group = sorted(rng.sample(people, rng.randint(2, min(len(people), 2 + variety))))
        bound = rng.choice(("exactly", "at least", "at most"))
        low, high = {"exactly": (0, len(group)), "at least": (1, len(group)), "at most": (0, len(group) - 1)}[bound]
        return ["count", group, rng.randrange(num_roles), bound, rng.randint(low, high)]
    chosen = rng.sample(people, 2)
    parts: list[Statement] = [["is", person, rng.randrange(num_roles)] for person in chosen]
    others = [person for person in people if person not in chosen]
    if variety == 3 and len(others) > 1 and rng.random() < 0.4:
        parts[1] = [rng.choice(("same", "differ")), *sorted(rng.sample(others, 2))]
    return [kind, *parts]


@dataclass(kw_only=True)
class Reasoning:
    """What is known, and how it came about."""

    domains: list[set[int]]
    """Roles that each person may still have."""
    steps: list[tuple[str, int, int]] = field(default_factory=list)
    """(how, person, role or speaker): `set` a role, from what `by` said; `suppose`, `reject` and `broken` (speaker)."""


def reason(village: Village) -> Reasoning:
    """Returns a chain of steps to the solution, which must exist."""
    found = _search(village, Reasoning(domains=[set(range(village.num_roles)) for _ in village.said]))
    assert found is not None, "the village has a solution"
    return found


def _search(village: Village, state: Reasoning) -> Reasoning | None:
    if _narrow(village, state) is not None:
        return None
    is_moving = True
    while is_moving:
        is_moving = False
        for person, role in _open(state):
            if role not in state.domains[person] or len(state.domains[person]) == 1:
                continue
            trial = _suppose(state, person, role)
            speaker = _narrow(village, trial)
            if speaker is None:
                continue
            is_moving = True
            state.steps = [*trial.steps, ("broken", speaker, 0), ("reject", person, role)]
            state.domains[person] = state.domains[person] - {role}
            if len(state.domains[person]) == 1:
                state.steps.append(("left", person, min(state.domains[person])))
            if _narrow(village, state) is not None:
                return None
    for person, role in _open(state):
        branch = _search(village, _suppose(state, person, role))
        if branch is not None:
            return branch
    return None if any(len(domain) != 1 for domain in state.domains) else state


def _open(state: Reasoning) -> list[tuple[int, int]]:
    return [(p, role) for p, domain in enumerate(state.domains) if len(domain) > 1 for role in sorted(domain)]


def _suppose(state: Reasoning, person: int, role: int) -> Reasoning:
    trial = Reasoning(domains=[set(domain) for domain in state.domains], steps=list(state.steps))
    trial.domains[person] = {role}
    trial.steps.append(("suppose", person, role))
    return trial


def _narrow(village: Village, state: Reasoning) -> int | None:
    """Takes each person's words by themselves until they say no more; returns whose words cannot be, if any."""
    is_moving = True
    while is_moving:
        is_moving = False
        for speaker, statements in enumerate(village.said):
            people = sorted({speaker}.union(*map(people_of, statements)))
            if all(len(state.domains[person]) == 1 for person in people):
                if not any(_fits(village, speaker, people, state)):
                    return speaker
                continue
            if math.prod(len(state.domains[person]) for person in people) > MAX_CASES:
                continue
            fitting = list(_fits(village, speaker, people, state))
            if not fitting:
                return speaker
            for person, roles in zip(people, zip(*fitting, strict=True), strict=True):
                kept = set(roles)
                if kept == state.domains[person]:
                    continue
                is_moving = True
                state.domains[person] = kept
                if len(kept) == 1:
                    state.steps.append((f"set {speaker}", person, min(kept)))
    return None


def _fits(village: Village, speaker: int, people: Sequence[int], state: Reasoning) -> Iterator[tuple[int, ...]]:
    """Yields the roles of some people under which a speaker speaks as his role does."""
    roles = [0] * len(village.said)
    for chosen in itertools.product(*(sorted(state.domains[person]) for person in people)):
        for person, role in zip(people, chosen, strict=True):
            roles[person] = role
        if is_in_role(roles[speaker], [is_true(statement, roles) for statement in village.said[speaker]]):
            yield chosen


def _draw_speech(
    rng: random.Random, person: int, roles: Sequence[int], num_statements: int, variety: int, num_roles: int
) -> list[Statement]:
    """Returns different statements about others, as true and false as the speaker's role wants them."""
    others = [other for other in range(len(roles)) if other != person]
    truths = [roles[person] == TRUTH] * num_statements
    if roles[person] == ALTERNATE:
        truths[rng.randrange(num_statements)] = True
    speech: list[Statement] = []
    while len(speech) < num_statements:
        statement = draw_statement(rng, others, variety=variety, num_roles=num_roles)
        if is_true(statement, roles) == truths[len(speech)] and statement not in speech:
            speech.append(statement)
    return speech


def _keeps(count: int, bound: str, number: int) -> bool:
    return count == number if bound == "exactly" else count >= number if bound == "at least" else count <= number
