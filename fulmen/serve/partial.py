"""Completions that are interrupted, and go on later: after new weights, in another engine, in another process.

What goes on is a preempted sequence that was away for longer: prompt and drawn tokens are computed once more under the
weights of the day, noise and counters go on at their positions. Under the same weights the completion is what it would
have been. Recorded experts stay those that each token was drawn along; the weights of the day route anew what they
compute once more, and of that only tokens that had no experts yet are recorded.
A deadline counts from the submission that goes on.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from fulmen.errors import ConfigError, DataError
from fulmen.serve.answer import AnswerMasker
from fulmen.serve.slots import Count, SlotState
from fulmen.serve.tracker import Tracker
from fulmen.types import Partial, Request

COUNTERS = (
    Count.DRAWN, Count.LAST, Count.RUN, Count.IS_THINKING, Count.SPENT, Count.OPENING, Count.CLOSING, Count.FORCED,
)  # fmt: skip
"""Columns of a slot that tokens move on; the others follow from the request, or from the cache."""


def to_partial(tracker: Tracker, counts_S_F: Sequence[Sequence[int]], *, dtype: "np.dtype[np.floating]") -> Partial:
    """Returns what a request has come to, once all that was launched for it has been read."""
    tracker.settle()
    sequence = tracker.sequence
    drawn = sequence.token_ids[sequence.num_prompt :]
    counters: dict[str, int] = {}
    if drawn:
        row = counts_S_F[sequence.slot] if sequence.slot else tracker.saved[0] if tracker.saved else ()
        assert row, "who has drawn and has no slot was preempted, and its counters were kept"
        counters = {column.name.lower(): row[column] for column in COUNTERS}
        assert counters["drawn"] == len(drawn), "all that was drawn has been read"
    return Partial(
        request=tracker.request, prompt_ids=np.array(sequence.token_ids[: sequence.num_prompt], dtype=np.int64),
        token_ids=np.array(drawn, dtype=np.int64), logprobs=np.array(tracker.logprobs, dtype=dtype),
        model_logprobs=np.array(tracker.model_logprobs, dtype=dtype),
        token_versions=np.array(tracker.versions, dtype=np.int64), forced=np.array(tracker.forced, dtype=np.int64),
        expert_ids=np.concatenate(tracker.routes) if drawn and tracker.routes else None, counters=counters,
        top_logprobs=tuple(tracker.tops), num_cached=sequence.num_reused,
    )  # fmt: skip


def check_partial(partial: Partial, *, num_routes: int) -> Request:
    """Returns the request with its prompt as tokens; `num_routes` is 0 for an engine that records no experts.

    Raises: DataError for parts that do not fit together, ConfigError for experts that only one side records.
    """
    count = len(partial.token_ids)
    prompt = tuple(int(token) for token in partial.prompt_ids)
    request = dataclasses.replace(partial.request, messages=(), tools=(), prompt_ids=prompt)
    if not count:
        return request
    for name in ("logprobs", "model_logprobs", "token_versions"):
        if len(getattr(partial, name)) != count:
            raise DataError(f"a partial completion: {len(getattr(partial, name))} {name} of {count} tokens")
    wrong = sorted({column.name.lower() for column in COUNTERS} ^ partial.counters.keys())
    if wrong or partial.counters["drawn"] != count:
        raise DataError(f"a partial completion: counters {dict(partial.counters)}; allowed: those of {count} tokens")
    if count >= request.sampling.max_tokens:
        raise DataError(f"a partial completion of {count} tokens; allowed: fewer than {request.sampling.max_tokens}")
    width = 0 if partial.expert_ids is None else partial.expert_ids.shape[1]
    if width != num_routes:
        raise ConfigError(
            f"a partial completion with {width} experts a token, for an engine that records {num_routes}; allowed: "
            "the same model and the same records_routes"
        )
    return request


def go_on(tracker: Tracker, partial: Partial, masker: AnswerMasker | None, slots: SlotState) -> None:
    """Brings a request that has just been queued to where it was interrupted."""
    drawn = partial.token_ids.tolist()
    sequence = tracker.sequence
    sequence.token_ids += drawn
    sequence.num_drawn, sequence.num_reused = len(drawn), partial.num_cached
    counts, settings = slots.start(partial.request)
    for column in COUNTERS:
        counts[column] = partial.counters[column.name.lower()]
    tracker.saved = counts, settings
    tracker.logprobs, tracker.model_logprobs = partial.logprobs.tolist(), partial.model_logprobs.tolist()
    tracker.versions, tracker.forced = partial.token_versions.tolist(), partial.forced.tolist()
    tracker.tops, tracker.num_sent = list(partial.top_logprobs), len(drawn)
    if partial.expert_ids is not None:
        tracker.routes, tracker.num_routes = [partial.expert_ids], len(partial.expert_ids)
    if tracker.stream is not None:
        # Its text was handed out before.
        tracker.stream.feed(drawn)
    for token in drawn if masker is not None else ():
        assert masker is not None, "there is one to be moved on"
        masker.advance(token)
