"""Muon for the matrices of a model, AdamW for the rest: fast supervised learning from scratch.

Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024); torch's own `optim.Muon`
takes 2-D matrices only, while expert weights are stacks `[E, F, D]`. RL uses AdamW, as the report does.
"""

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from fulmen.errors import ConfigError
from fulmen.train.optim import AdamW

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic iteration that pushes all singular values towards 1."""


class Muon:
    """Steps hidden matrices along their orthogonalised momentum, everything else by AdamW.

    `named_parameters` are split by name and shape: embeddings, head, router and vectors go to AdamW.
    """

    def __init__(
        self,
        named_parameters: Iterable[tuple[str, nn.Parameter]],
        *,
        lr: float,
        matrix_lr_ratio: float = 3.0,
        momentum: float = 0.95,
    ) -> None:
        """`lr` is AdamW's; a matrix moves by `lr * matrix_lr_ratio` in spectral norm per step."""
        if matrix_lr_ratio <= 0:
            raise ConfigError(f"matrix_lr_ratio={matrix_lr_ratio}; allowed: above 0")
        named = list(named_parameters)
        self._trained = [p for _, p in named]
        matrices = [p for name, p in named if is_hidden_matrix(name, p)]
        others = [p for name, p in named if not is_hidden_matrix(name, p)]
        self.matrix_lr_ratio = matrix_lr_ratio
        self.matrices = MatrixMuon(matrices, lr=lr * matrix_lr_ratio, momentum=momentum)
        self.others = AdamW(others, lr=lr)
        if self.others.masters is not None:
            raise ConfigError("Muon: half-precision parameters; allowed: float32, AdamW has masters for the others")

    @property
    def eps(self) -> float:
        """AdamW's eps."""
        return self.others.eps

    @property
    def lr(self) -> float:
        """AdamW's learning rate."""
        return self.others.lr

    def parts(self) -> dict[str, torch.optim.Optimizer]:
        """Returns the torch optimizers that hold the state."""
        return {"muon": self.matrices, "adamw": self.others}

    def trained(self) -> list[nn.Parameter]:
        """Returns what a step moves, in the order given."""
        return self._trained

    def gather(self) -> None:
        """Takes the gradients of a backward pass: they stay in the parameters."""

    def set_lr(self, lr: float) -> None:
        """Sets the learning rate of the next step; the matrices' follows in proportion."""
        self.others.set_lr(lr)
        for group in self.matrices.param_groups:
            group["lr"] = lr * self.matrix_lr_ratio

    def step(self) -> None:
        """Applies one update."""
        self.matrices.step()
        self.others.step()

    def zero_grad(self, *, set_to_none: bool = True) -> None:
        """Drops the gradients."""
        self.matrices.zero_grad(set_to_none=set_to_none)
        self.others.zero_grad(set_to_none=set_to_none)


def is_hidden_matrix(name: str, parameter: Tensor) -> bool:
    """Returns True for weights inside the blocks that map activations to activations; the router chooses, it is not."""
    return name.startswith("layers.") and parameter.ndim >= 2 and not name.endswith("block_sparse_moe.gate.weight")


class MatrixMuon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised; stacks of matrices are treated matrix by matrix."""

    def __init__(self, parameters: Iterable[nn.Parameter], *, lr: float, momentum: float) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Applies W <- W - lr sqrt(max(1, rows / columns)) orthogonalise(momentum)."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape[parameter.shape[-2:]].append(parameter)
            for (rows, columns), parameters in by_shape.items():
                directions = torch.cat(
                    [self._direction(p, group["momentum"]).reshape(-1, rows, columns) for p in parameters]
                )
                updates = orthogonalise(directions).split([p.numel() // (rows * columns) for p in parameters])
                scale = group["lr"] * max(1.0, rows / columns) ** 0.5
                for parameter, update in zip(parameters, updates, strict=True):
                    parameter.sub_(update.reshape(parameter.shape), alpha=scale)

    def _direction(self, parameter: nn.Parameter, momentum: float) -> Tensor:
        gradient = parameter.grad
        assert gradient is not None, "only parameters with gradients are stepped"
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].lerp_(gradient, 1 - momentum)
        return gradient.lerp(state["momentum"], momentum)


def orthogonalise(matrices: Tensor, *, num_iterations: int = 5) -> Tensor:
    """Returns U V^T of each matrix `[N, rows, columns]` approximately (singular values within about 0.7 to 1.2)."""
    a, b, c = NEWTON_SCHULZ
    is_tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.transpose(-1, -2) if is_tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-12)
    for _ in range(num_iterations):
        gram = x @ x.transpose(-1, -2)
        x = torch.baddbmm(x, b * gram + c * (gram @ gram), x, beta=a)
    return x.transpose(-1, -2) if is_tall else x
