"""What the device keeps of every running completion: settings and counters by slot, and how a token moves them on.

Everything that decides whether a completion goes on is here, so that the next step can be launched before the host has
read this one's tokens. Axes: `S` slots (0 is nobody's), `R` rows, one per slot that is drawn for, `F` columns.
"""

from dataclasses import dataclass, field
from enum import IntEnum, auto

import torch
from torch import Tensor

from fulmen.serve.stops import stop_codes, update_repetition
from fulmen.text.parse import ThinkingMarkers
from fulmen.types import Request


class Count(IntEnum):
    """Columns of the integers."""

    LENGTH = 0
    """Tokens in the cache."""
    DRAWN = auto()
    """Completion tokens."""
    LAST = auto()
    """The newest token, not yet in the cache."""
    RUN = auto()
    """Consecutive sure tokens."""
    IS_THINKING = auto()
    SPENT = auto()
    """Tokens of thinking."""
    OPENING = auto()
    """Tokens of the opening marker that the newest tokens match."""
    CLOSING = auto()
    FORCED = auto()
    """1 + the index of the next forced token; 0 draws."""
    SEED = auto()
    MAX_TOKENS = auto()
    MIN_TOKENS = auto()
    WINDOW = auto()
    BUDGET = auto()
    """Of thinking; -1 is no bound."""
    TOP_K = auto()


class Setting(IntEnum):
    """Columns of the real numbers."""

    TEMPERATURE = 0
    TOP_P = auto()
    MIN_P = auto()
    REPETITION_P = auto()
    PRESENCE = auto()
    FREQUENCY = auto()
    REPETITION = auto()


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """One token per row."""

    token_ids: Tensor
    """int64 `[R]`."""
    codes: Tensor
    """int64 `[R]`, 0 or why the completion ends (`stops.py`)."""
    is_forced: Tensor
    logprobs: Tensor
    """float32 `[R]`, under the distribution drawn from; 0 where the token was forced."""
    model_logprobs: Tensor


