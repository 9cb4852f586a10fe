"""AdamW with the report's constants, and the learning-rate schedule."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fulmen.errors import ConfigError


class AdamW(torch.optim.AdamW):
    """torch's AdamW with beta (0.9, 0.95) and eps 1e-15.

    Gradients in RL run from 1e-18 to 1e-5, most below 1e-14; the usual eps 1e-8 would stop those parameters without
    a word. Source: MiniMax-M1 report, section 3.2.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-15,
        weight_decay: float = 0.0,
    ) -> None:
        if lr < 0:
            raise ConfigError(f"lr={lr}; allowed: at least 0")
        super().__init__(parameters, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=True)

    def parts(self) -> dict[str, torch.optim.Optimizer]:
        """Returns the torch optimizers that hold the state."""
        return {"adamw": self}

    @property
    def lr(self) -> float:
        """The learning rate of every parameter group."""
        return self.param_groups[0]["lr"]

    def set_lr(self, lr: float) -> None:
        """Sets the learning rate of the next step."""
        for group in self.param_groups:
            group["lr"] = lr

    @property
    def eps(self) -> float:
        """The eps of every parameter group."""
        return self.param_groups[0]["eps"]


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Linear warm-up to `peak`, then linear decay that would reach `peak * final_frac` one step after the last.

    Raises: ConfigError for a negative field, or no steps.
    """

    peak: float
    """Highest learning rate."""
    num_steps: int
    """Steps in all; later ones have the final rate."""
    warmup_steps: int = 0
    """Steps until the peak, which the last of them has."""
    final_frac: float = 1.0
    """Final rate as a fraction of the peak; 1 keeps it constant."""

    def __post_init__(self) -> None:
        for name, least in (("peak", 0), ("num_steps", 1), ("warmup_steps", 0), ("final_frac", 0)):
            if not getattr(self, name) >= least:
                raise ConfigError(f"{name}={getattr(self, name)}; allowed: at least {least}")

    def lr(self, step: int) -> float:
        """Returns the learning rate of a step counted from 0."""
        if step < self.warmup_steps:
            return self.peak * (step + 1) / self.warmup_steps
        progress = min((step - self.warmup_steps) / max(self.num_steps - self.warmup_steps, 1), 1.0)
        return self.peak * (1.0 - (1.0 - self.final_frac) * progress)


def tiny_gradient_frac(parameters: Iterable[nn.Parameter], eps: float) -> Tensor:
    """Returns the share of gradient entries with |g| < eps: parameters that AdamW silently hardly moves."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    tiny = torch.stack([(gradient.abs() < eps).sum() for gradient in gradients]).sum()
    return tiny / sum(gradient.numel() for gradient in gradients)
