"""What holds for every environment of one reply, as checks that name what is wrong; `fulmen check env` runs them.

Each check is a function of (environment, number of tasks) that yields faults. They hold for generated and for foreign
environments alike; what needs the rules of a task (mutations of a right answer) is in that task's own tests.
"""

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from fulmen.envs.base import SingleTurnEnv
from fulmen.envs.puzzle import PuzzleEnv
from fulmen.errors import ConfigError
from fulmen.types import Message, Split, Task

SPLITS: tuple[Split, ...] = ("train", "heldout")
MAX_CHECK_S = 0.5
"""Longest that one check of one reply may take, in CPU seconds."""
WRAPPERS: Mapping[str, Callable[[str], str]] = {
    "spaces": lambda text: f" \n{text} \t",
    "dollars": lambda text: f"${text}$",
    "double dollars": lambda text: f"$${text}$$.",
    "boxed": lambda text: rf"\boxed{{{text}}}",
    "boxed text in dollars": lambda text: rf"$\boxed{{\text{{{text}}}}}$",
    "period": lambda text: f"{text}.",
    "ideographic period": lambda text: f"{text}。",
    "full width": lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
}
GARBAGE = (
    "", " ", "\n", "$$", r"\boxed{}", ".", "I do not know", "yes, no, true, false", "()", "[]", "{}", "\x00", "\ud800",
    "nan", "inf", "1e999", "9**9**9**9", "2" + "**9" * 100, "9" * 4_000, "9" * 1_000_000, "(" * 4_000, "[" * 4_096,
    "{" * 4_096, "$" * 4_096, r"\boxed{" * 500 + "}" * 500, "(" * 2_000 + "1" + ")" * 2_000, "1+" * 2_000 + "1",
    "1," * 2_000, "/" * 4_000, "\n" * 4_000, "a: b, " * 600, '{"a": ' * 500, "%s%s%n", "{0.__class__}",
    "٣", "Ⅷ", "¼", "３²", "__import__('os').abort()", "[].__class__.__base__", "<answer>", "</answer><answer>",
)  # fmt: skip
"""Replies that are no answer to anything."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What an environment does wrong."""

    check: str
    """Name of the check."""
    detail: str
    """The task, the reply and what came out."""


def find_faults(env: SingleTurnEnv, *, num_tasks: int = 50) -> list[Fault]:
    """Returns what an environment does wrong, at most five faults of each kind.

    An exception of the environment is a fault too. `num_tasks` are drawn per split.
    """
    faults = []
    for check in CHECKS:
        found: list[str] = []
        try:
            for detail in check(env, num_tasks):
                found.append(detail)
                if len(found) == 5:
                    break
        except Exception as error:  # whatever a user's environment raises is what has to be reported
            found.append(f"raised {type(error).__name__}: {error}")
        faults += [Fault(check=check.__name__.removeprefix("check_"), detail=detail) for detail in found]
    return faults


def make_tasks(env: SingleTurnEnv, num: int, *, split: Split = "train", seed: int = 0) -> list[Task]:
    """Returns the first tasks of a stream."""
    return [env.task(split, seed=seed, index=index) for index in range(num)]


def check_gold(env: SingleTurnEnv, num: int) -> Iterator[str]:
    """The gold answer, and every worked solution, score 1."""
    for split in SPLITS:
        for index, task in enumerate(make_tasks(env, num, split=split)):
            reply = gold_reply(env, task)
            if (score := env.check(task, reply)).value != 1.0:
                yield f"{task.task_id}: the gold answer {reply[:60]!r} scores {score.value} ({score.info})"
            message = env.worked_solution(task, random.Random(index))
            if message is None:
                continue
            if (score := env.check(task, message)).value != 1.0 or message.role != "assistant":
                yield f"{task.task_id}: the worked solution's {message.content[:60]!r} scores {score.value}"
            if not message.thinking.strip():
                yield f"{task.task_id}: the worked solution has no thinking"


def check_wrappers(env: SingleTurnEnv, num: int) -> Iterator[str]:
    """The gold answer scores 1 in dollars, boxes, full-width characters, and with spaces or a period."""
    if isinstance(env, PuzzleEnv) and (env.answer_form != "bare" or env.is_free_text):
        return
    for task in make_tasks(env, min(num, 40)):
        for name, wrap in WRAPPERS.items():
            if (score := env.check(task, wrap(task.gold))).value != 1.0:
                yield f"{task.task_id}: {name}: {wrap(task.gold)[:60]!r} scores {score.value} ({score.info})"


