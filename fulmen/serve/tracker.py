"""What the host knows of each request, and how drawn tokens get there.

Step after step the same sequences take a token each. Their tokens are kept as the arrays they came in (a ledger), and
go to a request's own lists only when somebody looks: at its end, at a delta, at a preemption.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from fulmen.serve.runner import Pending
from fulmen.serve.scheduler import Piece
from fulmen.serve.scheduler import Sequence as Scheduled
from fulmen.text.chat import decode_completion, decode_completions
from fulmen.text.parse import message_of
from fulmen.text.stream import TextStream
from fulmen.text.tokenizer import Tokenizer
from fulmen.types import Completion, Delta, Message, Request, StopReason, TopLogprob


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What one pass drew, one row per sequence."""

    token_ids: np.ndarray
    is_forced: np.ndarray
    logprobs: np.ndarray
    model_logprobs: np.ndarray
    version: int
    routes: np.ndarray | None
    """`[R, LK]`; None where routes are kept by the piece that computed them."""
    top_ids: np.ndarray | None
    top_logprobs: np.ndarray | None


def read_entry(pending: Pending, *, version: int, has_own_routes: bool) -> tuple[Entry, np.ndarray]:
    """Returns what a pass drew, and the codes of why rows end; copies, since the device uses the memory again."""
    integers, reals = pending.integers.numpy().copy(), pending.reals.numpy().copy()
    entry = Entry(
        token_ids=integers[:, 0], is_forced=integers[:, 2] != 0, logprobs=reals[:, 0], model_logprobs=reals[:, 1],
        version=version,
        routes=None if pending.routes is None or not has_own_routes else pending.routes.numpy().copy(),
        top_ids=None if pending.top_ids is None else pending.top_ids.numpy().copy(),
        top_logprobs=None if pending.top_logprobs is None else pending.top_logprobs.numpy().copy(),
    )  # fmt: skip
    return entry, integers[:, 1]


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Entries one after the other, `[entries, R]`."""

    token_ids: np.ndarray
    is_forced: np.ndarray
    logprobs: np.ndarray
    model_logprobs: np.ndarray
    versions: list[int]
    routes: np.ndarray | None


@dataclass(eq=False, kw_only=True)
class Ledger:
    """Entries of the same trackers, in the same order."""

    trackers: "list[Tracker]"
    entries: list[Entry] = field(default_factory=list)
    num_dropped: int = 0
    """Entries that every row has taken, and that are gone."""
    num_unread: int = 0
    """Passes that were launched and not read."""
    longest: int = 0
    """Most tokens that a sequence has in the cache."""
    _stacked: tuple[tuple[int, int], Columns] | None = None
    has_watchers: bool = False
    """Whether somebody looks at every token of some row: a text, or a grammar."""

    def __post_init__(self) -> None:
        for row, tracker in enumerate(self.trackers):
            tracker.places.append(Place(ledger=self, row=row))
        self.has_watchers = any(tracker.is_watched for tracker in self.trackers)

    def columns(self, start: int) -> Columns:
        """Returns the entries from `start` on, one after the other; rows that end together share the work."""
        key = (start, self.num_dropped + len(self.entries))
        if self._stacked is None or self._stacked[0] != key:
            entries = self.entries[start - self.num_dropped :]
            routes = [entry.routes for entry in entries if entry.routes is not None]
            columns = Columns(
                token_ids=np.stack([entry.token_ids for entry in entries]),
                is_forced=np.stack([entry.is_forced for entry in entries]),
                logprobs=np.stack([entry.logprobs for entry in entries]),
                model_logprobs=np.stack([entry.model_logprobs for entry in entries]),
                versions=[entry.version for entry in entries],
                routes=np.stack(routes) if routes else None,
            )
            self._stacked = (key, columns)
        return self._stacked[1]

    def forget(self, most: int) -> None:
        """Has every row take its entries once there are `most` of them, so that memory does not grow without bound."""
        if len(self.entries) >= most:
            for tracker in self.trackers:
                tracker.settle()
            self.num_dropped += len(self.entries)
            self.entries.clear()


@dataclass(kw_only=True)
class Place:
    """A tracker's row in a ledger, and how many of its entries it has taken."""

    ledger: Ledger
    row: int
    num_taken: int = 0


