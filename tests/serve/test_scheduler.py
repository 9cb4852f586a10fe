"""The scheduler against a pretended device that knows what every block and slot holds.

A cell holds the tokens up to its own, a slot the tokens its states have seen. Computing a token checks that everything
it reads is its own prefix: a block or slot given to two sequences, a stale prefix, a snapshot of another conversation
or a missed copy is seen at once.
"""

from collections import deque
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fulmen.serve.blocks import BlockPool, SlotPool, Snapshots, block_keys
from fulmen.serve.scheduler import Round, Scheduler, Sequence

BLOCK = 4
Tokens = tuple[int, ...]


class Device:
    """What runs rounds; `is_aligned` states can be copied at block ends at any moment, plain ones as they are."""

    def __init__(self, is_aligned: bool, has_states: bool) -> None:
        self.is_aligned, self.has_states = is_aligned, has_states
        self.cells: dict[tuple[int, int], Tokens] = {}
        self.table: dict[tuple[int, int], int] = {}
        self.seen: dict[int, Tokens] = {}

    def compute(self, slot: int, tokens: Tokens, start: int) -> None:
        """Computes `tokens[start:]`."""
        assert start < len(tokens), "nothing to compute"
        for place in range(start):
            assert self.cells[self.table[slot, place // BLOCK], place % BLOCK] == tokens[: place + 1]
        if self.has_states:
            assert self.seen[slot] == tokens[:start]
        self.seen[slot] = tokens
        for place in range(start, len(tokens)):
            self.cells[self.table[slot, place // BLOCK], place % BLOCK] = tokens[: place + 1]

    def keep(self, snapshot: int, slot: int) -> None:
        """Copies the states at the last block's end."""
        seen = self.seen[slot]
        assert self.is_aligned or len(seen) % BLOCK == 0
        self.seen[snapshot] = seen[: len(seen) // BLOCK * BLOCK]

    def run(self, round_: Round, known: dict[Sequence, Tokens]) -> list[Sequence]:
        """Runs a round; `known` are the tokens of each sequence, those not yet read included. Returns who draws."""
        self.table.update({(slot, column): block for slot, column, block in round_.table})
        for slot in round_.cleared:
            self.seen[slot] = ()
        for slot, snapshot in round_.restored:
            self.seen[slot] = self.seen[snapshot]
        for sequence in round_.steps:
            num_cached = sequence.num_cached + round_.lag
            assert num_cached == len(known[sequence])
            self.compute(sequence.slot, known[sequence], num_cached - 1)
        for piece in round_.pieces:
            assert piece.start < piece.end <= len(known[piece.sequence])
            self.compute(piece.sequence.slot, known[piece.sequence][: piece.end], piece.start)
        for destination, source in round_.forked_blocks:
            for offset in range(BLOCK):
                self.cells.pop((destination, offset), None)
                if (source, offset) in self.cells:
                    self.cells[destination, offset] = self.cells[source, offset]
        for destination, source in round_.forked_slots:
            self.seen[destination] = self.seen[source]
        for snapshot, slot in round_.snapshots:
            self.keep(snapshot, slot)
        drawn = list(round_.steps)
        for piece in round_.pieces:
            drawn += [piece.sequence, *piece.followers] if piece.is_last else []
        return drawn


class Machine(RuleBasedStateMachine):
    """Requests come, tokens are drawn, read late, completions end at any moment, weights change."""

    @initialize(
        num_blocks=st.integers(5, 14), num_slots=st.integers(1, 4), num_snapshots=st.integers(0, 3),
        prefill_tokens=st.integers(1, 12), is_aligned=st.booleans(), has_states=st.booleans(),
        has_prefix_cache=st.booleans(), is_overlapped=st.booleans(), stride=st.sampled_from([1, 5]),
    )  # fmt: skip
    def begin(self, is_overlapped: bool, num_blocks: int, stride: int, **options: Any) -> None:
        self.scheduler = Scheduler(num_blocks=num_blocks, block=BLOCK, snapshot_stride=stride, **options)
        self.is_overlapped = is_overlapped
        self.device = Device(options["is_aligned"], options["has_states"])
        self.known: dict[Sequence, Tokens] = {}
        self.inflight: deque[list[tuple[Sequence, int]]] = deque()
        self.alive: list[Sequence] = []
        self.num_requests = 0
        self.epoch, self.slots = -1, []

    @rule(start=st.integers(0, 1), length=st.integers(1, 11), max_tokens=st.integers(1, 9))
    def add(self, start: int, length: int, max_tokens: int) -> None:
        prompt = [start, *range(10, 10 + length - 1)]
        if not self.scheduler.fits(length + max_tokens):
            return
        sequence = Sequence(request_id=self.num_requests, token_ids=prompt, num_prompt=length, max_tokens=max_tokens)
        self.num_requests += 1
        self.scheduler.add(sequence)
        self.known[sequence] = tuple(prompt)
        self.alive.append(sequence)

    def read(self, leave: int, ends: bool = False) -> None:
        while len(self.inflight) > leave:
            for sequence, token in self.inflight.popleft():
                if not sequence.is_finished:
                    sequence.token_ids.append(token)
                    if ends or len(sequence.token_ids) - sequence.num_prompt == sequence.max_tokens:
                        self.finish(sequence)

    def finish(self, sequence: Sequence) -> None:
        self.alive.remove(sequence)
        kept = self.scheduler.finish(sequence)
        if kept is not None:
            self.device.keep(*kept)

    @rule(token=st.integers(0, 2), ends=st.sampled_from([False, False, False, True]))
    def go(self, token: int, ends: bool) -> None:
        if self.scheduler.is_tight or not self.is_overlapped:
            self.read(0)
        round_ = self.scheduler.plan()
        slots = [(sequence, sequence.slot) for sequence in round_.steps]
        if round_.steps and self.scheduler.epoch == self.epoch:
            assert slots == self.slots, "the same epoch, but other sequences or slots"
        if round_.steps:
            self.epoch, self.slots = self.scheduler.epoch, slots
        for sequence, slot in round_.preempted:
            assert slot > 0
            assert self.known[sequence] == tuple(sequence.token_ids), "who goes must have been read"
        drawn = self.device.run(round_, self.known)
        for sequence in drawn:
            self.known[sequence] += (token,)
        if drawn:
            self.inflight.append([(sequence, token) for sequence in drawn])
        self.read(int(self.is_overlapped and not round_.is_empty), ends)
        if not self.is_overlapped and not self.device.is_aligned:
            moves = self.scheduler.compact()
            assert not {a for a, _ in moves} & {b for _, b in moves}
            for destination, source in moves:
                self.device.seen[destination] = self.device.seen[source]
                own = {key: block for key, block in self.device.table.items() if key[0] == source}
                self.device.table.update({(destination, column): block for (_, column), block in own.items()})

    @rule(index=st.integers(0, 30))
    def cancel(self, index: int) -> None:
        if self.alive:
            self.finish(self.alive[index % len(self.alive)])

    @rule()
    def update_weights(self) -> None:
        """Cells and states of running sequences are kept: what was computed goes on."""
        self.read(0)
        self.scheduler.forget(self.scheduler.version + 1)

    @invariant()
    def accounts_are_right(self) -> None:
        if not hasattr(self, "scheduler"):
            return
        scheduler = self.scheduler
        owned = [block for sequence in scheduler.running for block in sequence.blocks]
        assert len(set(owned)) == scheduler.blocks.num_owned
        assert scheduler.blocks.num_owned + scheduler.blocks.num_free == scheduler.blocks.num_blocks
        slots = [sequence.slot for sequence in scheduler.running]
        assert len(set(slots)) == len(slots)
        assert len(slots) + scheduler.slots.num_free == scheduler.slots.num_slots
        assert 0 not in owned
        assert 0 not in slots

    def teardown(self) -> None:
        """Every request ends, and nothing is left behind."""
        if not hasattr(self, "scheduler"):
            return
        for _ in range(200 * (1 + len(self.alive))):
            if not self.alive:
                break
            self.go(1, False)
        assert not self.alive, "a request never ends"
        self.read(0)
        assert self.scheduler.blocks.num_owned == 0
        assert self.scheduler.slots.num_free == self.scheduler.slots.num_slots


TestMachine = Machine.TestCase
TestMachine.settings = settings(
    max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def scheduler(**options: Any) -> Scheduler:
    return Scheduler(
        **{"num_slots": 4, "num_blocks": 40, "block": BLOCK, "num_snapshots": 4, "snapshot_stride": 1, **options}
    )


def sequence(tokens: list[int], max_tokens: int = 4, request_id: int = 0) -> Sequence:
    return Sequence(request_id=request_id, token_ids=list(tokens), num_prompt=len(tokens), max_tokens=max_tokens)


def test_requests_with_one_prompt_share_its_prefill_and_full_blocks() -> None:
    engine = scheduler()
    members = [sequence([1] * 9, request_id=i) for i in range(4)]
    for member in members:
        engine.add(member)
    round_ = engine.plan()
    assert [(piece.start, piece.end, len(piece.followers)) for piece in round_.pieces] == [(0, 9, 3)]
    assert len({tuple(member.blocks[:2]) for member in members}) == 1
    assert len({member.blocks[2] for member in members}) == 4
    assert engine.blocks.num_owned == 2 + 4
    assert len(round_.forked_slots) == len(round_.forked_blocks) == 3


def test_a_prompt_of_whole_blocks_forks_without_a_copy() -> None:
    engine = scheduler()
    for i in range(2):
        engine.add(sequence([1] * 8, request_id=i))
    round_ = engine.plan()
    assert round_.forked_blocks == []
    assert len(round_.forked_slots) == 1


@pytest.mark.parametrize("num_snapshots", [0, 4])
def test_a_model_with_states_reuses_a_prefix_only_from_a_snapshot(num_snapshots: int) -> None:
    engine = scheduler(num_snapshots=num_snapshots)
    engine.add(sequence(list(range(10)), max_tokens=1))
    (first,) = engine.plan().pieces
    first.sequence.token_ids.append(99)
    engine.finish(first.sequence)
    engine.add(sequence([*range(9), 50, 51]))
    (piece,) = engine.plan().pieces
    assert piece.start == (8 if num_snapshots else 0)


def test_a_softmax_model_reuses_every_full_block_but_computes_the_last_token() -> None:
    engine = scheduler(has_states=False, num_snapshots=0)
    engine.add(sequence(list(range(8)), max_tokens=1))
    (first,) = engine.plan().pieces
    first.sequence.token_ids.append(99)
    engine.finish(first.sequence)
    engine.add(sequence(list(range(8))))
    (piece,) = engine.plan().pieces
    assert (piece.start, piece.end) == (4, 8)
    assert piece.sequence.num_reused == 4


def test_new_weights_forget_every_prefix() -> None:
    engine = scheduler(has_states=False)
    engine.add(sequence(list(range(8)), max_tokens=1))
    (first,) = engine.plan().pieces
    first.sequence.token_ids.append(99)
    engine.finish(first.sequence)
    engine.forget(1)
    engine.add(sequence(list(range(8))))
    assert engine.plan().pieces[0].start == 0


def test_prefill_is_cut_by_the_budget_and_goes_on_beside_steps() -> None:
    engine = scheduler(prefill_tokens=5, num_snapshots=0)
    engine.add(sequence([1, 2], request_id=0))
    engine.add(sequence(list(range(12)), request_id=1))
    bounds = []
    for _ in range(4):
        round_ = engine.plan()
        bounds.append(([(p.sequence.request_id, p.start, p.end) for p in round_.pieces], len(round_.steps)))
        for drawn in [*round_.steps, *(p.sequence for p in round_.pieces if p.is_last)]:
            drawn.token_ids.append(7)
    assert bounds == [([(0, 0, 2), (1, 0, 3)], 0), ([(1, 3, 8)], 1), ([(1, 8, 12)], 1), ([], 2)]


def test_the_newest_sequence_makes_room_and_comes_back_whole() -> None:
    engine = scheduler(num_blocks=4, num_snapshots=0, has_prefix_cache=False)
    first, second = sequence([1] * 7, max_tokens=6, request_id=0), sequence([2] * 4, max_tokens=3, request_id=1)
    engine.add(first)
    engine.plan()
    first.token_ids.append(5)
    engine.add(second)
    preempted = []
    for _ in range(12):
        round_ = engine.plan()
        preempted += [gone.request_id for gone, _ in round_.preempted]
        for drawn in [*round_.steps, *(p.sequence for p in round_.pieces if p.is_last)]:
            drawn.token_ids.append(5)
            if len(drawn.token_ids) - drawn.num_prompt == drawn.max_tokens:
                engine.finish(drawn)
    assert first.is_finished
    assert second.is_finished
    assert preempted == [1]
    assert second.token_ids == [2] * 4 + [5] * 3


def test_block_keys_depend_on_every_token_before_and_on_the_salt() -> None:
    keys = block_keys(list(range(12)), block=BLOCK)
    assert len(keys) == 3
    other = block_keys([0, 1, 2, 9, *range(4, 12)], block=BLOCK)
    assert not set(keys) & set(other)
    assert keys[:2] == block_keys(list(range(11)), block=BLOCK)
    assert not set(keys) & set(block_keys(list(range(12)), block=BLOCK, salt=b"1"))


def test_the_least_recently_used_block_is_forgotten_first() -> None:
    pool = BlockPool(2)
    first, second = pool.allocate(2)
    pool.register(first, b"a")
    pool.register(second, b"b")
    assert pool.release([first]) == pool.release([second]) == []
    assert pool.allocate(1) == [first]
    assert pool.find([b"a"]) == []
    assert pool.find([b"b"]) == [second]


def test_the_least_recently_used_snapshot_goes_first() -> None:
    snapshots = Snapshots(5, 2)
    assert snapshots.add(b"a") != snapshots.add(b"b")
    kept = snapshots.use(b"a")
    assert snapshots.add(b"c") != kept
    assert b"b" not in snapshots
    assert snapshots.add(b"a") == 0, "it is there already"


def test_a_slot_cannot_be_given_back_twice() -> None:
    slots = SlotPool(2)
    slot = slots.allocate()
    slots.release(slot)
    with pytest.raises(AssertionError, match="slot 1 is free already"):
        slots.release(slot)


@pytest.mark.parametrize("length", [1, 5, 8])
def test_who_has_just_been_prefilled_takes_the_very_next_step(length: int) -> None:
    """Rounds that only repeat the last one's steps must not be planned past a newcomer."""
    engine = scheduler(block=64)
    first, second = sequence([1] * 3, max_tokens=40), sequence([2] * length, max_tokens=40, request_id=1)
    engine.add(first)
    for _ in range(3):
        engine.plan()
    engine.add(second)
    prefill = engine.plan()
    assert [piece.sequence for piece in prefill.pieces] == [second]
    assert engine.plan().steps == [first, second]
