"""AdamW with the report's constants, fp32 masters of half-precision weights, and the learning-rate schedule."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fulmen.errors import ConfigError


class Masters:
    """float32 copies of half-precision parameters, end to end in one tensor: what an optimizer moves in their place.

    A step of 1e-6 is lost in a bfloat16 weight of 1; it is kept here, and the weight is the rounded copy. Gradients of
    several backward passes are added up in float32 too. One tensor, so that a step is a handful of kernels.
    """

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self.parameters = list(parameters)
        self.flat = nn.Parameter(torch.cat([p.detach().flatten().float() for p in self.parameters]))
        self.gradient = torch.zeros_like(self.flat)
        """Where gradients are added up; it stays in its place."""
        self._sizes = [p.numel() for p in self.parameters]

    def views(self, flat: Tensor) -> list[Tensor]:
        """Returns the parts of a tensor laid out as `flat`, one per parameter, in its shape."""
        parts = flat.detach().split(self._sizes)
        return [part.view(p.shape) for part, p in zip(parts, self.parameters, strict=True)]

    @torch.no_grad()
    def gather(self) -> None:
        """Adds the parameters' gradients to `gradient`, and takes them from the parameters."""
        parts = [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in self.parameters]
        self.gradient.add_(torch.cat(parts))
        for p in self.parameters:
            p.grad = None

    def clear(self) -> None:
        """Begins a new sum of gradients."""
        self.flat.grad = self.gradient.zero_()

    @torch.no_grad()
    def scatter(self) -> None:
        """Rounds the masters into the parameters."""
        torch._foreach_copy_([p.detach() for p in self.parameters], self.views(self.flat))


class AdamW(torch.optim.AdamW):
    """torch's AdamW with beta (0.9, 0.95) and eps 1e-15; half-precision parameters are moved through fp32 masters.

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
        given = list(parameters)
        half = [p for p in given if p.dtype.itemsize < 4]
        self.masters = Masters(half) if half else None
        """Of the half-precision parameters, if there are any."""
        trained = [p for p in given if p.dtype.itemsize >= 4] + ([self.masters.flat] if self.masters else [])
        super().__init__(trained, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=True)

    def parts(self) -> dict[str, torch.optim.Optimizer]:
        """Returns the torch optimizers that hold the state."""
        return {"adamw": self}

    def trained(self) -> list[nn.Parameter]:
        """Returns what a step moves: parameters, or their masters."""
        return [p for group in self.param_groups for p in group["params"]]

    def gather(self) -> None:
        """Takes the gradients of a backward pass; a no-op without masters, where they stay in the parameters."""
        if self.masters is not None:
            self.masters.gather()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drops the gradients."""
        super().zero_grad(set_to_none)
        if self.masters is not None:
            for p in self.masters.parameters:
                p.grad = None
            self.masters.clear()

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Moves the parameters."""
        super().step(closure)
        if self.masters is not None:
            self.masters.scatter()

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
