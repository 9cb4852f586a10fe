"""What a run of RL shows: bars with the time left on a terminal, and one plain line per step."""

from collections.abc import Mapping
from types import TracebackType

from rich.console import Console

from fulmen.rl.loop import Hooks, Loop, Step
from fulmen.run import Run, progress_bar

INERT = (
    "warning: r = 1 on every token of this step, so neither cap nor clip can act; allowed: more num_updates, or "
    "anchor=rollout"
)


class Display:
    """A bar for the steps, and under it, on a terminal, one for completions and one for updates."""

    def __init__(self, console: Console, run: Run, *, num_steps: int, has_lines: bool) -> None:
        """Draws nothing yet."""
        self._console, self._run, self._num_steps, self._has_lines = console, run, num_steps, has_lines
        self._bar = progress_bar(console)
        if has_lines and not console.is_terminal:
            self._bar.disable = True
        self._has_details = has_lines and console.is_terminal
        self._steps = self._bar.add_task("RL", total=num_steps, note="")
        self._rollouts = self._bar.add_task("  completions", total=None, note="", visible=self._has_details)
        self._updates = self._bar.add_task("  updates", total=None, note="", visible=self._has_details)
        self._has_warned = False

    @property
    def hooks(self) -> Hooks:
        """What the loop calls; a stop that the user asked for is met when a completion ends."""
        return Hooks(
            on_finish=self._on_finish, on_update=self._on_update, on_skip=self._on_skip,
            on_failure=lambda failure: self._run.append("quarantine.jsonl", {"phase": "rl", **failure.to_json()}),
        )  # fmt: skip

    def begin(self, loop: Loop) -> None:
        """Shows that a step begins."""
        self._bar.update(self._steps, completed=loop.num_done)
        self._bar.reset(self._rollouts, total=loop.expected_completions, note="", visible=self._has_details)
        self._bar.reset(self._updates, total=loop.settings.num_updates, note="", visible=self._has_details)

    def end(self, step: Step) -> None:
        """Shows what a step did."""
        metrics = step.metrics
        self._bar.update(self._steps, completed=step.index + 1, note=f"reward {metrics['reward']:.2f}")
        if not self._has_lines:
            return
        entropy = f"{metrics['entropy']:.3f}" if "entropy" in metrics else "-"
        self.say(
            f"step {step.index + 1}/{self._num_steps}  reward {metrics['reward']:.3f}  "
            f"length {metrics['length_mean']:.0f}  entropy {entropy}  {metrics['tokens_per_s']:,.0f} tokens/s  "
            f"(rollouts {metrics['rollout_s']:.1f} s, updates {metrics['learn_s']:.1f} s)"
        )
        if step.update is None:
            self.say("  no update: every group was all right or all wrong; easier or harder tasks would teach more")
        if step.decision is not None and step.decision.verdict == "advance":
            self.say(f"  window {step.decision.window} -> {step.decision.next_window}: {step.decision.reason}")
        if metrics.get("is_cap_inert") and not self._has_warned:
            self._has_warned = True
            self.say(INERT)

    def heldout(self, rates: Mapping[str, float]) -> None:
        """Shows pass rates on held-out tasks."""
        if self._has_lines and rates:
            self.say("  held out: " + ", ".join(f"{name} {rate:.3f}" for name, rate in rates.items()))

    def say(self, text: str) -> None:
        """Prints a line above the bars."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _on_finish(self, num_tokens: int) -> None:
        self._bar.advance(self._rollouts)
        self._run.check_stop()

    def _on_update(self, num_done: int, num_updates: int) -> None:
        self._bar.update(self._updates, completed=num_done, total=num_updates)

    def _on_skip(self, task_ids: list[str]) -> None:
        error = "loss or gradient not finite: no step was taken"
        self._run.append("quarantine.jsonl", {"phase": "rl", "status": "skipped", "error": error, "task_ids": task_ids})

    def __enter__(self) -> "Display":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
