"""Completions of one rollout to token sequences: turns whose prompt goes on from the last one become one sequence.

A turn whose prompt rewrites or shortens the conversation (a template that drops old thinking, an agent that compacts
its history) begins a sequence of its own: it is trained on just what the policy saw.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fulmen.types import Completion, Rollout


@dataclass(frozen=True, kw_only=True)
class TurnSequence:
    """Tokens of one or more turns."""

    token_ids: np.ndarray
    mask: np.ndarray
    """bool, True on tokens that the policy drew."""
    logprobs: np.ndarray
    """float32, under the sampling policy; 0 elsewhere."""
    expert_ids: np.ndarray | None
    """As the rollout recorded them, for every token but the last."""


def sequences_of(rollout: Rollout) -> list[TurnSequence]:
    """Returns the token sequences of a rollout; turns without a drawn token give none."""
    runs: list[list[Completion]] = []
    for completion in rollout.completions:
        if runs and _goes_on(runs[-1][-1], completion):
            runs[-1].append(completion)
        else:
            runs.append([completion])
    sequences = [_join(run) for run in runs]
    return [sequence for sequence in sequences if sequence.mask.any()]


def _goes_on(earlier: Completion, later: Completion) -> bool:
    """Returns whether a turn's prompt begins with all that came before it, token by token."""
    length = len(earlier.prompt_ids) + len(earlier.token_ids)
    seen = np.concatenate([earlier.prompt_ids, earlier.token_ids])
    return len(later.prompt_ids) >= length and bool(np.array_equal(later.prompt_ids[:length], seen))


def _join(turns: Sequence[Completion]) -> TurnSequence:
    last = turns[-1]
    token_ids = np.concatenate([last.prompt_ids, last.token_ids])
    mask, logprobs = np.zeros(len(token_ids), np.bool_), np.zeros(len(token_ids), np.float32)
    expert_ids = None if last.expert_ids is None else last.expert_ids.copy()
    for turn in turns:
        start, end = len(turn.prompt_ids), len(turn.prompt_ids) + len(turn.token_ids)
        mask[start:end] = True if turn.mask is None else turn.mask
        logprobs[start:end] = turn.logprobs
    # Earlier turns were drawn along their own routes; the prompt of a later one was only read along its.
    for turn in reversed(turns[:-1]):
        if expert_ids is not None and turn.expert_ids is not None:
            expert_ids[: len(turn.expert_ids)] = turn.expert_ids
    return TurnSequence(token_ids=token_ids, mask=mask, logprobs=logprobs, expert_ids=expert_ids)