@dataclass(kw_only=True)
class SlotState:
    """Settings and counters of all slots."""

    counts_S_F: Tensor
    settings_S_F: Tensor
    end_id: int
    thinking: ThinkingMarkers
    _markers: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def allocate(
        cls, *, num_slots: int, dtype: torch.dtype, device: torch.device, end_id: int, thinking: ThinkingMarkers
    ) -> "SlotState":
        """Returns empty slots; `num_slots` counts slot 0, `dtype` is that of the logits."""
        markers = {
            name: torch.tensor([*getattr(thinking, name), -1], device=device)
            for name in ("opening", "closing", "forced")
        }
        return cls(
            counts_S_F=torch.zeros(num_slots, len(Count), dtype=torch.int64, device=device),
            settings_S_F=torch.ones(num_slots, len(Setting), dtype=dtype, device=device),
            end_id=end_id, thinking=thinking, _markers=markers,
        )  # fmt: skip

    def start(self, request: Request) -> tuple[list[int], list[float]]:
        """Returns the two rows of a request that has drawn nothing."""
        sampling, is_open = request.sampling, self.thinking.is_open
        budget = -1 if sampling.thinking_budget is None or not self.thinking.forced else sampling.thinking_budget
        counts = dict.fromkeys(Count, 0) | {
            Count.IS_THINKING: int(is_open), Count.FORCED: int(is_open and budget == 0), Count.SEED: request.seed,
            Count.MAX_TOKENS: sampling.max_tokens, Count.MIN_TOKENS: sampling.min_tokens,
            Count.WINDOW: sampling.repetition_window, Count.BUDGET: budget, Count.TOP_K: sampling.top_k,
        }  # fmt: skip
        settings = {
            Setting.TEMPERATURE: sampling.temperature, Setting.TOP_P: sampling.top_p, Setting.MIN_P: sampling.min_p,
            Setting.REPETITION_P: sampling.repetition_p, Setting.PRESENCE: sampling.presence_penalty,
            Setting.FREQUENCY: sampling.frequency_penalty, Setting.REPETITION: sampling.repetition_penalty,
        }  # fmt: skip
        return [counts[column] for column in Count], [settings[column] for column in Setting]

    def advance(
        self, slots_R: Tensor, token_ids_R: Tensor, logprobs_R: Tensor, model_logprobs_R: Tensor, *, has_budget: bool
    ) -> Drawn:
        """Returns what becomes of drawn tokens, and moves the counters of their slots on.

        `has_budget`: some row has a thinking budget; without it no token is forced. On CUDA one kernel.
        """
        if slots_R.is_cuda:
            from fulmen.serve.slots_triton import advance_triton

            advanced = advance_triton(
                self.counts_S_F, self.settings_S_F, slots_R, token_ids_R, logprobs_R, model_logprobs_R,
                markers=(self._markers["opening"], self._markers["closing"], self._markers["forced"]),
                end_id=self.end_id, has_budget=has_budget,
            )  # fmt: skip
            return Drawn(**advanced._asdict(), model_logprobs=model_logprobs_R)
        counts = self.counts_S_F[slots_R]
        is_forced = torch.zeros_like(token_ids_R, dtype=torch.bool)
        if has_budget:
            place = counts[:, Count.FORCED]
            is_forced = place > 0
            token_ids_R = torch.where(is_forced, self._markers["forced"][(place - 1).clamp(min=0)], token_ids_R)
            logprobs_R = torch.where(is_forced, 0, logprobs_R)
            self._think(counts, token_ids_R, is_forced)
        counts[:, Count.DRAWN] += 1
        counts[:, Count.LAST] = token_ids_R
        threshold = self.settings_S_F[slots_R, Setting.REPETITION_P]
        run = update_repetition(counts[:, Count.RUN], model_logprobs_R.exp(), threshold)
        counts[:, Count.RUN] = torch.where(is_forced, 0, run) if has_budget else run
        codes = stop_codes(
            token_ids_R, counts[:, Count.DRAWN], counts[:, Count.RUN],
            end_id=self.end_id, max_tokens_R=counts[:, Count.MAX_TOKENS], window_R=counts[:, Count.WINDOW],
        )  # fmt: skip
        self.counts_S_F[slots_R] = counts
        return Drawn(
            token_ids=token_ids_R, codes=codes, is_forced=is_forced,
            logprobs=logprobs_R, model_logprobs=model_logprobs_R,
        )  # fmt: skip

    def _think(self, counts: Tensor, token_ids_R: Tensor, is_forced: Tensor) -> None:
        """Follows the markers: counts tokens of thinking, and starts to force its end when the budget is spent."""
        was_thinking = counts[:, Count.IS_THINKING] > 0
        opening = self._match(counts[:, Count.OPENING], token_ids_R, "opening")
        closing = self._match(counts[:, Count.CLOSING], token_ids_R, "closing")
        is_opened = opening == len(self.thinking.opening)
        is_closed = closing == len(self.thinking.closing)
        place = torch.where(is_forced, counts[:, Count.FORCED] + 1, 0)
        place = torch.where(place > len(self.thinking.forced), 0, place)
        # While its end is being written, the model is past thinking.
        is_thinking = torch.where(was_thinking, ~is_closed & ~is_forced, is_opened)
        spent = counts[:, Count.SPENT] + (was_thinking & ~is_forced)
        budget = counts[:, Count.BUDGET]
        must_end = is_thinking & (budget >= 0) & (spent >= budget)
        counts[:, Count.FORCED] = torch.where(must_end, 1, place)
        counts[:, Count.IS_THINKING] = is_thinking.to(counts.dtype)
        counts[:, Count.SPENT] = spent
        counts[:, Count.OPENING] = torch.where(is_opened | was_thinking, 0, opening)
        counts[:, Count.CLOSING] = torch.where(is_closed | ~was_thinking, 0, closing)

    def _match(self, matched_R: Tensor, token_ids_R: Tensor, marker: str) -> Tensor:
        """Returns how many tokens of a marker are matched once `token_ids_R` have come."""
        ids = self._markers[marker]
        return torch.where(token_ids_R == ids[matched_R], matched_R + 1, (token_ids_R == ids[0]).long())
