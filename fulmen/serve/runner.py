"""The device side of the engine: cache, slots and the passes over the model. Told what to run, it decides nothing.

A decoding step is one function of device tensors alone; on CUDA it is captured as a graph for each size of batch, so
that the host launches one thing per step. Axes: `S` slots, `R` rows, `T` tokens, `X` blocks of a row, `V` vocabulary.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fulmen.kernels.invariant import batch_invariant
from fulmen.model import Model
from fulmen.model.cache import BLOCK, Cache, CachePool
from fulmen.model.layout import extend_layout, step_layout
from fulmen.model.transformer import Hidden
from fulmen.serve.adjust import LogitTables, adjust_logits, needs_adjustment, pack_words
from fulmen.serve.memory import MemoryPlan
from fulmen.serve.sampling import sample
from fulmen.serve.slots import Count, Setting, SlotState
from fulmen.text.parse import ThinkingMarkers
from fulmen.types import Sampling

BUCKETS = (1, 2, 4, 8, 16, 24, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512)
"""Sizes of batch that a decoding step is captured for; smaller batches are padded with slot 0."""


@dataclass(frozen=True, kw_only=True)
class Features:
    """What a step does beside drawing from the truncated distribution; each costs time, so only when asked for."""

    has_budget: bool = False
    """Some row has a thinking budget."""
    has_adjustments: bool = False
    """Some row has penalties, a bias or a grammar."""
    has_cuts: bool = False
    """Some row has top_k, min_p or a least number of tokens."""
    num_top: int = 0
    """Most probable tokens to report."""

    @classmethod
    def of(cls, samplings: Sequence[Sampling], *, has_graphs: bool) -> "Features":
        """Returns what the rows of a step need. In a graph cuts cost nothing, and fewer graphs are captured."""
        return cls(
            has_budget=any(s.thinking_budget is not None for s in samplings),
            has_adjustments=any(map(needs_adjustment, samplings)),
            has_cuts=has_graphs or any(s.top_k or s.min_p or s.min_tokens for s in samplings),
            num_top=max((s.top_logprobs for s in samplings), default=0),
        )


@dataclass(kw_only=True)
class Pending:
    """Results of one pass that are on their way to the host."""

    integers: Tensor
    """int64 `[R, 3]`: token, code, whether forced."""
    reals: Tensor
    """`[R, 2]`: logprob, model logprob."""
    routes: Tensor | None
    """`[T, LK]`, experts of the tokens that were computed."""
    top_ids: Tensor | None
    top_logprobs: Tensor | None
    event: "torch.cuda.Event | None"

    def wait(self) -> None:
        """Returns once the results are here."""
        if self.event is not None:
            self.event.synchronize()


class Runner:
    """Runs passes over one model and its cache."""

    def __init__(
        self,
        model: Model,
        memory: MemoryPlan,
        *,
        num_real: int,
        end_id: int,
        thinking: ThinkingMarkers,
        has_graphs: bool,
        is_invariant: bool,
        has_routes: bool,
        is_debug: bool = False,
    ) -> None:
        weight = model.lm_head.weight
        self.model, self.device, self.dtype = model, weight.device, weight.dtype
        self.num_real, self.num_slots, self.is_invariant = num_real, memory.num_slots, is_invariant
        self.max_length, self.has_routes = memory.max_length, has_routes
        self.route_dtype = torch.int8 if model.config.num_experts <= 128 else torch.int16
        self.pool = CachePool.allocate(
            model.config, num_slots=memory.num_slots + memory.num_snapshots + 1, num_blocks=memory.num_blocks + 1,
            dtype=self.dtype, device=self.device, is_aligned=memory.is_aligned,
        )  # fmt: skip
        if is_debug:
            self.pool.poison()
        num_columns = -(-memory.max_length // BLOCK)
        self.table_S_X = torch.zeros(memory.num_slots + 1, num_columns, dtype=torch.int32, device=self.device)
        self.slots = SlotState.allocate(
            num_slots=memory.num_slots + 1, dtype=torch.promote_types(self.dtype, torch.float32), device=self.device,
            end_id=end_id, thinking=thinking,
        )  # fmt: skip
        self.tables: LogitTables | None = None
        self._graphs: dict[tuple[int, Features], _Graph] = {}
        self._graph_pool = torch.cuda.graph_pool_handle() if has_graphs else None
        self._slot_list: list[int] = []
        self._slot_tensor: Tensor | None = None

    def upload(self, values: Sequence[object] | np.ndarray, dtype: torch.dtype = torch.int64) -> Tensor:
        """Returns host values on the device, without waiting for it."""
        tensor = torch.as_tensor(np.asarray(values)).to(dtype)
        return tensor.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else tensor

    def _columns(self, rows: Sequence[tuple[int, ...]]) -> tuple[Tensor, ...]:
        return self.upload(np.array(rows, dtype=np.int64).T.copy()).unbind(0)

    def start_slots(self, slots: Sequence[int], rows: Sequence[tuple[list[int], list[float]]]) -> None:
        """Writes settings and counters of new sequences."""
        index = self.upload(slots)
        self.slots.counts_S_F[index] = self.upload([counts for counts, _ in rows])
        reals = self.upload([settings for _, settings in rows], self.slots.settings_S_F.dtype)
        self.slots.settings_S_F[index] = reals

    def adjust(self, slot: int, sampling: Sampling, token_ids: Sequence[int], num_prompt: int) -> None:
        """Prepares the logit tables of a slot; they are made with the first request that needs them."""
        if self.tables is None:
            if not needs_adjustment(sampling):
                return
            self.tables = LogitTables.allocate(
                num_slots=self.num_slots + 1, vocab_size=self.model.config.vocab_size,
                dtype=self.slots.settings_S_F.dtype, device=self.device,
            )  # fmt: skip
        if needs_adjustment(sampling):
            self.tables.start(slot, sampling, token_ids[:num_prompt], token_ids[num_prompt:])
        else:
            self.tables.clear(slot)

    def allow(self, slots: Sequence[int], words: Sequence[np.ndarray]) -> None:
        """Says which tokens the grammars of slots allow next, as bits."""
        if slots:
            assert self.tables is not None, "a grammar has made the tables"
            width = self.tables.allowed_S_W.shape[1]
            packed = np.stack([pack_words(row, width) for row in words])
            self.tables.allowed_S_W[self.upload(slots)] = self.upload(packed, torch.int32)

    def read_slot(self, slot: int) -> tuple[list[int], list[float]]:
        """Returns settings and counters of a slot, as `start_slots` takes them."""
        return self.slots.counts_S_F[slot].tolist(), self.slots.settings_S_F[slot].tolist()

    def write_table(self, entries: Sequence[tuple[int, int, int]]) -> None:
        """Writes (slot, column, block) entries of the block table."""
        if entries:
            slots, columns, blocks = self._columns(entries)
            self.table_S_X[slots, columns] = blocks.to(torch.int32)

    def clear_slots(self, slots: Sequence[int]) -> None:
        """Makes slots ones that have seen nothing."""
        if slots:
            self.pool.clear_slots(self.upload(slots))

    def copy_slots(self, pairs: Sequence[tuple[int, int]]) -> None:
        """Copies states, (destination, source)."""
        if pairs:
            self.pool.copy_slots(*self._columns(pairs))

    def move_slots(self, pairs: Sequence[tuple[int, int]]) -> None:
        """Moves everything that is kept by slot, (destination, source)."""
        if pairs:
            destination, source = self._columns(pairs)
            self.pool.copy_slots(destination, source)
            tables = [] if self.tables is None else list(vars(self.tables).values())
            for tensor in (self.table_S_X, self.slots.counts_S_F, self.slots.settings_S_F, *tables):
                tensor[destination] = tensor[source]

    def _scope(self) -> "contextlib.AbstractContextManager[None]":
        return batch_invariant() if self.is_invariant else contextlib.nullcontext()

    @torch.inference_mode()
    def prefill(
        self, token_ids: Sequence[Sequence[int]], slots: Sequence[int], starts: Sequence[int]
    ) -> tuple[Hidden, list[int]]:
        """Computes new tokens of several slots; returns their hidden states and the row of each slot's last one."""
        borders = [0]
        for part in token_ids:
            borders.append(borders[-1] + len(part))
        flat = np.concatenate([np.asarray(part, dtype=np.int64) for part in token_ids])
        slots_R = self.upload(slots)
        cache = Cache(pool=self.pool, slots_R=slots_R, lengths_R=self.upload(starts), table_R_X=self.table_S_X[slots_R])
        layout = extend_layout(cache, borders, starts, is_invariant=self.is_invariant)
        with self._scope():
            encoded = self.model.run(self.upload(flat)[None], layout)
        ends = [start + len(part) for start, part in zip(starts, token_ids, strict=True)]
        self.slots.counts_S_F[slots_R, Count.LENGTH] = self.upload(ends)
        return encoded, [border - 1 for border in borders[1:]]

    @torch.inference_mode()
    def draw_first(self, encoded: Hidden, rows: Sequence[int], slots: Sequence[int], features: Features) -> Pending:
        """Draws the token that follows the prefill of each slot; `rows` are those of its last token."""
        with self._scope():
            logits = self.model.logits(encoded.hidden[0, self.upload(rows)])
        slots_R = self.upload(slots)
        routes = encoded.expert_ids[0].to(self.route_dtype) if self.has_routes else None
        return self._send(self._draw(logits, slots_R, features), routes)

    def fork(self, slots: Sequence[tuple[int, int]], blocks: Sequence[tuple[int, int]]) -> None:
        """Copies states and lengths of slots, and blocks, (destination, source)."""
        if blocks:
            self.pool.copy_blocks(*self._columns(blocks))
        if slots:
            destination, source = self._columns(slots)
            self.pool.copy_slots(destination, source)
            self.slots.counts_S_F[destination, Count.LENGTH] = self.slots.counts_S_F[source, Count.LENGTH]

    @torch.inference_mode()
    def step(self, slots: list[int], features: Features, *, longest: int) -> Pending:
        """Computes the newest token of each slot and draws the next; slots ascend."""
        if self._graph_pool is not None:
            bucket = next((size for size in BUCKETS if size >= len(slots)), None)
            if bucket is not None:
                return self._replay(slots, features, bucket)
        if slots != self._slot_list or self._slot_tensor is None:
            self._slot_list, self._slot_tensor = list(slots), self.upload(slots)
        span = (slots[0], slots[-1] + 1) if slots[-1] - slots[0] == len(slots) - 1 else None
        return self._send(*self._step(self._slot_tensor, features, longest=longest, span=span))

    def _step(
        self, slots_R: Tensor, features: Features, *, longest: int, span: tuple[int, int] | None
    ) -> tuple["_Result", Tensor | None]:
        counts = self.slots.counts_S_F[slots_R]
        cache = Cache(
            pool=self.pool, slots_R=slots_R, lengths_R=counts[:, Count.LENGTH].contiguous(), span=span,
            table_R_X=self.table_S_X[:, : -(-longest // BLOCK)][slots_R],
        )  # fmt: skip
        layout = step_layout(cache, longest=longest, is_invariant=self.is_invariant)
        with self._scope():
            encoded = self.model.run(counts[:, Count.LAST, None], layout)
            logits = self.model.logits(encoded.hidden[:, 0])
        # Rows of slot 0 stay at length 0: they own no block.
        self.slots.counts_S_F[slots_R, Count.LENGTH] = (layout.positions_T + 1) * (slots_R > 0)
        routes = encoded.expert_ids[:, 0].to(self.route_dtype) if self.has_routes else None
        return self._draw(logits, slots_R, features), routes

    def _draw(self, logits: Tensor, slots_R: Tensor, features: Features) -> "_Result":
        counts, settings = self.slots.counts_S_F[slots_R], self.slots.settings_S_F[slots_R]
        adjusted = self._adjusted(logits, slots_R, counts, settings) if features.has_adjustments else None
        drawn = sample(
            logits if adjusted is None else adjusted, settings[:, Setting.TEMPERATURE], settings[:, Setting.TOP_P],
            seed_R=counts[:, Count.SEED], position_R=counts[:, Count.DRAWN], num_real=self.num_real,
            top_k_R=counts[:, Count.TOP_K] if features.has_cuts else None,
            min_p_R=settings[:, Setting.MIN_P] if features.has_cuts else None,
            model_logits=None if adjusted is None else logits,
            barred_R=self._barred(counts) if features.has_cuts else None,
        )  # fmt: skip
        moved = self.slots.advance(
            slots_R, drawn.token_ids, drawn.logprob, drawn.model_logprob, has_budget=features.has_budget
        )
        if features.has_adjustments and self.tables is not None:
            self.tables.count(slots_R, moved.token_ids)
        result = _Result(
            integers=torch.stack((moved.token_ids, moved.codes, moved.is_forced.long()), dim=1),
            reals=torch.stack((moved.logprobs, moved.model_logprobs), dim=1),
        )
        if features.num_top:
            top = logits[:, : self.num_real].log_softmax(-1).topk(min(features.num_top, self.num_real), dim=-1)
            result.top_ids, result.top_logprobs = top.indices, top.values
        return result

    def _barred(self, counts: Tensor) -> Tensor:
        """Returns the end token for rows that must not end yet, -1 for the others."""
        return torch.where(counts[:, Count.DRAWN] < counts[:, Count.MIN_TOKENS], self.slots.end_id, -1)

    def _adjusted(self, logits: Tensor, slots_R: Tensor, counts: Tensor, settings: Tensor) -> Tensor:
        tables = self.tables
        assert tables is not None, "a request that needs them has made them"
        return adjust_logits(
            logits, tables.seen_S_V[slots_R], repetition_R=settings[:, Setting.REPETITION],
            frequency_R=settings[:, Setting.FREQUENCY], presence_R=settings[:, Setting.PRESENCE],
            bias_R_V=tables.bias_S_V[slots_R], allowed_R_W=tables.allowed_S_W[slots_R],
        )  # fmt: skip

    def _send(self, result: "_Result", routes: Tensor | None, num_rows: int | None = None) -> Pending:
        """Starts the way of the first `num_rows` results to the host."""
        rows = slice(0, num_rows)
        parts = (result.integers, result.reals, routes, result.top_ids, result.top_logprobs)
        integers, reals, routes, top_ids, top_logprobs = (None if x is None else self._to_host(x[rows]) for x in parts)
        event = None
        if self.device.type == "cuda":
            event = torch.cuda.Event()
            event.record()
        assert integers is not None, "there is a token for every row"
        assert reals is not None, "and its log-probability"
        return Pending(
            integers=integers, reals=reals, routes=routes, top_ids=top_ids, top_logprobs=top_logprobs, event=event
        )

    def _to_host(self, tensor: Tensor) -> Tensor:
        if self.device.type != "cuda":
            return tensor
        host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        return host.copy_(tensor, non_blocking=True)

    def _replay(self, slots: list[int], features: Features, bucket: int) -> Pending:
        """Runs a step as a graph, which is captured the first time."""
        key = (bucket, features)
        if key not in self._graphs:
            self._graphs[key] = self._capture(bucket, features)
        graph = self._graphs[key]
        if slots != graph.slots:
            graph.slots = list(slots)
            graph.slots_R.copy_(self.upload([*slots, *[0] * (bucket - len(slots))]))
        graph.graph.replay()
        return self._send(graph.result, graph.routes, len(slots))

    def _capture(self, bucket: int, features: Features) -> "_Graph":
        slots_R = torch.zeros(bucket, dtype=torch.int64, device=self.device)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(2):
                self._step(slots_R, features, longest=self.max_length, span=None)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._graph_pool):
            result, routes = self._step(slots_R, features, longest=self.max_length, span=None)
        return _Graph(graph=graph, slots_R=slots_R, slots=[0] * bucket, result=result, routes=routes)


@dataclass(kw_only=True)
class _Result:
    """As `Pending`, on the device."""

    integers: Tensor
    reals: Tensor
    top_ids: Tensor | None = None
    top_logprobs: Tensor | None = None


@dataclass(kw_only=True)
class _Graph:
    graph: "torch.cuda.CUDAGraph"
    slots_R: Tensor
    slots: list[int]
    result: _Result
    routes: Tensor | None
