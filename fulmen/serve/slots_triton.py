"""The Triton kernel of SlotState.advance: a program moves the counters of some rows on, each in one lane.

The torch code in `slots.py` is the reference. Block axes: `BR` rows, one per lane.
"""

from typing import NamedTuple, no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from fulmen.serve.slots import Count, Setting
from fulmen.serve.stops import REASONS

NUM_COUNTS, NUM_SETTINGS = tl.constexpr(len(Count)), tl.constexpr(len(Setting))
DRAWN, LAST, RUN = (tl.constexpr(int(column)) for column in (Count.DRAWN, Count.LAST, Count.RUN))
IS_THINKING, SPENT = tl.constexpr(int(Count.IS_THINKING)), tl.constexpr(int(Count.SPENT))
OPENING, CLOSING = tl.constexpr(int(Count.OPENING)), tl.constexpr(int(Count.CLOSING))
FORCED, BUDGET = tl.constexpr(int(Count.FORCED)), tl.constexpr(int(Count.BUDGET))
MAX_TOKENS, WINDOW = tl.constexpr(int(Count.MAX_TOKENS)), tl.constexpr(int(Count.WINDOW))
REPETITION_P = tl.constexpr(int(Setting.REPETITION_P))
STOP, LENGTH, REPETITION = (tl.constexpr(1 + REASONS.index(reason)) for reason in ("stop", "length", "repetition"))
BLOCK = 32


class Advanced(NamedTuple):
    """Fields of `Drawn`, in its order."""

    token_ids: Tensor
    codes: Tensor
    is_forced: Tensor
    logprobs: Tensor


@triton.jit
@no_type_check
def match(b_matched, b_token, ids, mask):
    """How many tokens of a marker are matched once the token has come."""
    b_next = tl.load(ids + b_matched, mask=mask, other=-1)
    return tl.where(b_token == b_next, b_matched + 1, (b_token == tl.load(ids)).to(tl.int64))


@triton.jit
@no_type_check
def think(p_counts, b_token, b_is_forced, b_place, opening, closing, m_r, num_opening, num_closing, num_forced):
    """Follows the markers and writes the counters of thinking."""
    b_was_thinking = tl.load(p_counts + IS_THINKING, mask=m_r, other=0) > 0
    b_opening = match(tl.load(p_counts + OPENING, mask=m_r, other=0), b_token, opening, m_r)
    b_closing = match(tl.load(p_counts + CLOSING, mask=m_r, other=0), b_token, closing, m_r)
    b_is_opened, b_is_closed = b_opening == num_opening, b_closing == num_closing
    b_place = tl.where(b_is_forced, b_place + 1, 0)
    b_place = tl.where(b_place > num_forced, 0, b_place)
    b_is_thinking = (b_was_thinking & ~b_is_closed & ~b_is_forced) | (~b_was_thinking & b_is_opened)
    b_spent = tl.load(p_counts + SPENT, mask=m_r, other=0) + (b_was_thinking & ~b_is_forced).to(tl.int64)
    b_budget = tl.load(p_counts + BUDGET, mask=m_r, other=0)
    b_must_end = b_is_thinking & (b_budget >= 0) & (b_spent >= b_budget)
    tl.store(p_counts + FORCED, tl.where(b_must_end, 1, b_place), mask=m_r)
    tl.store(p_counts + IS_THINKING, b_is_thinking.to(tl.int64), mask=m_r)
    tl.store(p_counts + SPENT, b_spent, mask=m_r)
    tl.store(p_counts + OPENING, tl.where(b_is_opened | b_was_thinking, 0, b_opening), mask=m_r)
    tl.store(p_counts + CLOSING, tl.where(b_is_closed | ~b_was_thinking, 0, b_closing), mask=m_r)


