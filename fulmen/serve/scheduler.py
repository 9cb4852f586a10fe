"""What the engine does next: which sequences get a slot, which tokens are computed, who makes room. No tensors here.

A round is planned from what the host knows and is then launched; tokens of earlier rounds may still be on their way, so
a sequence counts the tokens that were launched, not those that were read. Requests with the same prompt share its
prefill: the first is the leader, the others fork from it once it is done.
"""

from collections import deque
from dataclasses import dataclass, field
from functools import cached_property

from fulmen.serve.blocks import BlockPool, Key, SlotPool, Snapshots, block_keys


@dataclass(eq=False, kw_only=True)
class Sequence:
    """One request on its way."""

    request_id: int
    token_ids: list[int]
    """Prompt and the completion tokens that were read."""
    num_prompt: int
    max_tokens: int
    slot: int = 0
    blocks: list[int] = field(default_factory=list)
    num_cached: int = 0
    """Tokens in the cache once everything launched has run."""
    num_drawn: int = 0
    """Completion tokens drawn once everything launched has run."""
    target: int = 0
    """Tokens to prefill: all that were known when the slot was given."""
    num_reused: int = 0
    """Prompt tokens that did not have to be computed."""
    keys: list[Key] = field(default_factory=list)
    """Of the full blocks of `token_ids`, as far as they were needed."""
    version: int = 0
    """Of the weights when it got its slot."""
    is_finished: bool = False

    @cached_property
    def prompt_key(self) -> Key:
        """Hash of the prompt."""
        return block_keys(self.token_ids[: self.num_prompt], block=self.num_prompt)[0]

    @property
    def is_prefilling(self) -> bool:
        """Whether it has a slot and tokens of its prompt are still missing."""
        return self.slot > 0 and self.num_cached < self.target


@dataclass(kw_only=True)
class Piece:
    """Tokens `start` to `end - 1` of a sequence, computed in one pass with other pieces."""

    sequence: Sequence
    start: int
    end: int
    followers: list[Sequence] = field(default_factory=list)
    """Sequences that fork from this one after the piece."""

    @property
    def is_last(self) -> bool:
        """Whether the next token can be drawn after it."""
        return self.end == self.sequence.target


@dataclass(kw_only=True)
class Round:
    """One round, in the order in which its parts have to run."""

    preempted: list[tuple[Sequence, int]] = field(default_factory=list)
    """Sequences that lost their slot, and which one: its counters must be read before it is given away."""
    admitted: list[Sequence] = field(default_factory=list)
    """Sequences with a new slot."""
    cleared: list[int] = field(default_factory=list)
    """Slots that start with nothing seen."""
    restored: list[tuple[int, int]] = field(default_factory=list)
    """(slot, snapshot) pairs: states to be copied before anything is computed."""
    table: list[tuple[int, int, int]] = field(default_factory=list)
    """(slot, column, block): new entries of the block table."""
    steps: list[Sequence] = field(default_factory=list)
    """Sequences that get one more token."""
    lag: int = 0
    """Tokens that the sequences' own counts are behind in this round."""
    pieces: list[Piece] = field(default_factory=list)
    forked_slots: list[tuple[int, int]] = field(default_factory=list)
    """(follower's slot, leader's): states to be copied after the pieces."""
    forked_blocks: list[tuple[int, int]] = field(default_factory=list)
    snapshots: list[tuple[int, int]] = field(default_factory=list)
    """(snapshot, slot): states to be kept, after the pieces."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to compute."""
        return not self.steps and not self.pieces