@dataclass(eq=False, kw_only=True)
class Tracker:
    """One request."""

    request: Request
    sequence: Scheduled
    stream: TextStream | None
    """Its text, where somebody reads it as it comes or it can stop a completion."""
    has_grammar: bool = False
    saved: tuple[list[int], list[float]] | None = None
    """Settings and counters at preemption."""
    places: deque[Place] = field(default_factory=deque)
    text: str = ""
    """Not handed out yet."""
    num_sent: int = 0
    logprobs: list[float] = field(default_factory=list)
    model_logprobs: list[float] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    forced: list[int] = field(default_factory=list)
    """Positions of forced tokens."""
    tops: list[tuple[TopLogprob, ...]] = field(default_factory=list)
    routes: list[np.ndarray] = field(default_factory=list)
    num_routes: int = 0
    message: Message | None = None
    """What its tokens spell, where that was found together with others'."""
    completion: Completion | None = None

    @property
    def is_watched(self) -> bool:
        """Whether every token is looked at."""
        return self.stream is not None or self.has_grammar

    def settle(self) -> None:
        """Takes what has been read from its ledgers."""
        while self.places:
            place = self.places[0]
            ledger, row = place.ledger, place.row
            first, place.num_taken = place.num_taken, ledger.num_dropped + len(ledger.entries)
            if first < place.num_taken:
                self._take(ledger.columns(first), row)
                for entry in ledger.entries[first - ledger.num_dropped :] if self.request.sampling.top_logprobs else ():
                    self._take_tops(entry, row)
            if len(self.places) == 1 or ledger.num_unread:
                return
            self.places.popleft()

    def _take(self, columns: Columns, row: int) -> None:
        start = len(self.logprobs)
        self.forced += [start + int(place) for place in columns.is_forced[:, row].nonzero()[0]]
        self.sequence.token_ids += columns.token_ids[:, row].tolist()
        self.logprobs += columns.logprobs[:, row].tolist()
        self.model_logprobs += columns.model_logprobs[:, row].tolist()
        self.versions += columns.versions
        if columns.routes is not None:
            self.add_routes(columns.routes[:, row], self.num_routes)

    def _take_tops(self, entry: Entry, row: int) -> None:
        if entry.top_ids is None or entry.top_logprobs is None:
            return
        count = self.request.sampling.top_logprobs
        pairs = zip(entry.top_ids[row, :count].tolist(), entry.top_logprobs[row, :count].tolist(), strict=True)
        self.tops.append(tuple(TopLogprob(token_id=token, logprob=logprob) for token, logprob in pairs))

    def add_routes(self, routes: np.ndarray, start: int) -> None:
        """Keeps the experts of tokens from `start` on; those of tokens computed once more are known already."""
        new = routes[self.num_routes - start :]
        if len(new):
            self.routes.append(new)
            self.num_routes += len(new)

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
        """Returns the completion; `dtype` is that of the logits, `version` that of the weights if nothing was drawn."""
        sequence = self.sequence
        tokens = sequence.token_ids[sequence.num_prompt :]
        mask = None
        if self.forced:
            mask = np.ones(len(tokens), dtype=bool)
            mask[self.forced] = False
        text = None if self.stream is None or reason != "stop_string" else self.stream.text
        versions = np.array(self.versions, dtype=np.int64)
        first = self.versions[0] if self.versions else version
        return Completion(
            prompt_ids=np.array(sequence.token_ids[: sequence.num_prompt], dtype=np.int64),
            token_ids=np.array(tokens, dtype=np.int64),
            logprobs=np.array(self.logprobs, dtype=dtype), model_logprobs=np.array(self.model_logprobs, dtype=dtype),
            stop_reason=reason, policy_version=first, mask=mask, expert_ids=self._expert_ids(),
            message=self._message(tokenizer, tokens) if text is None else message_of(tokenizer, text),
            token_versions=versions if (versions != first).any() else None,
            top_logprobs=tuple(self.tops), num_cached=sequence.num_reused, error=error,
        )  # fmt: skip

    def _message(self, tokenizer: Tokenizer, tokens: list[int]) -> Message:
        return decode_completion(tokenizer, tokens) if self.message is None else self.message

    def _expert_ids(self) -> np.ndarray | None:
        """Returns the experts of all tokens but the last, which was drawn and not computed."""
        if not self.routes:
            return None
        routes = np.concatenate(self.routes)
        length = len(self.sequence.token_ids) - 1
        return routes if len(routes) == length else routes[:length].copy()


@dataclass(frozen=True, kw_only=True)
class Launched:
    """A pass whose results are not read yet."""

    pending: Pending
    ledger: Ledger
    pieces: list[tuple[Piece, list[Tracker]]]
    """What the routes are of, and whose: the sequence's and its followers'; empty for a step."""
    version: int


def read_routes(routes: np.ndarray, pieces: Sequence[tuple[Piece, list[Tracker]]]) -> None:
    """Hands the routes of pieces to their sequences; followers begin with those of their leader."""
    start = 0
    for piece, (leader, *followers) in pieces:
        leader.add_routes(routes[start : start + piece.end - piece.start], piece.start)
        start += piece.end - piece.start
        for follower in followers:
            follower.routes, follower.num_routes = list(leader.routes), leader.num_routes


def decode_ended(trackers: list[Tracker], tokenizer: Tokenizer) -> None:
    """Finds the messages of requests whose last token has been read, all at once; texts that are watched are known."""
    ended = [t for t in trackers if not t.is_watched and not t.sequence.is_finished]
    for tracker in ended:
        tracker.settle()
    tokens = [tracker.sequence.token_ids[tracker.sequence.num_prompt :] for tracker in ended]
    for tracker, message in zip(ended, decode_completions(tokenizer, tokens), strict=True):
        tracker.message = message
