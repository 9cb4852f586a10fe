"""Records that cross package boundaries, and the `Generate` protocol.

They hold text, numbers and numpy arrays only, so that environments, rewards and rollouts never import torch.
Axis suffixes: `T` tokens of all documents of a packed batch, `N` documents, `LK` MoE layers x experts per token.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from fulmen.errors import DataError

Role = Literal["system", "user", "assistant", "tool"]
StopReason = Literal["stop", "length", "repetition", "stop_string", "deadline", "cancelled", "error"]
Split = Literal["train", "heldout"]
ScoreStatus = Literal[
    "ok", "policy_error", "truncated", "repetition", "invalid_infra", "invalid_verifier", "invalid_judge"
]


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    """A function the assistant asks to be called."""

    name: str
    arguments: str
    """A JSON object, as text: what the model wrote, byte for byte."""
    call_id: str = ""
    """Which call a tool's answer belongs to; made by a server, not by the model."""


@dataclass(frozen=True, kw_only=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str
    thinking: str = ""
    """Text between `<think>` and `</think>`; assistant turns only."""
    tool_calls: tuple[ToolCall, ...] = ()
    """Assistant turns only."""
    name: str = ""
    """Tool turns: which tool answers."""
    call_id: str = ""
    """Tool turns: the call that is answered."""

    def to_json(self) -> dict[str, Any]:
        """Returns the message as a JSON object; fields that later versions added are left out while empty."""
        record: dict[str, Any] = {"role": self.role, "content": self.content, "thinking": self.thinking}
        if self.tool_calls:
            record["tool_calls"] = [dataclasses.asdict(call) for call in self.tool_calls]
        return record | {key: value for key, value in (("name", self.name), ("call_id", self.call_id)) if value}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Message":
        """Returns the message that `to_json` wrote."""
        calls = tuple(ToolCall(**call) for call in record.get("tool_calls", ()))
        return cls(**{**record, "tool_calls": calls})


@dataclass(frozen=True, kw_only=True)
class Task:
    """One problem with everything its verifier needs; survives a round trip through JSON."""

    task_id: str
    """Unique within (environment, settings): `<env>-<split>-<seed>-<index>`."""
    env: str
    """Name of the environment that made it and scores it."""
    prompt: tuple[Message, ...]
    gold: str
    """One right answer, in the answer grammar; others may be right too."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """What the checker needs beside the prompt; JSON values only."""
    content_hash: str = ""
    """Hash of the problem itself (not of its id); decides the split."""

    def to_json(self) -> dict[str, Any]:
        """Returns the task as a JSON object."""
        prompt = [message.to_json() for message in self.prompt]
        return {
            "task_id": self.task_id,
            "env": self.env,
            "prompt": prompt,
            "gold": self.gold,
            "meta": dict(self.meta),
            "content_hash": self.content_hash,
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Task":
        """Returns the task that `to_json` wrote."""
        return cls(**{**record, "prompt": tuple(map(Message.from_json, record["prompt"]))})


@dataclass(frozen=True, kw_only=True)
class Score:
    """What a verifier says of one completion. `None` is not zero: it means that nothing could be said."""

    value: float | None
    """None exactly with the statuses `invalid_...`: infrastructure, verifier or judge broke. Such a rollout is
    retried, then left out of its group's statistics and of the loss, and counted."""
    status: ScoreStatus = "ok"
    """`policy_error`: what the model wrote cannot be scored (form, compile error, time limit, wrong arguments); it
    trains like any other number."""
    info: str = ""
    """Why, in a few words."""
    parts: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Name to (value, weight) where the value is put together from several."""

    def __post_init__(self) -> None:
        if (self.value is None) != self.status.startswith("invalid"):
            raise DataError(f"Score: value={self.value}, status={self.status!r}; allowed: None with invalid_... alone")

    @property
    def is_valid(self) -> bool:
        """Whether something could be said of the rollout."""
        return self.value is not None


@dataclass(frozen=True, kw_only=True)
class Grammar:
    """What a completion's answer, after its thinking, must look like."""

    kind: Literal["json_schema", "regex", "lark"]
    source: str
    """The JSON schema, regular expression or grammar itself."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a completion is sampled. Defaults are those of RL rollouts (no truncation of the distribution).

    In this order: grammar and `min_tokens`, penalties, bias, temperature, top_k, top_p, min_p.
    """

    temperature: float = 1.0
    """Divides the logits; 0 takes the most probable token."""
    top_p: float = 1.0
    """Nucleus: the smallest set of most probable tokens whose mass reaches it; in (0, 1]."""
    top_k: int = 0
    """Keeps the so many most probable tokens; 0 keeps all."""
    min_p: float = 0.0
    """Drops tokens less probable than this times the most probable one; in [0, 1]."""
    presence_penalty: float = 0.0
    """Taken from the logit of every token that the completion already has; in [-2, 2]."""
    frequency_penalty: float = 0.0
    """Taken from a token's logit for each time the completion already has it; in [-2, 2]."""
    repetition_penalty: float = 1.0
    """Divides positive logits of tokens that prompt or completion already have, multiplies negative ones; above 0."""
    logit_bias: tuple[tuple[int, float], ...] = ()
    """(token, added to its logit) pairs."""
    max_tokens: int = 256
    """Longest completion, in tokens."""
    min_tokens: int = 0
    """The end token cannot be drawn before so many tokens."""
    stop: tuple[str, ...] = ()
    """Texts that end the completion; the text before the first of them is the answer."""
    thinking_budget: int | None = None
    """Tokens of thinking after which its end is forced; None is no bound."""
    repetition_window: int = 3000
    """Generation halts after so many consecutive tokens above `repetition_p` (MiniMax-M1 report, section 4.2)."""
    repetition_p: float = 0.99
    """Probability, under the model before temperature and truncation, above which a token counts."""
    top_logprobs: int = 0
    """Most probable tokens, under the model, to report at every position; at most 20."""
    grammar: Grammar | None = None
    deadline_s: float | None = None
    """Seconds from submission after which generation stops; None is no bound."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One completion asked of a `Generate`; the completion is a function of the request and the weights alone."""

    messages: tuple[Message, ...] = ()
    sampling: Sampling
    seed: int
    """Key of the counter-based sampling noise."""
    prompt_ids: tuple[int, ...] | None = None
    """The prompt as tokens, in place of `messages`."""
    tools: tuple[Mapping[str, Any], ...] = ()
    """Functions the prompt says may be called, as OpenAI's clients write them."""


@dataclass(frozen=True, kw_only=True)
class TopLogprob:
    """A token that could have been drawn."""

    token_id: int
    logprob: float
    """Under the model itself."""


@dataclass(frozen=True, kw_only=True)
class Completion:
    """What the engine returns for one request."""

    prompt_ids: np.ndarray
    """int64 `[prompt tokens]`."""
    token_ids: np.ndarray
    """int64 `[completion tokens]`, the end token included when `stop_reason` is `stop`."""
    logprobs: np.ndarray
    """float32, of each completion token under the distribution it was sampled from; 0 where it was forced."""
    stop_reason: StopReason
    message: Message
    """The completion as text, thinking and answer apart."""
    policy_version: int = 0
    """Number of weight updates before sampling began."""
    expert_ids: np.ndarray | None = None
    """int8 (int16 beyond 128 experts) `[prompt + completion - 1, LK]`, the experts each token was routed to, for
    routing replay."""
    model_logprobs: np.ndarray | None = None
    """float32, of each completion token under the model itself: no temperature, penalty or truncation."""
    mask: np.ndarray | None = None
    """bool, False where a token was forced (end of a thinking budget) and not drawn; None when all were drawn."""
    token_versions: np.ndarray | None = None
    """int64, weight version that each token was drawn with; None when all are `policy_version`."""
    top_logprobs: tuple[tuple[TopLogprob, ...], ...] = ()
    """The most probable tokens at each position, most probable first; empty unless asked for."""
    num_cached: int = 0
    """Prompt tokens whose keys, values and states were already there."""
    error: str = ""
    """What went wrong, when `stop_reason` is `error`."""


@dataclass(frozen=True, kw_only=True)
class Partial:
    """A completion that was interrupted before its end: any engine goes on with it, under the weights it has then.

    What was drawn stays as it was drawn, token by token: log-probabilities, versions, experts.
    """

    request: Request
    prompt_ids: np.ndarray
    """int64 `[prompt tokens]`; they are not made of the messages again."""
    token_ids: np.ndarray
    """int64, drawn so far; none if the request was still waiting."""
    logprobs: np.ndarray
    """As in `Completion`, like `model_logprobs`."""
    model_logprobs: np.ndarray
    token_versions: np.ndarray
    """int64, weight version that each token was drawn with."""
    forced: np.ndarray
    """int64, places of tokens that were forced."""
    expert_ids: np.ndarray | None = None
    """`[tokens computed so far, LK]`, the experts of prompt and completion."""
    counters: Mapping[str, int] = field(default_factory=dict)
    """What the engine counts beside the tokens: consecutive sure ones, tokens of thinking. Empty before the first."""
    top_logprobs: tuple[tuple[TopLogprob, ...], ...] = ()
    num_cached: int = 0
    """Prompt tokens that did not have to be computed the first time."""


@dataclass(frozen=True, kw_only=True)
class Delta:
    """What one step of an engine added to one request."""

    request_id: int
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    """Of these tokens under the model itself."""
    top_logprobs: tuple[tuple[TopLogprob, ...], ...] = ()
    text: str = ""
    """What can be shown now: whole characters only, nothing that may become a stop string. Structural tokens are
    written out, the end token is not."""
    completion: Completion | None = None
    """The whole completion, with the last of a request's deltas."""


@runtime_checkable
class Generate(Protocol):
    """Anything that completes conversations: an engine in process, a server, a recording."""

    def __call__(
        self, requests: Sequence[Request], *, on_finish: Callable[[int], None] | None = None
    ) -> list[Completion]:
        """Returns one completion per request, in the order of the requests.

        `on_finish` is called with the number of completion tokens each time a completion ends (for progress bars).
        """
        ...


@runtime_checkable
class Resumable(Generate, Protocol):
    """A `Generate` that also goes step by step, and can be interrupted between two steps."""

    @property
    def has_work(self) -> bool:
        """Whether a request is waiting or running, or has ended without anybody having been told."""
        ...

    def submit(self, request: Request | Partial, *, has_text: bool = True) -> int:
        """Puts a request in the queue, or one that was interrupted; returns the id that its deltas carry.

        Without `has_text` there are no deltas but the last.
        """
        ...

    def step(self) -> list[Delta]:
        """Draws a token for each running request; returns what is new."""
        ...

    def interrupt(self) -> dict[int, Completion | Partial]:
        """Takes every request out and returns, by id, what each has come to; nothing of them is left in the engine."""
        ...


class Complete(Protocol):
    """One completion at a time, awaited: what an episode of several turns is handed."""

    async def __call__(self, request: Request) -> Completion:
        """Returns the completion of a request."""
        ...


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """Which attempt at a task this is, and how it samples."""

    sampling: Sampling
    seed: int
    """Of the run."""
    index: int
    """Place in the group."""

    def request(
        self, task: Task, messages: Sequence[Message], *, turn: int = 0, tools: Sequence[Mapping[str, Any]] = ()
    ) -> Request:
        """Returns the request of a turn; its noise depends on (run seed, task id, attempt, turn) alone."""
        parts = (self.seed, task.task_id, self.index) if turn == 0 else (self.seed, task.task_id, self.index, turn)
        return Request(messages=tuple(messages), sampling=self.sampling, seed=stable_seed(*parts), tools=tuple(tools))


@dataclass(frozen=True, kw_only=True)
class Episode:
    """What happened in one attempt at a task, not scored yet."""

    completions: tuple[Completion, ...]
    """Of the policy, one per turn; at least one."""
    messages: tuple[Message, ...] = ()
    """The whole conversation, prompt included; empty where one reply is all."""
    state: Mapping[str, Any] = field(default_factory=dict)
    """What the scorer needs beside it; JSON values only."""

    @property
    def reply(self) -> Message:
        """The last message of the policy."""
        return self.completions[-1].message


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """One scored attempt at a task."""

    task: Task
    completion: Completion
    """Of the last turn."""
    score: Score
    earlier: tuple[Completion, ...] = ()
    """Completions of the turns before."""

    @property
    def completions(self) -> tuple[Completion, ...]:
        """One per turn, in order."""
        return (*self.earlier, self.completion)

    @property
    def num_tokens(self) -> int:
        """Tokens of all its completions."""
        return sum(len(completion.token_ids) for completion in self.completions)


@dataclass(frozen=True, kw_only=True)
class RolloutGroup:
    """All attempts at one task that share a baseline."""

    task: Task
    rollouts: tuple[Rollout, ...]
    num_lost: int = 0
    """Attempts that could not be played: infrastructure broke each time."""

    @property
    def num_valid(self) -> int:
        """Attempts with a score."""
        return sum(rollout.score.is_valid for rollout in self.rollouts)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Packed documents for one optimizer step; position t predicts `target_ids_T[t]`."""

    token_ids_T: np.ndarray
    target_ids_T: np.ndarray
    cu_seqlens: np.ndarray
    """int64 `[N + 1]`, document borders, from 0 to T."""
    mask_T: np.ndarray
    """bool, True where the target is trained."""
    token_weights_T: np.ndarray
    """float32, weight of each trained token; set once for the whole step, so no loss depends on micro-batches."""
    old_logprobs_T: np.ndarray | None = None
    """float32, of the targets under the sampling policy."""
    advantages_T: np.ndarray | None = None
    """float32."""
    ref_logprobs_T: np.ndarray | None = None
    """float32, of the targets under a reference policy."""
    expert_ids_T_LK: np.ndarray | None = None
    """int8, recorded routing to replay."""


def content_hash(*parts: object) -> str:
    """Returns a 16-digit hexadecimal hash of JSON-able parts, equal on every machine and Python."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def stable_seed(*parts: object) -> int:
    """Returns a 63-bit seed made of JSON-able parts, equal on every machine and Python."""
    return int(content_hash(*parts), 16) >> 1
