"""Counts attempts without a score, and stops a run whose environments or judges are broken."""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

from fulmen.errors import ConfigError, RunError
from fulmen.types import RolloutGroup


@dataclass(frozen=True, kw_only=True)
class FailureLimit:
    """How many attempts may stay without a score."""

    max_frac: float = 0.02
    """Largest share of the last `window` attempts."""
    window: int = 200
    """Attempts that are looked back on; nothing is stopped before so many were seen."""

    def __post_init__(self) -> None:
        if not 0 <= self.max_frac <= 1 or self.window < 1:
            raise ConfigError(
                f"max_frac={self.max_frac}, window={self.window}; allowed: 0 <= max_frac <= 1, window >= 1"
            )


class FailureWatch:
    """The last attempts of a run: scored, or why not."""

    def __init__(self, limit: FailureLimit | None = None) -> None:
        """Takes the limit."""
        self.limit = limit or FailureLimit()
        self._last: deque[str] = deque(maxlen=self.limit.window)
        self.counts: Counter[str] = Counter()
        """Attempts of the whole run by environment and status, `<env>/<status>`; scored ones are `ok`."""

    def add(self, groups: Sequence[RolloutGroup]) -> None:
        """Counts the attempts of groups.

        Raises: RunError when too many of the last ones have no score.
        """
        for group in groups:
            outcomes = ["ok" if r.score.is_valid else f"{group.task.env}/{r.score.status}" for r in group.rollouts]
            outcomes += [f"{group.task.env}/lost"] * group.num_lost
            self._last.extend(outcomes)
            self.counts.update(outcomes)
        failed = Counter(outcome for outcome in self._last if outcome != "ok")
        if len(self._last) == self.limit.window and failed.total() > self.limit.max_frac * self.limit.window:
            worst, count = failed.most_common(1)[0]
            raise RunError(
                f"{failed.total()} of the last {self.limit.window} attempts have no score, {count} of them {worst}; "
                f"allowed: {self.limit.max_frac:.0%} (quarantine.jsonl holds them)"
            )
