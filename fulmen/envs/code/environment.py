"""`Code`: one reply with a program in it, which must pass every test of a problem.

The problems come with fulmen, or from a JSONL file of the user's (`record.py`). The stream goes through the problems of
its split in rounds, each in an order of its own. Left out: several attempts in one episode, with the verdict between.
"""

import asyncio
import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from typing import Literal, get_args

from fulmen.envs.base import SingleTurn, read_meta, split_of
from fulmen.envs.code.bundled import bundled_problems
from fulmen.envs.code.record import CodeProblem, Level, read_problems
from fulmen.envs.puzzle import Language, require_one_of
from fulmen.errors import ConfigError, TaskError
from fulmen.rewards.code import LANGUAGES, Credit, score_reply
from fulmen.rewards.code import Language as ProgramLanguage
from fulmen.sandbox import Sandbox, open_sandbox
from fulmen.types import Episode, Message, Score, Split, StopReason, Task, stable_seed

KIND = "code"
Difficulty = Literal["all", Level]
Programs = Literal["any", ProgramLanguage]

CALL = {
    "en": "Write a function in Python 3, with this signature:\n\n```python\n{signature}\n```",
    "zh": "请用 Python 3 编写函数，其签名为：\n\n```python\n{signature}\n```",
}
WRITE = {
    "en": "Write a program in {languages} that reads from standard input and writes to standard output.",
    "zh": "请用 {languages} 编写程序，从标准输入读取，向标准输出写入。",
}
ENDING = {
    "en": "It runs on many tests, each within {seconds:g} s and {megabytes} MiB, with the standard library only. End "
    "your reply with the whole program in one fenced code block whose tag names the language ({tags}); only the last "
    "block is judged.",
    "zh": "程序将在多个测试上运行，每个测试限时 {seconds:g} 秒、限内存 {megabytes} MiB，只能使用标准库。请在回复的末尾"
    "把完整的程序放在一个代码块中，并用标记注明语言（{tags}）；只评判最后一个代码块。",
}
TITLES: dict[ProgramLanguage, str] = {"python": "Python 3", "cpp": "C++20"}
_opening = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Code(SingleTurn):
    """Problems to be solved by a program."""

    name: str = KIND
    """What `Task.env` says."""
    problems: str = ""
    """A JSONL file of problems; empty: those that come with fulmen."""
    difficulty: Difficulty = "all"
    """all, or of one level: easy, medium, hard."""
    language: Language = "en"
    """Of the prompts: en, or zh for the problems that have a Chinese statement."""
    programs: Programs = "any"
    """Languages accepted where a program is wanted: any, python or cpp; functions are always in Python."""
    credit: Credit = "all"
    """all: 1 if every test passes, else 0; fraction: the fraction of tests passed."""
    judges: tuple[str, ...] = ()
    """Special judges, `module:function`, that a file of problems may use: they run outside the sandbox."""
    allow_unsafe: bool = False
    """Run programs without isolation where no sandbox works; for trusted programs only."""

    def __post_init__(self) -> None:
        """Checks the settings and reads the problems."""
        for field_name, allowed in (
            ("difficulty", ("all", *get_args(Level))),
            ("language", get_args(Language)),
            ("programs", ("any", *LANGUAGES)),
            ("credit", get_args(Credit)),
        ):
            require_one_of(field_name, self.__dict__[field_name], allowed=allowed)
        if not self.name:
            raise ConfigError("name: empty; allowed: a name")
        if not self._chosen():
            settings = f"difficulty={self.difficulty}, language={self.language}"
            raise ConfigError(f"{settings}: no problems; allowed: settings that leave some")

    def task(self, split: Split, *, seed: int, index: int) -> Task:
        """Returns the task at a place of the stream.

        Raises:
            ConfigError: a negative index, or no problem in this split.
        """
        if index < 0:
            raise ConfigError(f"index: {index}; allowed: 0 or more")
        order = [problem for problem in self._chosen() if split_of(problem.hash) == split]
        if not order:
            raise ConfigError(f"{self.name}: no problems in split '{split}'; allowed: more problems")
        lap, place = divmod(index, len(order))
        random.Random(stable_seed(self.name, split, seed, lap)).shuffle(order)
        problem = order[place]
        return Task(
            task_id=f"{self.name}-{split}-{seed}-{index}",
            env=self.name,
            prompt=(Message(role="user", content=self._prompt(problem)),),
            gold=_fence(problem) if problem.solution else "",
            meta={"problem": problem.name, "level": problem.level},
            content_hash=problem.hash,
        )

    def check(self, task: Task, answer: Message | str, *, stop_reason: StopReason = "stop") -> Score:
        """Returns the score of the program in a reply.

        Raises:
            TaskError: the task is another environment's, or its problem is not among this one's.
            SandboxError: no sandbox works here, or it failed; says nothing of the reply.
            VerifierError: the problem's special judge broke.
        """
        problem = self._problem_of(task)
        if stop_reason == "length":
            return Score(value=0.0, status="truncated", info="no room left for a program")
        if stop_reason == "repetition":
            return Score(value=0.0, status="repetition", info="halted while repeating itself")
        reply = answer if isinstance(answer, str) else answer.content
        return score_reply(
            _sandbox(self.allow_unsafe), reply, problem.trial, credit=self.credit, languages=self._languages(problem)
        )

    async def score(self, task: Task, episode: Episode) -> Score:
        """Returns what `check` says of the reply, from a thread: as many are judged at once as there are cores."""
        judge = partial(self.check, task, episode.reply, stop_reason=episode.completions[-1].stop_reason)
        return await asyncio.get_running_loop().run_in_executor(_pool(), judge)

    def worked_solution(self, task: Task, rng: random.Random) -> Message | None:
        """Returns how the problem is solved and a right program; None where none is known."""
        problem = self._problem_of(task)
        if not (problem.solution and problem.idea):
            return None
        return Message(role="assistant", content=_fence(problem), thinking=problem.idea)

    def _chosen(self) -> list[CodeProblem]:
        found = _read(self.problems, self.judges).values()
        return [p for p in found if self.difficulty in ("all", p.level) and self.language in p.statements]

    def _problem_of(self, task: Task) -> CodeProblem:
        name = read_meta(task, "problem", kind=str, env=self.name)
        found = _read(self.problems, self.judges).get(name)
        if found is None:
            raise TaskError(f"task.meta['problem'] of {task.task_id}: {name!r}; allowed: a problem of {self.name}")
        return found

    def _languages(self, problem: CodeProblem) -> tuple[ProgramLanguage, ...]:
        if problem.function:
            return ("python",)
        return LANGUAGES if self.programs == "any" else (self.programs,)

    def _prompt(self, problem: CodeProblem) -> str:
        languages = self._languages(problem)
        if problem.function:
            signature = problem.signature or f"def {problem.function}(...)"
            wanted = CALL[self.language].format(signature=signature)
        else:
            between = {"en": " or ", "zh": " 或 "}[self.language]
            wanted = WRITE[self.language].format(languages=between.join(TITLES[name] for name in languages))
        ending = ENDING[self.language].format(
            seconds=problem.limits.cpu_s, megabytes=problem.limits.memory_bytes >> 20, tags=", ".join(languages)
        )
        return f"{problem.statements[self.language]}\n\n{wanted}\n\n{ending}"


def _fence(problem: CodeProblem) -> str:
    return f"```{problem.solution_language}\n{problem.solution.rstrip()}\n```"


@cache
def _read(path: str, judges: tuple[str, ...]) -> dict[str, CodeProblem]:
    """Returns the problems of a file, or those that come with fulmen; a file is read once."""
    found = read_problems(path, trusted=judges) if path else bundled_problems()
    return {problem.name: problem for problem in found}


def _sandbox(allow_unsafe: bool) -> Sandbox:
    """Returns this process's sandbox, opened when the first program comes. Raises: SandboxError."""
    with _opening:
        return _open(allow_unsafe)


@cache
def _open(allow_unsafe: bool) -> Sandbox:
    return open_sandbox(allow_unsafe=allow_unsafe)


@cache
def _pool() -> ThreadPoolExecutor:
    """Returns the threads that judge; each only waits for a sandbox."""
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="judge")
