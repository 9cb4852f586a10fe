"""Windows and curriculum over the real collection of rollouts: a run of a made-up policy, and the same run resumed."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fulmen.envs import SingleTurn
from fulmen.rl import LengthPenalty, is_informative
from fulmen.rl.curriculum import Curriculum, Source
from fulmen.rl.pass_rates import PassRateSettings
from fulmen.rl.window import WindowSchedule, WindowSettings, evidence_of, report_windows
from fulmen.rollout import CollectSettings, collect
from fulmen.types import Completion, Message, Request, Sampling, Score, Split, StopReason, Task

WINDOWS = WindowSettings(
    windows=report_windows(first=20, last=40),
    synthetic_scale=(1.0, 0.9, 0.8, 0.7, 0.6, 0.5),
    perplexity_steps=1,
    num_evaluations=2,
    evaluate_every=2,
    scales_repetition=True,
    repetition_window=10,
)
NUM_STEPS = 28


@dataclass(frozen=True, kw_only=True)
class Guess(SingleTurn):
    """A task that says how hard it is; the right answer is "yes"."""

    name: str
    difficulty: float

    def task(self, split: Split, *, seed: int, index: int) -> Task:
        prompt = (Message(role="user", content=str(self.difficulty)),)
        place = f"{self.name}-{split}-{seed}-{index}"
        return Task(task_id=place, env=self.name, prompt=prompt, gold="yes", content_hash=place)

    def check(self, task: Task, answer: Message | str, *, stop_reason: StopReason = "stop") -> Score:
        return Score(value=float(isinstance(answer, Message) and answer.content == "yes"))


class Policy:
    """Right more often and at more length from step to step, as far as the window lets it."""

    def __init__(self) -> None:
        self.step = 0

    def __call__(
        self, requests: Sequence[Request], *, on_finish: Callable[[int], None] | None = None
    ) -> list[Completion]:
        return [self._complete(request) for request in requests]

    def _complete(self, request: Request) -> Completion:
        rng = np.random.default_rng(request.seed)
        is_right = rng.random() < 1 / (1 + np.exp(float(request.messages[-1].content) - self.step / 3))
        length = min(int(rng.integers(1, 30) + 2 * self.step), request.sampling.max_tokens)
        return Completion(
            prompt_ids=np.array([1]),
            token_ids=np.full(length, 2),
            logprobs=np.full(length, -0.5, np.float32),
            stop_reason="stop",
            message=Message(role="assistant", content="yes" if is_right else "no"),
        )


class Training:
    """The lines that a loop has for windows and curriculum."""

    def __init__(self) -> None:
        hard = tuple(Guess(name=f"hard@{level}", difficulty=2.0 * level) for level in range(1, 4))
        general = Source(name="general", envs=(Guess(name="general", difficulty=3.0),), weights=((5, 0.0), (20, 1.0)))
        sources = [Source(name="hard", envs=hard, is_synthetic=True), general]
        self.windows = WindowSchedule(WINDOWS)
        self.curriculum = Curriculum(sources, pass_rates=PassRateSettings(num_rollouts=16))
        self.policy, self.cursor = Policy(), 0

    def step(self, step: int) -> dict[str, Any]:
        self.policy.step = step
        stage = self.windows.stage
        mixture = self.curriculum.mixture(
            step, synthetic_scale=stage.synthetic_scale, pass_rate_max=stage.pass_rate_max
        )
        metrics = self.curriculum.metrics(mixture)
        sampling = Sampling(max_tokens=stage.window, repetition_window=stage.repetition_window)
        settings = CollectSettings(num_groups=4, group_size=4, max_rounds=1)
        collected = collect(
            self.policy, mixture, settings, sampling=sampling, seed=0, cursor=self.cursor, keep=is_informative
        )
        self.cursor = collected.cursor
        self.curriculum.observe(collected.sampled)
        evidence = evidence_of(collected.sampled)
        decision = None if evidence is None else self.windows.observe(step, evidence)
        return {
            "tasks": [group.task.task_id for group in collected.sampled],
            "decision": None if decision is None else decision.to_json(),
            **metrics,
            **self.windows.metrics(),
        }

    def state(self) -> str:
        return json.dumps([self.windows.state(), self.curriculum.state(), self.cursor], sort_keys=True)

    def load(self, text: str) -> None:
        windows, curriculum, self.cursor = json.loads(text)
        self.windows.load(windows)
        self.curriculum.load(curriculum)


def test_a_run_grows_its_window_and_its_difficulty_and_resumes_exactly() -> None:
    whole = Training()
    states, records = [], []
    for step in range(NUM_STEPS):
        states.append(whole.state())
        records.append(whole.step(step))
    assert records[-1]["window/tokens"] == 40
    assert records[-1]["curriculum/level/hard"] == 3
    assert whole.windows.stage.repetition_window == 20
    assert LengthPenalty(window=40, soft_zone_frac=whole.windows.stage.soft_zone_frac)(40) == -1
    # Down-weighted in the last stage, and general tasks wholly mixed in: 0.5 against 1.
    assert records[-1]["curriculum/weight/hard"] == 0.5 / 1.5
    drawn = [task for record in records for task in record["tasks"]]
    assert len(set(drawn)) == len(drawn)
    # From each state some steps on, over stages and levels.
    for cut in (0, 7, 18, NUM_STEPS - 4):
        resumed = Training()
        resumed.load(states[cut])
        assert [resumed.step(step) for step in range(cut, cut + 4)] == records[cut : cut + 4]
        assert resumed.state() == [*states, whole.state()][cut + 4]
