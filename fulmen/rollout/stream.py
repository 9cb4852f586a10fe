"""Collecting without waiting for the longest: episodes go on as their completions end, groups over several batches.

As many groups as two batches have are under way. As soon as one batch of them is done and informative, the engine is
interrupted and the rest is carried over, partial completions and all. A group that may not get older is waited for,
and goes into the batch first. Since every group begun is trained or found uninformative in the end, long completions
are as often trained as they are sampled; and as no more than one batch is carried over, all of it fits into the next.

Nothing depends on the clock: between `stride` steps of the engine everything else comes to rest first, tools and
verifiers included. (Cost: the engine stands still while they run.)
"""

import asyncio
import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from fulmen.envs.base import Env
from fulmen.errors import ConfigError
from fulmen.rollout.backlog import Backlog, OpenAttempt, OpenGroup, request_key
from fulmen.rollout.collect import Collected, CollectSettings
from fulmen.rollout.episodes import Failure, Outcome, play, run_to_end
from fulmen.types import Attempt, Completion, Partial, Request, Resumable, RolloutGroup, Sampling


class Seat:
    """One attempt: what it asks for, and what it was answered, before an interruption too."""

    def __init__(self, attempt: Attempt, opened: OpenAttempt, *, on_change: Callable[[], None]) -> None:
        self.attempt = attempt
        self.outcome: Outcome | None = None
        if opened.rollout is not None or opened.is_lost:
            self.outcome = Outcome(rollout=opened.rollout)
        self.is_reported = self.outcome is not None
        self.answers = dict(opened.completions)
        self.partials = {request_key(partial.request): partial for partial in opened.partials}
        self.asked: dict[str, Request] = {}
        """Not answered yet."""
        self.submitted: set[str] = set()
        self._futures: list[tuple[str, asyncio.Future[Completion]]] = []
        self._on_change = on_change

    @property
    def is_busy(self) -> bool:
        """Whether it is neither over nor waiting for the policy."""
        return self.outcome is None and not self.asked

    async def complete(self, request: Request) -> Completion:
        """Returns the completion of a request, at once if it is on record."""
        key = request_key(request)
        if key in self.answers:
            return self.answers[key]
        self.asked[key] = request
        future: asyncio.Future[Completion] = asyncio.get_running_loop().create_future()
        self._futures.append((key, future))
        self._on_change()
        return await future

    def now(self) -> float:
        """Returns seconds: the engine stands still while environments work."""
        return time.monotonic()

    def leave(self) -> None:
        """Scores are waited for like everything else."""

    def deliver(self) -> None:
        """Hands out the completions, once all that it waits for are there."""
        if self.asked and self.asked.keys() <= self.answers.keys():
            futures, self._futures = self._futures, []
            self.asked.clear()
            self.submitted.clear()
            for key, future in futures:
                # An environment may have stopped waiting.
                if not future.done():
                    future.set_result(self.answers[key])

    def to_record(self) -> OpenAttempt:
        """Returns what the attempt has come to."""
        if self.outcome is not None:
            return OpenAttempt(rollout=self.outcome.rollout, is_lost=self.outcome.rollout is None)
        return OpenAttempt(completions=self.answers, partials=tuple(self.partials.values()))


@dataclass(eq=False, kw_only=True)
class Table:
    """A group and the seats of its attempts."""

    opened: OpenGroup
    seats: list[Seat]
    jobs: list["asyncio.Task[None]"] = field(default_factory=list)

    @property
    def is_over(self) -> bool:
        """Whether all attempts are."""
        return all(seat.outcome is not None for seat in self.seats)

    def result(self) -> RolloutGroup:
        """Returns the group, once all attempts are over."""
        outcomes = [seat.outcome for seat in self.seats]
        rollouts = tuple(o.rollout for o in outcomes if o is not None and o.rollout is not None)
        return RolloutGroup(task=self.opened.task, rollouts=rollouts, num_lost=len(outcomes) - len(rollouts))

    def to_record(self) -> OpenGroup:
        """Returns what is carried over."""
        return dataclasses.replace(self.opened, attempts=tuple(seat.to_record() for seat in self.seats))