def check_garbage(env: SingleTurnEnv, num: int) -> Iterator[str]:
    """Empty, absurd and huge replies, the prompt, and lists of answers score 0, soon, and without an exception."""
    tasks = make_tasks(env, min(num, 8))
    for task in tasks[:3]:
        others = [other.gold for other in tasks if other.env == task.env]
        prompt = "\n".join(message.content for message in task.prompt)
        listed = (" or ".join(others), f"{task.gold}{task.gold}", f"{task.gold} or {task.gold}", f"{task.gold} or not")
        is_free_text = isinstance(env, PuzzleEnv) and env.is_free_text
        for text in (*GARBAGE, prompt, *(() if is_free_text else listed)):
            started = time.process_time()
            score = env.check(task, text)
            if (spent := time.process_time() - started) > MAX_CHECK_S:
                yield f"{task.task_id}: {text[:40]!r} takes {spent:.1f} s; allowed: {MAX_CHECK_S} s"
            if score.value != 0.0 and text.strip() not in {task.gold, *others}:
                yield f"{task.task_id}: {text[:60]!r} scores {score.value}"
        if env.check(task, Message(role="assistant", content="", thinking=task.gold)).value != 0.0:
            yield f"{task.task_id}: an answer that is only thought scores"


def check_stop_reasons(env: SingleTurnEnv, num: int) -> Iterator[str]:
    """A reply that was cut off, or halted for repeating itself, is named so and does not count as right."""
    task = make_tasks(env, 1)[0]
    for stop_reason, status in (("length", "truncated"), ("repetition", "repetition")):
        score = env.check(task, gold_reply(env, task), stop_reason=stop_reason)  # type: ignore[arg-type]
        if score.status != status or score.value == 1.0:
            yield f"stop_reason={stop_reason!r} gives {score.value}, {score.status!r}; allowed: {status!r} below 1"


def check_determinism(env: SingleTurnEnv, num: int) -> Iterator[str]:
    """A place of the stream gives the same task each time and in any order; other places give others."""
    places = [(split, seed, index) for split in SPLITS for seed in (0, 1) for index in (0, 1, 10**9)]
    first = {place: dump(env.task(place[0], seed=place[1], index=place[2])) for place in places}
    for split, seed, index in reversed(places):
        if dump(env.task(split, seed=seed, index=index)) != first[split, seed, index]:
            yield f"task({split!r}, seed={seed}, index={index}) differs the second time"
    one, other = ([task.content_hash for task in make_tasks(env, num, seed=seed)] for seed in (0, 1))
    if num >= 20 and sum(a == b for a, b in zip(one, other, strict=True)) > num // 5:
        yield "seeds 0 and 1 give the same problems"


def check_splits(env: SingleTurnEnv, num: int) -> Iterator[str]:
    """No held-out problem is among the training problems, whatever the seed."""
    train = {task.content_hash for task in make_tasks(env, 4 * num, seed=0)}
    heldout = {task.content_hash for task in make_tasks(env, num, split="heldout", seed=1)}
    if "" in train | heldout:
        yield "a task has no content_hash"
    if both := train & heldout:
        yield f"{len(both)} problems are in both splits, {min(both)} among them"


def check_json(env: SingleTurnEnv, num: int) -> Iterator[str]:
    """A task survives a round trip through JSON and is checked as before."""
    for task in make_tasks(env, min(num, 20)):
        copy = Task.from_json(json.loads(dump(task)))
        if copy != task:
            yield f"{task.task_id}: changes on its way through JSON"
        elif env.check(copy, gold_reply(env, copy)).value != 1.0:
            yield f"{task.task_id}: its copy rejects the gold answer"


def check_bad_index(env: SingleTurnEnv, num: int) -> Iterator[str]:
    """A negative index is a `ConfigError`."""
    try:
        env.task("train", seed=0, index=-1)
    except ConfigError:
        return
    yield "index=-1 is accepted; allowed: a ConfigError"


CHECKS: tuple[Callable[[SingleTurnEnv, int], Iterator[str]], ...] = (
    check_gold,
    check_wrappers,
    check_garbage,
    check_stop_reasons,
    check_determinism,
    check_splits,
    check_json,
    check_bad_index,
)


def gold_reply(env: SingleTurnEnv, task: Task) -> str:
    """Returns the gold answer in the form the environment asks for."""
    return env.write_answer(task.gold) if isinstance(env, PuzzleEnv) else task.gold


def dump(task: Task) -> str:
    """Returns the task as JSON."""
    return json.dumps(task.to_json(), sort_keys=True)
