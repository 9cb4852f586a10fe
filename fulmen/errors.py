"""Errors a user can cause or meet; each message names the field, the value and what is allowed."""

from collections.abc import Mapping


class FulmenError(Exception):
    """Base of every error fulmen raises on purpose; the command line prints it in one line and exits with code 2."""


class ConfigError(FulmenError):
    """A setting, or a combination of settings, that cannot work."""


class DataError(FulmenError):
    """Input data (text, tokens, tasks, records) that does not have the promised form."""


class TaskError(DataError):
    """A task that its environment cannot check: another environment's, or one that lacks what the verifier needs."""


class VerifierError(FulmenError):
    """A verifier that broke, hung or was killed. Says nothing of the reply: the rollout is not scored."""


class JudgeError(FulmenError):
    """A judging model that could not be asked or understood. Says nothing of the reply."""


class SandboxError(FulmenError):
    """No isolation here, or it broke: says nothing of the program; names what was tried and what to install."""


class CheckpointError(FulmenError):
    """A checkpoint that is missing, incomplete, corrupted, or belongs to another configuration."""


class RunError(FulmenError):
    """A run folder that cannot be created, continued or read."""


class RunPaused(RunError):  # noqa: N818 - a request to look, not a failure
    """A run that a monitor stopped because a metric left its bounds; it can go on from its last checkpoint."""

    def __init__(self, message: str, *, metrics: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.metrics = dict(metrics or {})
        """Of the step that paused it, to be written down before the run ends."""