@triton.jit(do_not_specialize=["n_rows", "end_id", "num_opening", "num_closing", "num_forced"])
@no_type_check
def advance_kernel(
    counts, settings, slots, tokens, logprobs, model_logprobs, opening, closing, forced,
    out_tokens, codes, is_forced, out_logprobs, n_rows, end_id, num_opening, num_closing, num_forced,
    HAS_BUDGET: tl.constexpr, BR: tl.constexpr,
):  # fmt: skip
    """Some rows. Rows of slot 0, which is nobody's, may write it over each other."""
    o_r = tl.program_id(0) * BR + tl.arange(0, BR)
    m_r = o_r < n_rows
    b_slot = tl.load(slots + o_r, mask=m_r, other=0)
    p_counts = counts + b_slot * NUM_COUNTS
    b_token = tl.load(tokens + o_r, mask=m_r, other=0)
    b_logprob = tl.load(logprobs + o_r, mask=m_r, other=0.0)
    b_p = tl.exp(tl.load(model_logprobs + o_r, mask=m_r, other=0.0))
    b_threshold = tl.load(settings + b_slot * NUM_SETTINGS + REPETITION_P, mask=m_r, other=0.0)
    b_run = tl.where(b_p > b_threshold, tl.load(p_counts + RUN, mask=m_r, other=0) + 1, 0)
    b_drawn = tl.load(p_counts + DRAWN, mask=m_r, other=0) + 1
    b_max, b_window = tl.load(p_counts + MAX_TOKENS, mask=m_r, other=0), tl.load(p_counts + WINDOW, mask=m_r, other=0)
    b_is_forced = tl.zeros([BR], dtype=tl.int1)
    if HAS_BUDGET:
        b_place = tl.load(p_counts + FORCED, mask=m_r, other=0)
        b_is_forced = b_place > 0
        b_token = tl.where(b_is_forced, tl.load(forced + tl.maximum(b_place - 1, 0), mask=m_r, other=0), b_token)
        b_logprob = tl.where(b_is_forced, 0.0, b_logprob)
        b_run = tl.where(b_is_forced, 0, b_run)
        think(
            p_counts, b_token, b_is_forced, b_place, opening, closing, m_r, num_opening, num_closing, num_forced
        )  # fmt: skip
    tl.store(p_counts + DRAWN, b_drawn, mask=m_r)
    tl.store(p_counts + LAST, b_token, mask=m_r)
    tl.store(p_counts + RUN, b_run, mask=m_r)
    b_code = tl.where(b_drawn >= b_max, LENGTH, 0)
    b_code = tl.where(b_run >= b_window, REPETITION, b_code)
    b_code = tl.where(b_token == end_id, STOP, b_code)
    tl.store(out_tokens + o_r, b_token, mask=m_r)
    tl.store(codes + o_r, b_code.to(tl.int64), mask=m_r)
    tl.store(is_forced + o_r, b_is_forced, mask=m_r)
    tl.store(out_logprobs + o_r, b_logprob, mask=m_r)


def advance_triton(
    counts_S_F: Tensor,
    settings_S_F: Tensor,
    slots_R: Tensor,
    token_ids_R: Tensor,
    logprobs_R: Tensor,
    model_logprobs_R: Tensor,
    *,
    markers: tuple[Tensor, Tensor, Tensor],
    end_id: int,
    has_budget: bool,
) -> Advanced:
    """Moves the counters of `slots_R` on and returns what became of the tokens; on CPU only under the interpreter.

    `markers`: tokens of opening, closing and what is forced, each with one more that ends it. Slots above 0 are
    distinct.
    """
    num_rows = len(slots_R)
    advanced = Advanced(
        torch.empty_like(token_ids_R),
        torch.empty_like(token_ids_R),
        torch.empty(num_rows, dtype=torch.bool, device=slots_R.device),
        torch.empty_like(logprobs_R),
    )
    if num_rows:
        advance_kernel[(triton.cdiv(num_rows, BLOCK),)](
            counts_S_F, settings_S_F, slots_R.contiguous(), token_ids_R.contiguous(), logprobs_R.contiguous(),
            model_logprobs_R.contiguous(), *markers, *advanced, num_rows, end_id,
            *(len(marker) - 1 for marker in markers), HAS_BUDGET=has_budget, BR=BLOCK, num_warps=1,
        )  # fmt: skip
    return advanced
