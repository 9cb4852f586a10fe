"""The engine: rollouts and evaluations call it in process, the server drives it step by step.

Requests come and go at any step (continuous batching). A step plans a round (`scheduler.py`), launches it
(`runner.py`) and reads the results: on CUDA those of the round before, so that the host's work and the device's
overlap. A completion is a function of its request and the weights: batch, order, slots and preemptions do not matter.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from fulmen.errors import ConfigError, FulmenError
from fulmen.model import Model
from fulmen.model.cache import BLOCK
from fulmen.serve.answer import AnswerMasker
from fulmen.serve.checks import check_prompt, check_sampling, check_weights
from fulmen.serve.memory import plan_memory
from fulmen.serve.partial import check_partial, go_on, to_partial
from fulmen.serve.runner import Features, Pending, Runner
from fulmen.serve.scheduler import Piece, Round, Scheduler
from fulmen.serve.scheduler import Sequence as Scheduled
from fulmen.serve.stats import EngineStats
from fulmen.serve.stops import REASONS
from fulmen.serve.tracker import Launched, Ledger, Tracker, decode_ended, read_entry, read_routes
from fulmen.text.parse import thinking_markers
from fulmen.text.stream import TextStream
from fulmen.text.tokenizer import Tokenizer
from fulmen.types import Completion, Delta, Partial, Request, StopReason

LEDGER_ENTRIES = 512
"""Steps after which tokens go to the requests' own lists even if nobody looks."""
STOP_CODE = 1 + REASONS.index("stop")


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
        self._num_routes = model.config.num_routes if records_routes else 0
        if has_prefix_cache and self._num_routes:
            raise ConfigError("has_prefix_cache=True with records_routes=True; allowed: one of the two")
        self.model, self.tokenizer, self.num_slots = model, tokenizer, num_slots
        self._prefill_tokens, self._is_invariant = prefill_tokens, is_invariant
        self._has_prefix_cache = not self._num_routes if has_prefix_cache is None else has_prefix_cache
        weight = model.lm_head.weight
        is_cuda = weight.device.type == "cuda"
        self._is_overlapped = is_cuda if is_overlapped is None else is_overlapped
        self._is_debug = is_debug
        self._dtype: np.dtype[np.floating] = np.dtype("float64" if weight.dtype == torch.float64 else "float32")
        self._has_graphs = is_cuda and model.config.mla is None if has_graphs is None else has_graphs
        if is_cuda:
            model.join_weights()
        self.memory = plan_memory(
            model, num_slots=num_slots, max_length=max_length, cache_bytes=cache_bytes,
            has_prefix_cache=self._has_prefix_cache, is_aligned=is_aligned,
        )  # fmt: skip
        self._thinking = thinking_markers(tokenizer)
        self._policy_version = 0
        self._next_id = 0
        self._trackers: dict[int, Tracker] = {}
        self._inflight: deque[Launched] = deque()
        self._news: dict[Tracker, None] = {}
        """Requests that something was read of since their last delta."""
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

    def _make_scheduler(self) -> Scheduler:
        return Scheduler(
            num_slots=self.num_slots, num_blocks=self.memory.num_blocks, block=BLOCK,
            num_snapshots=self.memory.num_snapshots, prefill_tokens=self._prefill_tokens,
            has_states=self.model.config.num_lightning_layers > 0, is_aligned=self.memory.is_aligned,
            has_prefix_cache=self._has_prefix_cache,
        )  # fmt: skip

    @property
    def max_length(self) -> int:
        """Most tokens of one request, prompt and completion."""
        return self.memory.max_length

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
        self._collect()
        self._policy_version = version
        self._scheduler.forget(version)

    def load_weights(self, state: Mapping[str, Tensor], *, version: int) -> None:
        """Copies new weights into the model between two steps, all or none of them.

        Raises: ConfigError for names or shapes that are not the model's; nothing is changed then.
        """
        own = self.model.state_dict()
        check_weights(own, state)
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(state[name])
        self.weights_changed(version)

    @property
    def has_work(self) -> bool:
        """Whether a request is waiting or running, or has news that nobody was told."""
        return bool(self._trackers or self._news)

    def stats(self) -> EngineStats:
        """Returns what the engine holds and has done."""
        scheduler = self._scheduler
        prompt, completion, cached = self._totals
        return EngineStats(
            num_waiting=len(scheduler.waiting), num_running=len(scheduler.running), num_slots=self.num_slots,
            blocks_used=scheduler.blocks.num_owned, blocks_total=self.memory.num_blocks, prompt_tokens=prompt,
            completion_tokens=completion, drawn_tokens=scheduler.num_drawn, cached_tokens=cached,
            preemptions=scheduler.num_preemptions, snapshots=len(scheduler.snapshots),
            snapshot_bytes=len(scheduler.snapshots) * self.memory.slot_bytes,
        )  # fmt: skip

    def release(self) -> None:
        """Gives the cache's memory back; the next request takes it again.

        Raises: ConfigError while requests are there.
        """
        if self.has_work:
            raise ConfigError("release() with requests on their way; allowed: after the last one")
        self._collect()
        self._runner = None
        self._start_over()

    def _start_over(self) -> None:
        """Has nobody's memory be anybody's."""
        self._scheduler, self._ledger = self._make_scheduler(), None
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
        missing = dict.fromkeys(trackers)
        try:
            while missing:
                self._advance()
                # News of other requests wait for `step`.
                for tracker in [tracker for tracker in self._news if tracker in missing]:
                    del self._news[tracker]
                    if tracker.completion is not None:
                        del missing[tracker]
                        if on_finish is not None:
                            on_finish(len(tracker.completion.token_ids))
        finally:
            for tracker in missing:
                self.cancel(tracker.sequence.request_id)
        return [tracker.completion for tracker in trackers if tracker.completion is not None]

    def submit(self, request: Request | Partial, *, has_text: bool = True) -> int:
        """Puts a request in the queue, or one that was interrupted; returns the id that its deltas carry.

        Without `has_text` (and without stop strings) there are no deltas but the last: nothing is done per token.

        Raises: ConfigError for sampling settings out of range, DataError for a prompt that does not fit; both for a
        partial completion that is not one of this model.
        """
        partial, request = (request, request.request) if isinstance(request, Partial) else (None, request)
        tokens = request if partial is None else check_partial(partial, num_routes=self._num_routes)
        has_text = has_text or bool(request.sampling.stop)
        tracker = self._enqueue(request, *self._prepare(tokens), has_text=has_text)
        if partial is not None and len(partial.token_ids):
            go_on(tracker, partial, self._maskers.get(tracker.sequence.request_id), self._ready().slots)
        return tracker.sequence.request_id

    def interrupt(self) -> dict[int, Completion | Partial]:
        """Takes every request out; returns by id what each has come to: its completion, if that was its end.

        `submit` goes on with the others, here or elsewhere, after the memory was released or the weights have changed.
        The prefix cache is emptied too: what comes next does not depend on what was before.
        """
        self._collect()
        counts = [] if self._runner is None else self._runner.slots.counts_S_F.tolist()
        ended = {t.sequence.request_id: t.completion for t in self._news if t.completion is not None}
        found: dict[int, Completion | Partial] = {**ended}
        found |= {key: to_partial(tracker, counts, dtype=self._dtype) for key, tracker in self._trackers.items()}
        for known in (self._trackers, self._news, self._deadlines, self._maskers):
            known.clear()
        self._start_over()
        return found

    def cancel(self, request_id: int) -> None:
        """Drops a request, whatever state it is in; there are no more deltas of it. Unknown ids are ignored."""
        tracker = self._trackers.get(request_id)
        if tracker is not None:
            self._drop(tracker)
            self._news.pop(tracker, None)

    def step(self) -> list[Delta]:
        """Runs one round; returns what is new of each request, the completion with the last of its deltas."""
        self._advance()
        news, self._news = self._news, {}
        return [tracker.delta() for tracker in news]

    def _prepare(self, request: Request) -> tuple[list[int], AnswerMasker | None]:
        """Returns the prompt's tokens and the grammar, once everything about a request has been checked."""
        check_sampling(request, vocab_size=self.tokenizer.vocab_size)
        prompt = check_prompt(request, self.tokenizer, max_length=self.max_length)
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

    def _advance(self) -> None:
        """Runs one round and reads what has come."""
        now = time.monotonic()
        for request_id in [i for i, until in self._deadlines.items() if now > until]:
            self._finish(self._trackers[request_id], "deadline")
        is_tight = self._scheduler.is_tight
        # A grammar's next mask follows from the token before.
        if is_tight or self._maskers:
            self._collect()
        if is_tight:
            # Who has to go will come back with all its tokens.
            for tracker in self._trackers.values():
                tracker.settle()
        round_ = self._scheduler.plan()
        if round_.is_empty:
            self._collect()
            return
        self._launch(round_)
        while self._broken:
            tracker, error = self._broken.pop()
            if not tracker.sequence.is_finished:
                self._finish(tracker, "error", error)
        self._collect(leave=1 if self._is_overlapped else 0)
        if not self._is_overlapped and not self.memory.is_aligned:
            # Plain states are used in place while the slots in use have no gaps.
            self._ready().move_slots(self._scheduler.compact())

    def _ready(self) -> Runner:
        if self._runner is None:
            self._runner = Runner(
                self.model, self.memory, num_real=self.tokenizer.vocab_size, end_id=self.tokenizer.end_id,
                thinking=self._thinking, has_graphs=self._has_graphs, is_invariant=self._is_invariant,
                has_routes=self._num_routes > 0, is_debug=self._is_debug,
            )  # fmt: skip
        return self._runner

    def _launch(self, round_: Round) -> None:
        runner = self._ready()
        for sequence, slot in round_.preempted:
            self._trackers[sequence.request_id].saved = runner.read_slot(slot)
        if round_.admitted:
            trackers = [self._trackers[sequence.request_id] for sequence in round_.admitted]
            rows = [tracker.saved or runner.slots.start(tracker.request) for tracker in trackers]
            runner.start_slots([sequence.slot for sequence in round_.admitted], rows)
            for tracker in trackers:
                sequence = tracker.sequence
                runner.adjust(sequence.slot, tracker.request.sampling, sequence.token_ids, sequence.num_prompt)
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
                self._lighten(round_, error)
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
        launched = Launched(pending=pending, ledger=ledger, pieces=owned, version=self._policy_version)
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
        runner.fork(round_.forked_slots, round_.forked_blocks)
        drawn, rows = [], []
        for piece, end in zip(pieces, ends, strict=True):
            if piece.is_last:
                members = [piece.sequence, *piece.followers]
                drawn += members
                rows += [end] * len(members)
        if drawn or self._num_routes:
            pending = runner.draw_first(encoded, rows, [s.slot for s in drawn], self._features(drawn))
            ledger = Ledger(trackers=[self._trackers[sequence.request_id] for sequence in drawn])
            self._note(pending, ledger, pieces)

    def _features(self, sequences: Sequence[Scheduled]) -> Features:
        requests = (self._trackers[sequence.request_id].request for sequence in sequences)
        return Features.of([request.sampling for request in requests], has_graphs=self._has_graphs)

    def _collect(self, *, leave: int = 0) -> None:
        """Reads the results of all launched passes but the last `leave`."""
        while len(self._inflight) > leave:
            launched = self._inflight.popleft()
            pending, ledger = launched.pending, launched.ledger
            pending.wait()
            if launched.pieces and pending.routes is not None:
                read_routes(pending.routes.numpy().copy(), launched.pieces)
            entry, codes = read_entry(pending, version=launched.version, has_own_routes=not launched.pieces)
            is_bad = np.isnan(entry.model_logprobs)
            ledger.entries.append(entry)
            ledger.num_unread -= 1
            rows = range(len(codes)) if ledger.has_watchers else (is_bad | (codes != 0)).nonzero()[0].tolist()
            decode_ended([ledger.trackers[row] for row in rows if codes[row]], self.tokenizer)
            for row in rows:
                tracker = ledger.trackers[row]
                # Drawn after the end was decided, before the host knew.
                if not tracker.sequence.is_finished:
                    self._news[tracker] = None
                    self._look(tracker, int(codes[row]), bool(is_bad[row]))
            ledger.forget(LEDGER_ENTRIES)

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
        """Ends a request: its slot and blocks are free, its completion is there and news."""
        tracker.settle()
        self._drop(tracker)
        if tracker.stream is not None:
            tracker.text += tracker.stream.finish()
        tracker.completion = tracker.complete(
            self.tokenizer, reason, error, version=self._policy_version, dtype=self._dtype
        )
        self._news[tracker] = None
        self._totals[0] += tracker.sequence.num_prompt
        self._totals[1] += len(tracker.logprobs)
        self._totals[2] += tracker.sequence.num_reused

    def _drop(self, tracker: Tracker) -> None:
        """Takes a request out, wherever it is; what it has computed is kept for the next turn of its conversation."""
        request_id = tracker.sequence.request_id
        for known in (self._trackers, self._deadlines, self._maskers):
            known.pop(request_id, None)
        kept = self._scheduler.finish(tracker.sequence)
        if kept is not None:
            self._ready().copy_slots([kept])

    def _lighten(self, round_: Round, error: Exception) -> None:
        """Has pieces that did not fit together computed one by one; one that does not fit alone ends its requests."""
        if self.model.lm_head.weight.is_cuda:
            torch.cuda.empty_cache()
        self._scheduler.retract(round_)
        if len(round_.pieces) == 1:
            for sequence in (round_.pieces[0].sequence, *round_.pieces[0].followers):
                self._finish(self._trackers[sequence.request_id], "error", f"out of memory in the prefill ({error})")