class Scheduler:
    """Plans rounds over one pool of blocks and slots.

    `has_states`: the model has lightning layers. `is_aligned`: their states stand at block ends at any moment.
    """

    def __init__(
        self,
        *,
        num_slots: int,
        num_blocks: int,
        block: int,
        num_snapshots: int = 0,
        prefill_tokens: int = 8192,
        has_states: bool = True,
        is_aligned: bool = True,
        has_prefix_cache: bool = True,
        snapshot_stride: int = 256,
    ) -> None:
        self.block, self.prefill_tokens = block, prefill_tokens
        self.has_states, self.is_aligned = has_states, is_aligned
        self.has_prefix_cache, self.snapshot_stride = has_prefix_cache, snapshot_stride
        self.blocks, self.slots = BlockPool(num_blocks), SlotPool(num_slots)
        self.snapshots = Snapshots(num_slots + 1, num_snapshots)
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []
        """With a slot, oldest first."""
        self.num_preemptions = 0
        self.num_drawn = 0
        """Tokens that all rounds so far draw."""
        self.is_careful = False
        """Whether one piece at a time is computed: several together did not fit."""
        self.epoch = 0
        """Moves on whenever other sequences, or other slots, take the next step than took the last."""
        self._steps: list[Sequence] = []
        self._calm = 0
        """Rounds to come that are nothing but one more step of the same sequences."""
        self._is_changed = False
        """Whether the next round steps other sequences: some took their last step, or finished their prefill."""
        self._lag = 0
        """Such rounds since the sequences' own counts were brought up to date."""
        self.version = 0
        """Of the weights; keys of other versions are never found."""

    def add(self, sequence: Sequence) -> None:
        """Puts a sequence at the end of the queue. It must fit when it is alone: `fits`."""
        assert self.fits(sequence.num_prompt + sequence.max_tokens), "checked on submission"
        self.waiting.append(sequence)

    def fits(self, length: int) -> bool:
        """Returns whether a sequence of so many tokens could run alone; the last token is never cached."""
        return self._num_blocks(length - 1) <= self.blocks.num_blocks

    def _num_blocks(self, length: int) -> int:
        return -(-length // self.block)

    @property
    def is_tight(self) -> bool:
        """Whether the next round may have to preempt; drawn tokens must have been read before it is planned."""
        if self._calm or self.blocks.num_free >= len(self.running):
            return False
        return self.blocks.num_free < sum(self._needs_block(sequence) for sequence in self.running)

    def _needs_block(self, sequence: Sequence) -> bool:
        return self._can_step(sequence) and sequence.num_cached == len(sequence.blocks) * self.block

    def _can_step(self, sequence: Sequence) -> bool:
        return not sequence.is_prefilling and sequence.num_drawn < sequence.max_tokens

    def plan(self) -> Round:
        """Returns the next round; sequences, blocks and slots are then as they will be once it has run."""
        if self._calm and not (self.waiting and self.slots.num_free):
            self._calm -= 1
            self._lag += 1
            self.num_drawn += len(self._steps)
            return Round(steps=self._steps, lag=self._lag)
        self.settle()
        round_ = Round()
        self._plan_steps(round_)
        self._plan_pieces(round_)
        for piece in round_.pieces:
            self._register(piece, round_)
        self.num_drawn += len(round_.steps) + sum(1 + len(p.followers) for p in round_.pieces if p.is_last)
        if round_.steps and not self._is_changed and not any(sequence.is_prefilling for sequence in self.running):
            self._steps = round_.steps
            self._calm = min(
                min(len(s.blocks) * self.block - s.num_cached, s.max_tokens - s.num_drawn) for s in round_.steps
            )
        return round_

    def settle(self) -> None:
        """Brings the sequences' counts up to date with the rounds that were planned."""
        for sequence in self._steps if self._lag else ():
            sequence.num_cached += self._lag
            sequence.num_drawn += self._lag
            self._is_changed |= sequence.num_drawn == sequence.max_tokens
        self._steps, self._calm, self._lag = [], 0, 0

    def _plan_steps(self, round_: Round) -> None:
        index = 0
        self.epoch += self._is_changed
        self._is_changed = False
        while index < len(self.running):
            sequence = self.running[index]
            while self._needs_block(sequence) and not self.blocks.num_free:
                # The newest goes: it has the least to lose. It may be this one.
                self._preempt(self.running[-1], round_)
                if not sequence.slot:
                    break
            if not sequence.slot or not self._can_step(sequence):
                index += bool(sequence.slot)
                continue
            if self._needs_block(sequence):
                self._append_blocks(sequence, 1, round_)
            sequence.num_cached += 1
            sequence.num_drawn += 1
            self._is_changed |= sequence.num_drawn == sequence.max_tokens
            round_.steps.append(sequence)
            index += 1

    def _append_blocks(self, sequence: Sequence, count: int, round_: Round) -> None:
        for block in self.blocks.allocate(count):
            round_.table.append((sequence.slot, len(sequence.blocks), block))
            sequence.blocks.append(block)

    def _preempt(self, sequence: Sequence, round_: Round) -> None:
        """Takes slot and blocks away; what the sequence has drawn is computed again later."""
        round_.preempted.append((sequence, sequence.slot))
        self._take_back(sequence)
        sequence.num_cached = 0
        self.waiting.appendleft(sequence)
        self.num_preemptions += 1

    def _take_back(self, sequence: Sequence) -> None:
        self.epoch += 1
        self.blocks.release(sequence.blocks)
        self.slots.release(sequence.slot)
        self.running.remove(sequence)
        sequence.blocks, sequence.slot = [], 0

    def _plan_pieces(self, round_: Round) -> None:
        budget = self.prefill_tokens
        leaders: dict[Key, Piece | None] = {}
        """By prompt; None while the leader's prefill goes on beyond this round."""
        for sequence in [s for s in self.running if s.is_prefilling]:
            budget -= self._plan_piece(sequence, budget, leaders, round_)
        if round_.preempted or not self._is_worth_admitting():
            # Who was just sent away would come straight back.
            return
        self.is_careful = self.is_careful and bool(self.waiting)
        while self.waiting and self.slots.num_free:
            sequence = self.waiting[0]
            if sequence.num_drawn == 0 and sequence.prompt_key in leaders:
                leader = leaders[sequence.prompt_key]
                if leader is None or not self._fork(sequence, leader, round_):
                    break
                continue
            is_full = budget <= 0 or (self.is_careful and round_.pieces)
            if is_full or not self._admit(sequence, round_):
                break
            budget -= self._plan_piece(sequence, budget, leaders, round_)

    def _is_worth_admitting(self) -> bool:
        """Returns whether so many slots are free, or so few requests wait, that a prefill pays now."""
        worth = min(len(self.waiting), max(self.slots.num_slots // 8, 1))
        return self.slots.num_free >= worth or not self.running

    def _has_room(self, count: int) -> bool:
        """Returns whether so many blocks can be had, and one more for every sequence that runs already."""
        return self.blocks.num_free >= count + len(self.running)

    def _admit(self, sequence: Sequence, round_: Round) -> bool:
        """Gives the first waiting sequence a slot and blocks for all its tokens, if there is room."""
        length = len(sequence.token_ids)
        hit: list[int] = []
        if self.has_prefix_cache:
            sequence.keys = block_keys(sequence.token_ids, block=self.block, salt=self.version.to_bytes(8, "little"))
            hit = self._find(sequence)
        self.blocks.retain(hit)
        if not self._has_room(self._num_blocks(length) - len(hit)):
            self.blocks.release(hit)
            return False
        self.waiting.popleft()
        sequence.slot, sequence.blocks, sequence.target = self.slots.allocate(), list(hit), length
        sequence.version = self.version
        sequence.num_cached = len(hit) * self.block
        sequence.num_reused = max(sequence.num_reused, min(sequence.num_cached, sequence.num_prompt))
        self.running.append(sequence)
        round_.admitted.append(sequence)
        round_.table += [(sequence.slot, column, block) for column, block in enumerate(hit)]
        self._append_blocks(sequence, self._num_blocks(length) - len(hit), round_)
        if hit and self.has_states:
            round_.restored.append((sequence.slot, self.snapshots.use(sequence.keys[len(hit) - 1])))
        else:
            round_.cleared.append(sequence.slot)
        return True

    def _find(self, sequence: Sequence) -> list[int]:
        """Returns the blocks that need not be computed: at least one token must be, for the next one to be drawn."""
        keys = sequence.keys[: (len(sequence.token_ids) - 1) // self.block]
        blocks = self.blocks.find(keys)
        depth = len(blocks)
        while self.has_states and depth and keys[depth - 1] not in self.snapshots:
            depth -= 1
        return blocks[:depth]

    def _plan_piece(self, sequence: Sequence, budget: int, leaders: dict[Key, Piece | None], round_: Round) -> int:
        """Plans the next piece of a sequence that is prefilling; returns its tokens."""
        if sequence.num_drawn == 0:
            leaders[sequence.prompt_key] = None
        if budget <= 0:
            return 0
        start = sequence.num_cached
        end = min(sequence.target, start + budget)
        whole = end // self.block * self.block
        if self._has_snapshots and not self.is_aligned and whole - start >= self.snapshot_stride:
            # A plain state is at a block's end only right after that block.
            end = whole
        piece = Piece(sequence=sequence, start=start, end=end)
        round_.pieces.append(piece)
        sequence.num_cached = end
        if piece.is_last:
            self._is_changed = True
            sequence.num_drawn += 1
            if sequence.num_drawn == 1:
                leaders[sequence.prompt_key] = piece
        return end - start

    @property
    def _has_snapshots(self) -> bool:
        return self.has_prefix_cache and self.has_states and self.snapshots.count > 0

    def _register(self, piece: Piece, round_: Round) -> None:
        """Makes what a piece computes findable from the next round on."""
        if not self.has_prefix_cache:
            return
        sequence, num_blocks = piece.sequence, piece.end // self.block
        for index in range(piece.start // self.block, num_blocks):
            self.blocks.register(sequence.blocks[index], sequence.keys[index])
        is_at_end = self.is_aligned or piece.end == num_blocks * self.block
        if self._has_snapshots and is_at_end and num_blocks * self.block - piece.start >= self.snapshot_stride:
            slot = self.snapshots.add(sequence.keys[num_blocks - 1])
            if slot:
                # The newest of two that want the last place has it.
                round_.snapshots = [pair for pair in round_.snapshots if pair[0] != slot] + [(slot, sequence.slot)]

    def _fork(self, sequence: Sequence, leader: Piece, round_: Round) -> bool:
        """Gives the first waiting sequence the leader's prefill; full blocks are shared, the last one is copied."""
        source = leader.sequence
        num_shared = source.target // self.block
        num_own = len(source.blocks) - num_shared
        if not self._has_room(num_own):
            return False
        self.waiting.popleft()
        sequence.slot, sequence.target, sequence.num_cached = self.slots.allocate(), source.target, source.target
        sequence.num_reused = source.target
        sequence.keys, sequence.version = list(source.keys), source.version
        shared = source.blocks[:num_shared]
        self.blocks.retain(shared)
        sequence.blocks = list(shared)
        round_.table += [(sequence.slot, column, block) for column, block in enumerate(shared)]
        self._append_blocks(sequence, num_own, round_)
        round_.forked_blocks += zip(sequence.blocks[num_shared:], source.blocks[num_shared:], strict=True)
        round_.forked_slots.append((sequence.slot, source.slot))
        sequence.num_drawn = 1
        self.running.append(sequence)
        round_.admitted.append(sequence)
        leader.followers.append(sequence)
        return True

    def finish(self, sequence: Sequence) -> tuple[int, int] | None:
        """Takes a sequence out, wherever it is. Returns (snapshot, slot) if its states have to be copied now."""
        self.settle()
        sequence.is_finished = True
        if not sequence.slot:
            self.waiting.remove(sequence)
            return None
        kept = self._keep(sequence)
        self._take_back(sequence)
        return kept

    def _keep(self, sequence: Sequence) -> tuple[int, int] | None:
        """Makes what a finished sequence has computed findable for the next turn of its conversation."""
        if not self.has_prefix_cache or sequence.is_prefilling or sequence.version != self.version:
            return None
        # The last token was drawn, not computed.
        num_blocks = (len(sequence.token_ids) - 1) // self.block
        sequence.keys = block_keys(sequence.token_ids, block=self.block, salt=self.version.to_bytes(8, "little"))
        for block, key in zip(sequence.blocks[:num_blocks], sequence.keys, strict=False):
            self.blocks.register(block, key)
        # A step that was launched before the end was known may have moved the states on.
        is_there = self.is_aligned and sequence.num_cached // self.block == num_blocks
        if not (self.has_states and is_there and num_blocks):
            return None
        snapshot = self.snapshots.add(sequence.keys[num_blocks - 1])
        return (snapshot, sequence.slot) if snapshot else None

    def retract(self, round_: Round) -> None:
        """Sends everybody whose piece could not be computed back to the front of the queue.

        Prefixes and snapshots that the round was to make are forgotten, with all others.
        """
        members = [member for piece in round_.pieces for member in (piece.sequence, *piece.followers)]
        drawing = [s for piece in round_.pieces if piece.is_last for s in (piece.sequence, *piece.followers)]
        for sequence in drawing:
            sequence.num_drawn -= 1
        for sequence in reversed(members):
            self._take_back(sequence)
            sequence.num_cached = 0
            self.waiting.appendleft(sequence)
        self.forget(self.version)
        self.is_careful = True

    def compact(self) -> list[tuple[int, int]]:
        """Moves sequences into the lowest slots; returns (destination, source) pairs, to be copied in this order."""
        moves: list[tuple[int, int]] = []
        if not self.slots.num_free or self.slots.lowest_free > len(self.running):
            return moves
        self.settle()
        for sequence in sorted(self.running, key=lambda s: -s.slot):
            if self.slots.lowest_free > sequence.slot:
                break
            destination = self.slots.allocate()
            moves.append((destination, sequence.slot))
            self.slots.release(sequence.slot)
            sequence.slot = destination
            self.epoch += 1
        return moves

    def forget(self, version: int) -> None:
        """Drops prefix cache and snapshots: the weights are new. Running sequences go on."""
        self.version = version
        self.blocks.forget()
        self.snapshots.forget()
