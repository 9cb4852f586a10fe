"""The engine: rollouts and evaluations call it in process, the server drives it step by step.

Requests come and go at any step (continuous batching). A step plans a round (`scheduler.py`), launches it
(`runner.py`) and reads the results: on CUDA those of the round before, so that the host's work and the device's
overlap. A completion is a function of its request and the weights: batch, order, slots and preemptions do not matter.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fulmen.errors import ConfigError, DataError, FulmenError
from fulmen.model import Model
from fulmen.model.cache import BLOCK, block_bytes, is_aligned_by_default, slot_bytes
from fulmen.serve.adjust import needs_adjustment
from fulmen.serve.answer import AnswerMasker
from fulmen.serve.checks import check_sampling
from fulmen.serve.runner import Features, Pending, Runner
from fulmen.serve.scheduler import Piece, Round, Scheduler
from fulmen.serve.scheduler import Sequence as Scheduled
from fulmen.serve.stops import REASONS
from fulmen.serve.tracker import Entry, Ledger, Tracker
from fulmen.text.chat import encode_prompt
from fulmen.text.parse import thinking_markers
from fulmen.text.stream import TextStream
from fulmen.text.tokenizer import Tokenizer
from fulmen.types import Completion, Delta, Request, StopReason

MAX_LENGTH = 131_072
"""Longest sequence unless told otherwise; the block table grows with it."""
CPU_CACHE_BYTES = 1 << 30
LEDGER_ENTRIES = 512
"""Steps after which tokens go to the requests' own lists even if nobody looks."""
STOP_CODE = 1 + REASONS.index("stop")
CUDA_CACHE_FRAC = 0.5
"""Share of the free memory of a CUDA device that the cache takes unless told otherwise."""


@dataclass(frozen=True, kw_only=True)
class EngineStats:
    """What an engine holds and has done."""

    num_waiting: int
    num_running: int
    num_slots: int
    blocks_used: int
    blocks_total: int
    prompt_tokens: int
    """Prompt tokens of all finished requests."""
    completion_tokens: int
    cached_tokens: int
    """Prompt tokens that did not have to be computed."""
    preemptions: int
    snapshots: int
    snapshot_bytes: int


@dataclass(frozen=True, kw_only=True)
class _Launched:
    """A pass whose results are not read yet."""

    pending: Pending
    ledger: Ledger
    pieces: "list[tuple[Piece, list[Tracker]]]"
    """What the routes are of, and whose: the sequence's and its followers'; empty for a step."""
    version: int


