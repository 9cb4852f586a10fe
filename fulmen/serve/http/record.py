"""Completions written down for a trainer: `X-Fulmen-Rollout: ID` makes any OpenAI client's requests trainable."""

import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fulmen.errors import ConfigError
from fulmen.serve.http.errors import ApiError

FILE_NAME = "rollouts.jsonl"
HEADER = "X-Fulmen-Rollout"
MAX_ID = 200


class Recorder:
    """Appends lines to `rollouts.jsonl` in a folder; each call writes whole lines or, on a full disk, fails."""

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(folder / FILE_NAME, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        except OSError as error:
            raise ConfigError(f"record_dir={folder}: {error}; allowed: a folder that can be written") from error
        self._lock = threading.Lock()

    def append(self, records: Sequence[dict[str, Any]]) -> None:
        """Writes one line per record; a line cut short by a full disk is taken back.

        Raises: ApiError when it could not be written.
        """
        data = "".join(json.dumps(record, allow_nan=False) + "\n" for record in records).encode()
        with self._lock:
            before = os.fstat(self._file).st_size
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(self._file, rest) :]
            except OSError as error:
                os.ftruncate(self._file, before)
                raise ApiError(500, f"the rollout could not be recorded ({error.strerror})", code="record") from error

    def close(self) -> None:
        """Closes the file."""
        os.close(self._file)


def check_rollout_id(value: str | None, recorder: Recorder | None) -> str | None:
    """Returns the rollout's id, or None when none is asked for.

    Raises: ApiError for an id that cannot be, or a server that does not record.
    """
    if value is None:
        return None
    if recorder is None:
        raise ApiError(400, f"{HEADER} is given, but this server records nothing; allowed: with --record-dir")
    if not (0 < len(value) <= MAX_ID and value.isascii() and value.isprintable()):
        raise ApiError(400, f"{HEADER} of {len(value)} characters; allowed: 1 to {MAX_ID} printable ASCII characters")
    return value
