"""Groups that were begun and not trained yet: what goes from one generation batch to the next, and to a checkpoint.

Nothing of an episode in progress is kept but what its policy said. To go on, the episode is played again from its
beginning, and what it asks for is answered from the record as far as that reaches; so tools run once more. An
environment that asks otherwise the second time simply goes on from there.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from safetensors import SafetensorError
from safetensors.numpy import load, save

from fulmen.errors import CheckpointError, DataError
from fulmen.rollout.codec import decode, encode
from fulmen.run import write_json
from fulmen.types import Completion, Partial, Request, Rollout, Sampling, Task, content_hash

RECORDS, ARRAYS = "backlog.json", "backlog.safetensors"
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class OpenAttempt:
    """What one attempt has come to."""

    rollout: Rollout | None = None
    """Once it is over and scored."""
    is_lost: bool = False
    """Over, and could not be played."""
    completions: Mapping[str, Completion] = field(default_factory=dict)
    """Of an attempt that goes on, by `request_key`."""
    partials: tuple[Partial, ...] = ()
    """Completions that were interrupted."""


@dataclass(frozen=True, kw_only=True)
class OpenGroup:
    """A group that was begun and not trained yet; all attempts are over where it is surplus of its batch."""

    index: int
    """Of the task in its stream."""
    task: Task
    sampling: Sampling
    """That the group began with: it keeps it to its end."""
    seed: int
    age: int = 0
    """Generation batches trained since it was begun."""
    attempts: tuple[OpenAttempt, ...]


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """What one generation batch leaves to the next."""

    groups: tuple[OpenGroup, ...] = ()
    """Oldest first."""
    policy_version: int = 0
    """Of the weights that it was left by."""

    def save(self, folder: Path) -> None:
        """Writes two files into an existing folder, such as one that `write_folder` is filling."""
        arrays: dict[str, object] = {}
        record = encode(self, arrays)  # type: ignore[arg-type]
        data = save(arrays)  # type: ignore[arg-type]
        (folder / ARRAYS).write_bytes(data)
        head = {"format": FORMAT, "arrays": hashlib.blake2b(data).hexdigest(), "hash": content_hash(record)}
        write_json(folder / RECORDS, {**head, "backlog": record})

    @classmethod
    def load(cls, folder: Path) -> "Backlog":
        """Returns the backlog that `save` wrote.

        Raises: CheckpointError naming the file that is missing or damaged.
        """
        path = folder / RECORDS
        try:
            content = json.loads(path.read_text())
            record = content["backlog"]
            if content["format"] != FORMAT or content["hash"] != content_hash(record):
                raise ValueError("its content is not what was written")
            path = folder / ARRAYS
            data = path.read_bytes()
            if hashlib.blake2b(data).hexdigest() != content["arrays"]:
                raise ValueError(f"its content is not what {RECORDS} says")
            backlog: Backlog = decode(cls, record, load(data))
        except (OSError, SafetensorError, ValueError, KeyError, TypeError, DataError) as error:
            raise CheckpointError(f"{path}: unreadable ({error}); allowed: what a checkpoint of this run wrote") from (
                error
            )
        return dataclasses.replace(backlog, groups=tuple(map(_join_tasks, backlog.groups)))


def _join_tasks(group: OpenGroup) -> OpenGroup:
    """Returns the group with one task for all its rollouts, as it was before it was written."""
    attempts = [
        attempt
        if attempt.rollout is None
        else dataclasses.replace(attempt, rollout=dataclasses.replace(attempt.rollout, task=group.task))
        for attempt in group.attempts
    ]
    return dataclasses.replace(group, attempts=tuple(attempts))


def request_key(request: Request) -> str:
    """Returns a hash of all that a completion depends on but the weights."""
    return content_hash(encode(request, {}))
