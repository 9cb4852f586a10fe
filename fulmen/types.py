"""Records that cross package boundaries, and the `Generate` protocol.

They hold text, numbers and numpy arrays only, so that environments, rewards and rollouts never import torch.
Axis suffixes: `T` tokens of all documents of a packed batch, `N` documents, `LK` MoE layers x experts per token.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

Role = Literal["system", "user", "assistant"]
StopReason = Literal["stop", "length", "repetition"]
Split = Literal["train", "heldout"]
ScoreStatus = Literal["ok", "policy_error", "truncated", "repetition", "invalid_verifier"]


@dataclass(frozen=True, kw_only=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str
    thinking: str = ""
    """Text between `<think>` and `</think>`; assistant turns only."""


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
        prompt = [{"role": m.role, "content": m.content, "thinking": m.thinking} for m in self.prompt]
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
        return cls(**{**record, "prompt": tuple(Message(**message) for message in record["prompt"])})


@dataclass(frozen=True, kw_only=True)
class Score:
    """What a verifier says of one completion. `None` is not zero: it means that nothing could be said."""

    value: float | None
    status: ScoreStatus = "ok"
    info: str = ""
    """Why, in a few words."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a completion is sampled. Defaults are those of RL rollouts (no truncation of the distribution)."""

    temperature: float = 1.0
    """Divides the logits; 0 takes the most probable token."""
    top_p: float = 1.0
    """Nucleus: the smallest set of most probable tokens whose mass reaches it; in (0, 1]."""
    max_tokens: int = 256
    """Longest completion, in tokens."""
    repetition_window: int = 3000
    """Generation halts after so many consecutive tokens above `repetition_p` (MiniMax-M1 report, section 4.2)."""
    repetition_p: float = 0.99
    """Probability, under the model before temperature and truncation, above which a token counts."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One completion asked of a `Generate`; the completion is a function of the request and the weights alone."""

    messages: tuple[Message, ...]
    sampling: Sampling
    seed: int
    """Key of the counter-based sampling noise."""


@dataclass(frozen=True, kw_only=True)
class Completion:
    """What the engine returns for one request."""

    prompt_ids: np.ndarray
    """int64 `[prompt tokens]`."""
    token_ids: np.ndarray
    """int64 `[completion tokens]`, the end token included when `stop_reason` is `stop`."""
    logprobs: np.ndarray
    """float32, of each completion token under the distribution it was sampled from."""
    stop_reason: StopReason
    message: Message
    """The completion as text, thinking and answer apart."""
    policy_version: int = 0
    """Number of weight updates before sampling."""
    expert_ids: np.ndarray | None = None
    """int8 `[prompt + completion - 1, LK]`, the experts each token was routed to, for routing replay."""


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


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """One scored attempt at a task."""

    task: Task
    completion: Completion
    score: Score


@dataclass(frozen=True, kw_only=True)
class RolloutGroup:
    """All attempts at one task that share a baseline."""

    task: Task
    rollouts: tuple[Rollout, ...]


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
    expert_ids_T_LK: np.ndarray | None = None
    """int8, recorded routing to replay."""


def content_hash(*parts: object) -> str:
    """Returns a 16-digit hexadecimal hash of JSON-able parts, equal on every machine and Python."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def stable_seed(*parts: object) -> int:
    """Returns a 63-bit seed made of JSON-able parts, equal on every machine and Python."""
    return int(content_hash(*parts), 16) >> 1