class Engine:
    """Completes conversations with a model it shares with whoever trains it: weight updates need no copy.

    Implements `fulmen.types.Generate`. Set `policy_version` after each update; completions carry it.
    One thread at a time may use it; `Worker` drives one for a server.
    """

    def __init__(
        self,
        model: Model,
        tokenizer: Tokenizer,
        *,
        num_slots: int = 256,
        max_length: int | None = None,
        cache_bytes: int | None = None,
        prefill_tokens: int = 8192,
        records_routes: bool = True,
        has_prefix_cache: bool | None = None,
        is_invariant: bool = False,
        is_aligned: bool | None = None,
        has_graphs: bool | None = None,
        is_overlapped: bool | None = None,
        is_debug: bool = False,
    ) -> None:
        """Plans the memory; it is taken with the first request and given back by `release`.

        `num_slots` sequences run at once, each of at most `max_length` tokens (prompt and completion). `cache_bytes`
        holds keys, values and snapshots. `records_routes` keeps the experts of every token, for the learner to replay;
        it excludes the prefix cache, whose tokens are not computed. `is_invariant`: see docs/serving.md.
        `is_aligned`, `has_graphs`, `is_overlapped` None do what the device is good at; `is_debug` fills memory that
        nobody owns with NaN.

        Raises: ConfigError for settings out of range, or a tokenizer with more tokens than the model.
        """
        for name, value in (("num_slots", num_slots), ("prefill_tokens", prefill_tokens)):
            if value < 1:
                raise ConfigError(f"{name}={value}; allowed: at least 1")
        if tokenizer.vocab_size > model.config.vocab_size:
            raise ConfigError(
                f"the tokenizer has {tokenizer.vocab_size} tokens; allowed: at most the model's "
                f"vocab_size={model.config.vocab_size}"
            )
        records_routes = records_routes and model.config.num_routes > 0
        if has_prefix_cache and records_routes:
            raise ConfigError("has_prefix_cache=True with records_routes=True; allowed: one of the two")
        self.model, self.tokenizer, self.num_slots = model, tokenizer, num_slots
        self._records_routes, self._is_invariant = records_routes, is_invariant
        self._has_prefix_cache = not records_routes if has_prefix_cache is None else has_prefix_cache
        self._prefill_tokens = prefill_tokens
        weight = model.lm_head.weight
        is_cuda = weight.device.type == "cuda"
        self._is_overlapped = is_cuda if is_overlapped is None else is_overlapped
        self._is_debug = is_debug
        self._dtype: np.dtype[np.floating] = np.dtype("float64" if weight.dtype == torch.float64 else "float32")
        self._has_graphs = is_cuda and model.config.mla is None if has_graphs is None else has_graphs
        self._is_aligned = (
            is_aligned_by_default(model.config, weight.dtype, weight.device) if is_aligned is None else is_aligned
        )
        if is_cuda:
            model.join_weights()
        self._plan_memory(max_length, cache_bytes)
        self._thinking = thinking_markers(tokenizer)
        self._policy_version = 0
        self._next_id = 0
        self._trackers: dict[int, Tracker] = {}
        self._inflight: deque[_Launched] = deque()
        self._deadlines: dict[int, float] = {}
        self._maskers: dict[int, AnswerMasker] = {}
        self._broken: list[tuple[Tracker, str]] = []
        """Requests whose grammar failed in this round."""
        self._ledger: Ledger | None = None
        """Of those who take the steps now."""
        self._epoch = -1
        self._step_slots: list[int] = []
        self._step_features = Features()
        self._totals = [0, 0, 0]
        self._runner: Runner | None = None
        self._scheduler = self._make_scheduler()

    def _plan_memory(self, max_length: int | None, cache_bytes: int | None) -> None:
        config, weight = self.model.config, self.model.lm_head.weight
        if cache_bytes is None:
            is_cuda = weight.device.type == "cuda"
            cache_bytes = (
                int(torch.cuda.mem_get_info(weight.device)[0] * CUDA_CACHE_FRAC) if is_cuda else CPU_CACHE_BYTES
            )
        self._slot_bytes = slot_bytes(config, weight.dtype, is_aligned=self._is_aligned)
        size = block_bytes(config, weight.dtype)
        num_snapshots = 0
        if self._has_prefix_cache and self._slot_bytes:
            num_snapshots = min(cache_bytes // 8 // self._slot_bytes, 1024)
            cache_bytes -= num_snapshots * self._slot_bytes
        longest = MAX_LENGTH if max_length is None else max_length
        if longest < 2:
            raise ConfigError(f"max_length={max_length}; allowed: at least 2")
        most = self.num_slots * -(-longest // BLOCK)
        num_blocks = min(cache_bytes // size, most) if size else most
        if num_blocks < 1:
            raise ConfigError(f"cache_bytes={cache_bytes}; allowed: at least one block of {size} bytes")
        self.max_length = min(longest, num_blocks * BLOCK)
        self._num_blocks, self._num_snapshots = num_blocks, num_snapshots

    def _make_scheduler(self) -> Scheduler:
        return Scheduler(
            num_slots=self.num_slots, num_blocks=self._num_blocks, block=BLOCK, num_snapshots=self._num_snapshots,
            prefill_tokens=self._prefill_tokens, has_states=self.model.config.num_lightning_layers > 0,
            is_aligned=self._is_aligned, has_prefix_cache=self._has_prefix_cache,
        )  # fmt: skip

    @property
    def policy_version(self) -> int:
        """Number of weight updates so far, as the owner of the weights counts them."""
        return self._policy_version

    @policy_version.setter
    def policy_version(self, version: int) -> None:
        if version != self._policy_version:
            self.weights_changed(version)

    def weights_changed(self, version: int) -> None:
        """Says that the shared weights are new: what was cached of finished sequences is dropped.

        Running requests go on with the new weights over keys, values and states of the old ones; each token carries
        its version.
        """
        self._collect({})
        self._policy_version = version
        self._scheduler.forget(version)

    def load_weights(self, state: Mapping[str, Tensor], *, version: int) -> None:
        """Copies new weights into the model between two steps, all or none of them.

        Raises: ConfigError for names or shapes that are not the model's; nothing is changed then.
        """
        own = self.model.state_dict()
        wrong = sorted(own.keys() ^ state.keys()) or [n for n in own if own[n].shape != state[n].shape]
        if wrong:
            raise ConfigError(f"load_weights: {wrong[:3]} do not fit; allowed: the model's {len(own)} tensors")
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(state[name])
        self.weights_changed(version)

    @property
    def has_work(self) -> bool:
        """Whether a request is waiting or running."""
        return bool(self._trackers)

    def stats(self) -> EngineStats:
        """Returns what the engine holds and has done."""
        scheduler = self._scheduler
        prompt, completion, cached = self._totals
        return EngineStats(
            num_waiting=len(scheduler.waiting), num_running=len(scheduler.running), num_slots=self.num_slots,
            blocks_used=scheduler.blocks.num_owned, blocks_total=self._num_blocks, prompt_tokens=prompt,
            completion_tokens=completion, cached_tokens=cached, preemptions=scheduler.num_preemptions,
            snapshots=len(scheduler.snapshots), snapshot_bytes=len(scheduler.snapshots) * self._slot_bytes,
        )  # fmt: skip

    def memory_plan(self) -> str:
        """Returns in a line what memory the engine takes, and for what."""
        kv = self._num_blocks * block_bytes(self.model.config, self.model.lm_head.weight.dtype)
        states = (self.num_slots + 1) * self._slot_bytes
        weights = sum(p.numel() * p.element_size() for p in self.model.parameters())
        parts = (
            (weights, "weights"), (kv, f"keys and values of {self._num_blocks * BLOCK:,} tokens"),
            (states, f"states of {self.num_slots} sequences"),
            (self._num_snapshots * self._slot_bytes, f"{self._num_snapshots} snapshots"),
        )  # fmt: skip
        return ", ".join(f"{size / 2**30:.2f} GiB {what}" for size, what in parts if size) + (
            f"; at most {self.max_length:,} tokens a sequence"
        )

    def release(self) -> None:
        """Gives the cache's memory back; the next request takes it again.

        Raises: ConfigError while requests are there.
        """
        if self.has_work:
            raise ConfigError("release() with requests on their way; allowed: after the last one")
        self._collect({})
        self._runner, self._scheduler = None, self._make_scheduler()
        self._ledger = None
        self._scheduler.version = self._policy_version

    def __call__(
        self, requests: Sequence[Request], *, on_finish: Callable[[int], None] | None = None
    ) -> list[Completion]:
        """Returns one completion per request, in order.

        Raises: ConfigError for sampling settings out of range, DataError for prompts that do not fit; nothing has
        been sampled then.
        """
        prepared = [self._prepare(request) for request in requests]
        trackers = [
            self._enqueue(request, *parts, has_text=bool(request.sampling.stop))
            for request, parts in zip(requests, prepared, strict=True)
        ]
        missing = set(trackers)
        try:
            while missing:
                for tracker in self._advance():
                    if tracker in missing and tracker.completion is not None:
                        missing.remove(tracker)
                        if on_finish is not None:
                            on_finish(len(tracker.completion.token_ids))
        finally:
            for tracker in missing:
                self.cancel(tracker.sequence.request_id)
        return [tracker.completion for tracker in trackers if tracker.completion is not None]

    def submit(self, request: Request, *, has_text: bool = True) -> int:
        """Puts a request in the queue; returns the id that its deltas carry.

        Without `has_text` (and without stop strings) there are no deltas but the last: nothing is done per token.

        Raises: ConfigError for sampling settings out of range, DataError for a prompt that does not fit.
        """
        has_text = has_text or bool(request.sampling.stop)
        return self._enqueue(request, *self._prepare(request), has_text=has_text).sequence.request_id

    def cancel(self, request_id: int) -> None:
        """Drops a request, whatever state it is in; there are no more deltas of it. Unknown ids are ignored."""
        tracker = self._trackers.pop(request_id, None)
        self._maskers.pop(request_id, None)
        if tracker is not None:
            self._scheduler.finish(tracker.sequence)

    def step(self) -> list[Delta]:
        """Runs one round; returns what it added to each request, the completion with the last of its deltas."""
        return [tracker.delta() for tracker in self._advance()]

    def _prepare(self, request: Request) -> tuple[list[int], AnswerMasker | None]:
        """Returns the prompt's tokens and the grammar, once everything about a request has been checked."""
        check_sampling(request, vocab_size=self.tokenizer.vocab_size)
        if request.prompt_ids is not None and request.messages:
            raise DataError("a request has messages and prompt_ids; allowed: one of the two")
        if request.prompt_ids is None:
            prompt = encode_prompt(self.tokenizer, request.messages)
        else:
            prompt = [int(token) for token in request.prompt_ids]
            if not prompt or min(prompt) < 0 or max(prompt) >= self.tokenizer.vocab_size:
                raise DataError(
                    f"prompt_ids of {len(prompt)} tokens; allowed: at least one, each from 0 to "
                    f"{self.tokenizer.vocab_size - 1}"
                )
        if len(prompt) + request.sampling.max_tokens > self.max_length:
            raise DataError(
                f"a prompt of {len(prompt)} tokens with max_tokens={request.sampling.max_tokens}; allowed: at most "
                f"{self.max_length} together"
            )
        grammar = request.sampling.grammar
        if grammar is None:
            return prompt, None
        from fulmen.serve.grammar import make_masker

        return prompt, AnswerMasker(
            make_masker(self.tokenizer, grammar, self.model.config.vocab_size), self._thinking,
            end_id=self.tokenizer.end_id,
        )  # fmt: skip

    def _enqueue(self, request: Request, prompt: list[int], masker: AnswerMasker | None, *, has_text: bool) -> Tracker:
        sampling = request.sampling
        tracker = Tracker(
            request=request, has_grammar=masker is not None,
            sequence=Scheduled(
                request_id=self._next_id, token_ids=list(prompt), num_prompt=len(prompt), max_tokens=sampling.max_tokens
            ),
            stream=TextStream(self.tokenizer, stop=sampling.stop) if has_text else None,
        )  # fmt: skip
        self._next_id += 1
        self._trackers[tracker.sequence.request_id] = tracker
        if sampling.deadline_s is not None:
            self._deadlines[tracker.sequence.request_id] = time.monotonic() + sampling.deadline_s
        if masker is not None:
            self._maskers[tracker.sequence.request_id] = masker
        self._scheduler.add(tracker.sequence)
        return tracker

    def _advance(self) -> list[Tracker]:
        """Runs one round; returns the requests with news."""
        touched: dict[Tracker, None] = {}
        self._stop_late(touched)
        # A grammar's next mask follows from the token before.
        is_tight = self._scheduler.is_tight
        if is_tight or self._maskers:
            self._collect(touched)
        if is_tight:
            # Who has to go will come back with all its tokens.
            for tracker in self._trackers.values():
                tracker.settle()
        round_ = self._scheduler.plan()
        if round_.is_empty:
            self._collect(touched)
            return list(touched)
        self._launch(round_, touched)
        while self._broken:
            tracker, error = self._broken.pop()
            if not tracker.sequence.is_finished:
                self._finish(tracker, "error", error)
                touched[tracker] = None
        self._collect(touched, leave=1 if self._is_overlapped else 0)
        if not self._is_overlapped and not self._is_aligned and any(t.completion is not None for t in touched):
            # Plain states are used in place while the slots in use have no gaps.
            self._ready().move_slots(self._scheduler.compact())
        return list(touched)

    def _stop_late(self, touched: dict[Tracker, None]) -> None:
        """Ends requests whose time is up."""
        now = time.monotonic()
        for request_id in [i for i, until in self._deadlines.items() if now > until]:
            tracker = self._trackers.get(request_id)
            if tracker is None:
                del self._deadlines[request_id]
            else:
                self._finish(tracker, "deadline")
                touched[tracker] = None

    def _ready(self) -> Runner:
        if self._runner is None:
            self._runner = Runner(
                self.model, num_slots=self.num_slots, num_snapshots=self._num_snapshots, num_blocks=self._num_blocks,
                max_length=self.max_length, num_real=self.tokenizer.vocab_size, end_id=self.tokenizer.end_id,
                thinking=self._thinking, has_graphs=self._has_graphs, is_invariant=self._is_invariant,
                has_routes=self._records_routes, is_aligned=self._is_aligned, is_debug=self._is_debug,
            )  # fmt: skip
        return self._runner

    def _launch(self, round_: Round, touched: dict[Tracker, None]) -> None:
        runner = self._ready()
        for sequence, slot in round_.preempted:
            self._trackers[sequence.request_id].saved = runner.read_slot(slot)
        if round_.admitted:
            trackers = [self._trackers[sequence.request_id] for sequence in round_.admitted]
            rows = [tracker.saved or runner.slots.start(tracker.request) for tracker in trackers]
            runner.start_slots([sequence.slot for sequence in round_.admitted], rows)
            for tracker in trackers:
                sequence = tracker.sequence
                prompt, completion = (
                    sequence.token_ids[: sequence.num_prompt],
                    sequence.token_ids[sequence.num_prompt :],
                )
                runner.adjust(sequence.slot, tracker.request.sampling, prompt, completion)
        runner.write_table(round_.table)
        runner.clear_slots(round_.cleared)
        runner.copy_slots(round_.restored)
        self._send_masks(round_)
        if round_.steps:
            if self._ledger is None or self._epoch != self._scheduler.epoch:
                self._begin_ledger(round_)
            assert self._ledger is not None, "it has just been begun"
            self._ledger.longest += 1
            pending = runner.step(self._step_slots, self._step_features, longest=self._ledger.longest)
            self._note(pending, self._ledger, [])
        if round_.pieces:
            try:
                self._launch_pieces(round_)
            except torch.OutOfMemoryError as error:
                self._lighten(round_, error, touched)
                return
        runner.copy_slots(round_.snapshots)

    def _begin_ledger(self, round_: Round) -> None:
        """Notes who takes the steps from now on."""
        steps = sorted(round_.steps, key=lambda sequence: sequence.slot)
        self._ledger = Ledger(trackers=[self._trackers[sequence.request_id] for sequence in steps])
        self._ledger.longest = max(sequence.num_cached for sequence in steps) + round_.lag - 1
        self._step_slots, self._step_features = [sequence.slot for sequence in steps], self._features(steps)
        self._epoch = self._scheduler.epoch

    def _note(self, pending: Pending, ledger: Ledger, pieces: list[Piece]) -> None:
        ledger.num_unread += 1
        # Kept here: who is cancelled in the meantime may still have followers.
        owned = [
            (piece, [self._trackers[sequence.request_id] for sequence in (piece.sequence, *piece.followers)])
            for piece in pieces
        ]
        launched = _Launched(pending=pending, ledger=ledger, pieces=owned, version=self._policy_version)
        self._inflight.append(launched)

    def _send_masks(self, round_: Round) -> None:
        """Tells the device what the grammars of those that draw in this round allow."""
        if not self._maskers:
            return
        drawing = list(round_.steps)
        for piece in round_.pieces:
            drawing += [piece.sequence, *piece.followers] if piece.is_last else []
        masked = [s for s in drawing if s.request_id in self._maskers]
        words = []
        for sequence in masked:
            try:
                words.append(self._maskers[sequence.request_id].mask())
            except FulmenError as error:
                # What this round draws for it is dropped.
                words.append(np.full(1, -1, dtype=np.int32))
                self._broken.append((self._trackers[sequence.request_id], str(error)))
        self._ready().allow([s.slot for s in masked], words)

    def _launch_pieces(self, round_: Round) -> None:
        runner, pieces = self._ready(), round_.pieces
        encoded, ends = runner.prefill(
            [piece.sequence.token_ids[piece.start : piece.end] for piece in pieces],
            [piece.sequence.slot for piece in pieces], [piece.start for piece in pieces],
        )  # fmt: skip
        runner.copy_blocks(round_.forked_blocks)
        runner.copy_slots(round_.forked_slots)
        runner.fork(
            *(list(part) for part in zip(*round_.forked_slots, strict=True)) if round_.forked_slots else ([], [])
        )
        drawn, rows = [], []
        for piece, end in zip(pieces, ends, strict=True):
            if piece.is_last:
                members = [piece.sequence, *piece.followers]
                drawn += members
                rows += [end] * len(members)
        if drawn or self._records_routes:
            pending = runner.draw_first(encoded, rows, [s.slot for s in drawn], self._features(drawn))
            ledger = Ledger(trackers=[self._trackers[sequence.request_id] for sequence in drawn])
            self._note(pending, ledger, pieces)

    def _features(self, sequences: Sequence[Scheduled]) -> Features:
        samplings = [self._trackers[sequence.request_id].request.sampling for sequence in sequences]
        return Features(
            has_budget=any(s.thinking_budget is not None for s in samplings),
            has_adjustments=any(map(needs_adjustment, samplings)),
            # On CUDA these cost nothing, and fewer graphs are captured.
            has_cuts=self._is_overlapped or any(s.top_k or s.min_p or s.min_tokens for s in samplings),
            num_top=max((s.top_logprobs for s in samplings), default=0),
        )

    def _collect(self, touched: dict[Tracker, None], *, leave: int = 0) -> None:
        """Reads the results of all launched passes but the last `leave`."""
        while len(self._inflight) > leave:
            launched = self._inflight.popleft()
            pending, ledger = launched.pending, launched.ledger
            pending.wait()
            if launched.pieces:
                self._read_routes(launched)
            # Copies: what the device writes to is used again.
            integers, reals = pending.integers.numpy(), pending.reals.numpy().copy()
            codes = integers[:, 1]
            is_bad = np.isnan(reals[:, 1])
            ledger.entries.append(_entry(launched, integers, reals))
            ledger.num_unread -= 1
            rows = range(len(codes)) if ledger.has_watchers else (is_bad | (codes != 0)).nonzero()[0].tolist()
            for row in rows:
                tracker = ledger.trackers[row]
                # Drawn after the end was decided, before the host knew.
                if not tracker.sequence.is_finished:
                    touched[tracker] = None
                    self._look(tracker, int(codes[row]), bool(is_bad[row]))
            ledger.forget(LEDGER_ENTRIES)

    def _read_routes(self, launched: _Launched) -> None:
        """Hands the routes of pieces to their sequences; followers begin with those of their leader."""
        if launched.pending.routes is None:
            return
        routes, start = launched.pending.routes.numpy().copy(), 0
        for piece, (leader, *followers) in launched.pieces:
            leader.add_routes(routes[start : start + piece.end - piece.start], piece.start)
            start += piece.end - piece.start
            for follower in followers:
                follower.routes, follower.num_routes = list(leader.routes), leader.num_routes

    def _look(self, tracker: Tracker, code: int, is_bad: bool) -> None:
        """Looks at what was drawn for one request last, and ends it if that is the end."""
        start = len(tracker.sequence.token_ids)
        tracker.settle()
        new = tracker.sequence.token_ids[start:]
        masker = self._maskers.get(tracker.sequence.request_id)
        if is_bad:
            self._finish(tracker, "error", "the model's logits are not finite")
            return
        if masker is not None:
            for token in new:
                masker.advance(token)
        if tracker.stream is not None:
            tracker.text += tracker.stream.feed(new[:-1] if code == STOP_CODE else new)
            if tracker.stream.stopped:
                self._finish(tracker, "stop_string")
                return
        if code:
            self._finish(tracker, REASONS[code - 1])

    def _finish(self, tracker: Tracker, reason: StopReason, error: str = "") -> None:
        """Ends a request: its slot and blocks are free, its completion is there."""
        sequence = tracker.sequence
        tracker.settle()
        del self._trackers[sequence.request_id]
        self._deadlines.pop(sequence.request_id, None)
        self._maskers.pop(sequence.request_id, None)
        kept = self._scheduler.finish(sequence)
        if kept[0]:
            self._ready().copy_slots([kept])
        if tracker.stream is not None:
            tracker.text += tracker.stream.finish()
        tracker.completion = tracker.complete(
            self.tokenizer, reason, error, version=self._policy_version, dtype=self._dtype
        )
        self._totals[0] += sequence.num_prompt
        self._totals[1] += len(tracker.logprobs)
        self._totals[2] += sequence.num_reused

    def _lighten(self, round_: Round, error: Exception, touched: dict[Tracker, None]) -> None:
        """Has pieces that did not fit together computed one by one; one that does not fit alone ends its requests."""
        if self.model.lm_head.weight.is_cuda:
            torch.cuda.empty_cache()
        self._scheduler.retract(round_)
        if len(round_.pieces) > 1:
            return
        for sequence in (round_.pieces[0].sequence, *round_.pieces[0].followers):
            tracker = self._trackers[sequence.request_id]
            self._finish(tracker, "error", f"out of memory in the prefill ({error})")
            touched[tracker] = None


def _entry(launched: _Launched, integers: np.ndarray, reals: np.ndarray) -> Entry:
    """Returns the results of a pass, copied: the device uses their memory again."""
    pending = launched.pending
    return Entry(
        token_ids=integers[:, 0].copy(), is_forced=integers[:, 2] != 0, logprobs=reals[:, 0],
        model_logprobs=reals[:, 1], version=launched.version,
        routes=None if launched.pieces or pending.routes is None else pending.routes.numpy().copy(),
        top_ids=None if pending.top_ids is None else pending.top_ids.numpy().copy(),
        top_logprobs=None if pending.top_logprobs is None else pending.top_logprobs.numpy().copy(),
    )  # fmt: skip