class Collector:
    """Collects one batch; see `collect` for what it takes."""

    def __init__(
        self,
        engine: Resumable,
        env: Env,
        settings: CollectSettings,
        *,
        sampling: Sampling,
        seed: int,
        cursor: int,
        keep: Callable[[RolloutGroup], bool],
        on_finish: Callable[[int], None] | None,
        on_failure: Callable[[Failure], None] | None,
        max_staleness: int,
    ) -> None:
        self._engine, self._env, self._settings = engine, env, settings
        self._sampling, self._seed, self._cursor = sampling, seed, cursor
        self._keep, self._on_finish, self._on_failure = keep, on_finish, on_failure
        self._max_staleness = max_staleness
        self._open: list[Table] = []
        """Oldest first, as all these lists."""
        self._ready: list[Table] = []
        """Complete and informative."""
        self._sampled: list[Table] = []
        """Completed in this call."""
        self._num_kept = 0
        self._num_fresh = 0
        self._owners: dict[int, tuple[Seat, str]] = {}
        """Whose request, and which, by the engine's id."""
        self._error: BaseException | None = None
        self._change = asyncio.Event()

    def run(self, backlog: Backlog, *, policy_version: int) -> Collected:
        """Returns the batch and what is left for the next."""
        if self._engine.has_work:
            raise ConfigError("collect() with an engine that has other work; allowed: one that stands still")
        # What the engine did before must not show in how far completions get.
        self._engine.interrupt()
        return run_to_end(lambda: self._run(backlog, policy_version))

    async def _run(self, backlog: Backlog, policy_version: int) -> Collected:
        self._change = asyncio.Event()
        is_older = backlog.policy_version != policy_version
        try:
            for group in backlog.groups:
                self._begin(dataclasses.replace(group, age=group.age + is_older))
            while True:
                await self._settle()
                self._sort()
                if self._is_full():
                    break
                if not self._begin_fresh():
                    if not self._open:
                        break
                    self._generate()
        finally:
            await self._interrupt()
        return self._collected(policy_version)

    def _begin(self, group: OpenGroup) -> None:
        seats = [
            Seat(
                Attempt(sampling=group.sampling, seed=group.seed, index=index), attempt, on_change=self._change.set
            )
            for index, attempt in enumerate(group.attempts)
        ]  # fmt: skip
        table = Table(opened=group, seats=seats)
        if table.is_over:
            self._ready.append(table)
            return
        self._open.append(table)
        table.jobs = [asyncio.ensure_future(self._attend(table, s)) for s in seats if s.outcome is None]

    async def _attend(self, table: Table, seat: Seat) -> None:
        try:
            seat.outcome = await play(self._env, table.opened.task, seat.attempt, seat, self._settings.patience)
        except Exception as error:
            self._error = error
        self._change.set()

    def _begin_fresh(self) -> bool:
        """Begins groups until as many as two batches have are under way; returns whether it began any."""
        most, count = 2 * self._settings.num_groups, 0
        while len(self._open) + len(self._ready) < most and self._num_fresh < most * self._settings.max_rounds:
            task = self._env.task("train", seed=self._seed, index=self._cursor)
            attempts = (OpenAttempt(),) * self._settings.group_size
            group = OpenGroup(
                index=self._cursor, task=task, sampling=self._sampling, seed=self._seed, attempts=attempts
            )
            self._begin(group)
            self._cursor += 1
            self._num_fresh += 1
            count += 1
        return count > 0

    async def _settle(self) -> None:
        """Returns once every attempt waits for the policy or is over."""
        while self._error is None and any(seat.is_busy for table in self._open for seat in table.seats):
            await self._change.wait()
            self._change.clear()
        if self._error is not None:
            raise self._error

    def _sort(self) -> None:
        """Moves groups that are over to the ready ones, if they are worth it."""
        for table in self._open:
            for seat in table.seats:
                if seat.outcome is not None and not seat.is_reported:
                    seat.is_reported = True
                    if seat.outcome.failure is not None and self._on_failure is not None:
                        self._on_failure(seat.outcome.failure)
        over = [table for table in self._open if table.is_over]
        self._open = [table for table in self._open if not table.is_over]
        for table in over:
            group = table.result()
            if group.num_valid >= self._settings.min_valid and self._keep(group):
                self._ready.append(table)
                self._num_kept += 1
        self._sampled += over
        self._ready.sort(key=lambda table: table.opened.index)

    def _is_due(self, table: Table) -> bool:
        return table.opened.age >= self._max_staleness

    def _is_full(self) -> bool:
        return len(self._ready) >= self._settings.num_groups and not any(map(self._is_due, self._open))

    def _generate(self) -> None:
        """Takes some steps, then hands out what has ended; in the thread of the loop, as `Lockstep` does."""
        seats = [seat for table in self._open for seat in table.seats]
        for seat in seats:
            for key, request in seat.asked.items():
                if key not in seat.submitted and key not in seat.answers:
                    seat.submitted.add(key)
                    number = self._engine.submit(seat.partials.pop(key, request), has_text=False)
                    self._owners[number] = (seat, key)
        for _ in range(self._settings.stride):
            if not self._engine.has_work:
                break
            for delta in self._engine.step():
                if delta.completion is not None:
                    self._note(delta.request_id, delta.completion)
        for seat in seats:
            seat.deliver()

    def _note(self, number: int, found: Completion | Partial) -> None:
        seat, key = self._owners.pop(number)
        if isinstance(found, Partial):
            if len(found.token_ids):
                seat.partials[key] = found
            return
        seat.answers[key] = found
        if self._on_finish is not None:
            self._on_finish(len(found.token_ids))

    async def _interrupt(self) -> None:
        """Stops engine and episodes, and notes how far they got."""
        jobs = [job for table in self._open for job in table.jobs]
        for job in jobs:
            job.cancel()
        found = self._engine.interrupt()
        await asyncio.gather(*jobs, return_exceptions=True)
        for number, item in found.items():
            self._note(number, item)

    def _collected(self, policy_version: int) -> Collected:
        # Those that are due are the oldest, and come first.
        count = max(self._settings.num_groups, sum(map(self._is_due, self._ready)))
        batch, surplus = self._ready[:count], self._ready[count:]
        left = sorted(surplus + self._open, key=lambda table: table.opened.index)
        sampled = sorted(self._sampled, key=lambda table: table.opened.index)
        return Collected(
            groups=[table.result() for table in batch], ages=[table.opened.age for table in batch],
            sampled=[table.result() for table in sampled], cursor=self._cursor, num_kept=self._num_kept,
            backlog=Backlog(groups=tuple(table.to_record() for table in left), policy_version=policy_version),
        )  # fmt: skip
