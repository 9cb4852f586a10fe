"""The engine: rollouts and evaluations call it in process, the server drives it step by step.

Requests come and go at any step (continuous batching). A step plans a round (`scheduler.py`), launches it
(`runner.py`) and reads the results: on CUDA those of the round before, so that the host's work and the device's
overlap. A completion is a function of its request and the weights: batch, order, slots and preemptions do not matter.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from fulmen.errors import ConfigError, DataError
from fulmen.model import Model
from fulmen.model.cache import BLOCK, block_bytes, is_aligned_by_default, slot_bytes
from fulmen.serve.adjust import needs_adjustment
from fulmen.serve.answer import AnswerMasker
from fulmen.serve.grammar import make_masker
from fulmen.serve.runner import Features, Pending, Runner
from fulmen.serve.scheduler import Piece, Round, Scheduler
from fulmen.serve.scheduler import Sequence as Scheduled
from fulmen.serve.slots import Thinking
from fulmen.serve.stops import REASONS
from fulmen.text.chat import decode_completion, encode_prompt
from fulmen.text.parse import message_of, thinking_markers
from fulmen.text.stream import TextStream
from fulmen.text.tokenizer import Tokenizer
from fulmen.types import Completion, Delta, Request, StopReason, TopLogprob

MAX_LENGTH = 131_072
"""Longest sequence unless told otherwise; the block table grows with it."""
CPU_CACHE_BYTES = 1 << 30
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
    drawn: list[Scheduled]
    """In the order of the results."""
    pieces: list[Piece]
    """What the routes are of; empty for a step."""
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
        self._dtype = np.dtype(np.float64 if weight.dtype == torch.float64 else np.float32)
        self._has_graphs = is_cuda and model.config.mla is None if has_graphs is None else has_graphs
        self._is_aligned = (
            is_aligned_by_default(model.config, weight.dtype, weight.device) if is_aligned is None else is_aligned
        )
        self._plan_memory(max_length, cache_bytes)
        self._thinking = _thinking(tokenizer)
        self._policy_version = 0
        self._next_id = 0
        self._trackers: dict[int, _Tracker] = {}
        self._inflight: deque[_Launched] = deque()
        self._deadlines: dict[int, float] = {}
        self._maskers: dict[int, AnswerMasker] = {}
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

    def release(self) -> None:
        """Gives the cache's memory back; the next request takes it again.

        Raises: ConfigError while requests are there.
        """
        if self.has_work:
            raise ConfigError("release() with requests on their way; allowed: after the last one")
        self._collect({})
        self._runner, self._scheduler = None, self._make_scheduler()
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

    def submit(self, request: Request) -> int:
        """Puts a request in the queue; returns the id that its deltas carry.

        Raises: ConfigError for sampling settings out of range, DataError for a prompt that does not fit.
        """
        return self._enqueue(request, *self._prepare(request), has_text=True).sequence.request_id

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
        return prompt, AnswerMasker(make_masker(self.tokenizer, grammar, self.model.config.vocab_size), self._thinking)

    def _enqueue(
        self, request: Request, prompt: list[int], masker: AnswerMasker | None, *, has_text: bool
    ) -> "_Tracker":
        sampling = request.sampling
        tracker = _Tracker(
            request=request, started_s=time.monotonic(),
            sequence=Scheduled(
                request_id=self._next_id, token_ids=list(prompt), num_prompt=len(prompt), max_tokens=sampling.max_tokens
            ),
            stream=TextStream(self.tokenizer, stop=sampling.stop) if has_text else None,
        )  # fmt: skip
        self._next_id += 1
        self._trackers[tracker.sequence.request_id] = tracker
        if sampling.deadline_s is not None:
            self._deadlines[tracker.sequence.request_id] = tracker.started_s + sampling.deadline_s
        if masker is not None:
            self._maskers[tracker.sequence.request_id] = masker
        self._scheduler.add(tracker.sequence)
        return tracker

    def _advance(self) -> "list[_Tracker]":
        """Runs one round; returns the requests with news."""
        touched: dict[_Tracker, None] = {}
        self._stop_late(touched)
        # A grammar's next mask follows from the token before.
        if self._scheduler.is_tight or not self._is_overlapped or self._maskers:
            self._collect(touched, leave=0)
        round_ = self._scheduler.plan()
        if round_.is_empty:
            self._collect(touched, leave=0)
            return list(touched)
        self._launch(round_, touched)
        self._collect(touched, leave=1 if self._is_overlapped else 0)
        if not self._is_overlapped and not self._is_aligned and any(t.completion is not None for t in touched):
            # Plain states are used in place while the slots in use have no gaps.
            self._ready().move_slots(self._scheduler.compact())
        return list(touched)

    def _stop_late(self, touched: "dict[_Tracker, None]") -> None:
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

    def _launch(self, round_: Round, touched: "dict[_Tracker, None]") -> None:
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
            steps = sorted(round_.steps, key=lambda sequence: sequence.slot)
            longest = max(sequence.num_cached for sequence in steps)
            pending = runner.step([s.slot for s in steps], self._features(steps), longest=longest)
            self._inflight.append(_Launched(pending=pending, drawn=steps, pieces=[], version=self._policy_version))
        if round_.pieces:
            try:
                self._launch_pieces(round_)
            except torch.OutOfMemoryError as error:
                self._lighten(round_, error, touched)
                return
        runner.copy_slots(round_.snapshots)

    def _send_masks(self, round_: Round) -> None:
        """Tells the device what the grammars of those that draw in this round allow."""
        if not self._maskers:
            return
        drawing = list(round_.steps)
        for piece in round_.pieces:
            drawing += [piece.sequence, *piece.followers] if piece.is_last else []
        masked = [s for s in drawing if s.request_id in self._maskers]
        self._ready().allow([s.slot for s in masked], [self._maskers[s.request_id].mask() for s in masked])

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
            self._inflight.append(_Launched(pending=pending, drawn=drawn, pieces=pieces, version=self._policy_version))

    def _features(self, sequences: Sequence[Scheduled]) -> Features:
        samplings = [self._trackers[sequence.request_id].request.sampling for sequence in sequences]
        return Features(
            has_budget=any(s.thinking_budget is not None for s in samplings),
            has_adjustments=any(map(needs_adjustment, samplings)),
            has_least=any(s.min_tokens for s in samplings),
            num_top=max((s.top_logprobs for s in samplings), default=0),
        )

    def _collect(self, touched: "dict[_Tracker, None]", *, leave: int = 0) -> None:
        """Reads the results of all launched passes but the last `leave`."""
        while len(self._inflight) > leave:
            launched = self._inflight.popleft()
            launched.pending.wait()
            self._read_routes(launched)
            self._read_tokens(launched, touched)

    def _read_routes(self, launched: _Launched) -> None:
        if launched.pending.routes is None:
            return
        routes, start = launched.pending.routes.numpy(), 0
        for piece in launched.pieces:
            part = routes[start : start + piece.end - piece.start]
            start += piece.end - piece.start
            tracker = self._trackers.get(piece.sequence.request_id)
            if tracker is not None:
                tracker.add_routes(part, piece.start)
                for follower in piece.followers:
                    own = self._trackers.get(follower.request_id)
                    if own is not None:
                        own.routes, own.num_routes = list(tracker.routes), tracker.num_routes
        if not launched.pieces:
            for row, sequence in enumerate(launched.drawn):
                tracker = self._trackers.get(sequence.request_id)
                if tracker is not None:
                    tracker.add_routes(routes[row : row + 1], tracker.num_routes)

    def _read_tokens(self, launched: _Launched, touched: "dict[_Tracker, None]") -> None:
        if not launched.drawn:
            return
        tokens, codes, forced = launched.pending.integers.T.tolist()
        logprobs, model_logprobs = launched.pending.reals.T.tolist()
        trackers = self._trackers
        for row, sequence in enumerate(launched.drawn):
            # Drawn after the end was decided, before the host knew.
            if sequence.is_finished:
                continue
            tracker = trackers[sequence.request_id]
            sequence.token_ids.append(tokens[row])
            tracker.logprobs.append(logprobs[row])
            tracker.model_logprobs.append(model_logprobs[row])
            tracker.versions.append(launched.version)
            if forced[row]:
                tracker.forced.append(len(tracker.logprobs) - 1)
            if launched.pending.top_ids is not None:
                tracker.add_top(launched.pending, row)
            touched[tracker] = None
            code = codes[row]
            if sequence.request_id in self._maskers:
                self._maskers[sequence.request_id].advance(tokens[row])
            if model_logprobs[row] != model_logprobs[row]:
                self._finish(tracker, "error", "the model's logits are not finite")
            elif tracker.stream is not None and code != STOP_CODE:
                tracker.text += tracker.stream.feed([tokens[row]])
                if tracker.stream.stopped:
                    self._finish(tracker, "stop_string")
                elif code:
                    self._finish(tracker, REASONS[code - 1])
            elif code:
                self._finish(tracker, REASONS[code - 1])

    def _finish(self, tracker: "_Tracker", reason: StopReason, error: str = "") -> None:
        """Ends a request: its slot and blocks are free, its completion is there."""
        sequence = tracker.sequence
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

    def _lighten(self, round_: Round, error: Exception, touched: "dict[_Tracker, None]") -> None:
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


@dataclass(eq=False, kw_only=True)
class _Tracker:
    """What the host knows of one request."""

    request: Request
    sequence: Scheduled
    started_s: float
    stream: TextStream | None
    saved: tuple[list[int], list[float]] | None = None
    """Settings and counters at preemption."""
    text: str = ""
    """Not handed out yet."""
    num_sent: int = 0
    logprobs: list[float] = field(default_factory=list)
    model_logprobs: list[float] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    forced: list[int] = field(default_factory=list)
    tops: list[tuple[TopLogprob, ...]] = field(default_factory=list)
    routes: list[np.ndarray] = field(default_factory=list)
    num_routes: int = 0
    completion: Completion | None = None

    def add_routes(self, routes: np.ndarray, start: int) -> None:
        """Keeps the experts of tokens from `start` on; those of tokens computed once more are known already."""
        new = routes[self.num_routes - start :]
        if len(new):
            self.routes.append(new)
            self.num_routes += len(new)

    def add_top(self, pending: Pending, row: int) -> None:
        """Keeps the most probable tokens of one position."""
        assert pending.top_ids is not None, "the caller looked"
        assert pending.top_logprobs is not None, "ids and log-probabilities come together"
        count = self.request.sampling.top_logprobs
        pairs = zip(pending.top_ids[row, :count].tolist(), pending.top_logprobs[row, :count].tolist(), strict=True)
        self.tops.append(tuple(TopLogprob(token_id=token, logprob=logprob) for token, logprob in pairs))

    def _expert_ids(self) -> np.ndarray | None:
        """Returns the experts of all tokens but the last, which was drawn and not computed."""
        if not self.routes:
            return None
        routes = np.concatenate(self.routes)
        length = len(self.sequence.token_ids) - 1
        return routes if len(routes) == length else routes[:length].copy()

    def delta(self) -> Delta:
        """Returns what has come since the last delta."""
        start = self.num_sent
        self.num_sent = len(self.logprobs)
        text, self.text = self.text, ""
        return Delta(
            request_id=self.sequence.request_id,
            token_ids=tuple(self.sequence.token_ids[self.sequence.num_prompt + start :]),
            logprobs=tuple(self.model_logprobs[start:]), top_logprobs=tuple(self.tops[start:]), text=text,
            completion=self.completion,
        )  # fmt: skip

    def complete(
        self, tokenizer: Tokenizer, reason: StopReason, error: str, *, version: int, dtype: "np.dtype[np.floating]"
    ) -> Completion:
        """Returns the completion; `dtype` is that of the logits."""
        sequence = self.sequence
        tokens = sequence.token_ids[sequence.num_prompt :]
        mask = None
        if self.forced:
            mask = np.ones(len(tokens), dtype=bool)
            mask[self.forced] = False
        text = self.stream.text if reason == "stop_string" and self.stream is not None else None
        message = decode_completion(tokenizer, tokens) if text is None else message_of(tokenizer, text)
        versions = np.array(self.versions, dtype=np.int64)
        first = self.versions[0] if self.versions else version
        return Completion(
            prompt_ids=np.array(sequence.token_ids[: sequence.num_prompt], dtype=np.int64),
            token_ids=np.array(tokens, dtype=np.int64),
            logprobs=np.array(self.logprobs, dtype=dtype), model_logprobs=np.array(self.model_logprobs, dtype=dtype),
            stop_reason=reason, message=message, policy_version=first, mask=mask,
            token_versions=versions if (versions != first).any() else None,
            expert_ids=self._expert_ids(),
            top_logprobs=tuple(self.tops), num_cached=sequence.num_reused, error=error,
        )  # fmt: skip


def check_sampling(request: Request, *, vocab_size: int) -> None:
    """Raises ConfigError for sampling settings out of range."""
    sampling = request.sampling
    for name, value, is_right, allowed in (
        ("temperature", sampling.temperature, sampling.temperature >= 0, "at least 0"),
        ("top_p", sampling.top_p, 0 < sampling.top_p <= 1, "above 0, at most 1"),
        ("top_k", sampling.top_k, sampling.top_k >= 0, "at least 0"),
        ("min_p", sampling.min_p, 0 <= sampling.min_p <= 1, "from 0 to 1"),
        ("presence_penalty", sampling.presence_penalty, abs(sampling.presence_penalty) <= 2, "from -2 to 2"),
        ("frequency_penalty", sampling.frequency_penalty, abs(sampling.frequency_penalty) <= 2, "from -2 to 2"),
        ("repetition_penalty", sampling.repetition_penalty, 0 < sampling.repetition_penalty <= 10, "above 0, up to 10"),
        ("max_tokens", sampling.max_tokens, sampling.max_tokens >= 1, "at least 1"),
        ("min_tokens", sampling.min_tokens, 0 <= sampling.min_tokens <= sampling.max_tokens, "from 0 to max_tokens"),
        ("stop", sampling.stop, all(sampling.stop), "texts that are not empty"),
        ("thinking_budget", sampling.thinking_budget, (sampling.thinking_budget or 0) >= 0, "at least 0, or None"),
        ("repetition_window", sampling.repetition_window, sampling.repetition_window >= 1, "at least 1"),
        ("top_logprobs", sampling.top_logprobs, 0 <= sampling.top_logprobs <= 20, "from 0 to 20"),
        ("deadline_s", sampling.deadline_s, (sampling.deadline_s or 0) >= 0, "at least 0, or None"),
        ("logit_bias", sampling.logit_bias, all(0 <= t < vocab_size and abs(b) <= 100 for t, b in sampling.logit_bias),
         f"tokens from 0 to {vocab_size - 1}, each from -100 to 100"),
        ("seed", request.seed, -(2**63) <= request.seed < 2**63, "64 bits"),
    ):  # fmt: skip
        if not is_right:
            raise ConfigError(f"{name}={value}; allowed: {allowed}")


def _thinking(tokenizer: Tokenizer) -> Thinking:
    markers = thinking_markers(tokenizer)
    return Thinking(opening=markers.opening, closing=markers.closing, forced=markers.forced, is_open=markers.is_open)
