"""Inputs and references that the tests of the Triton kernels share: under the interpreter, and on a device."""

from dataclasses import dataclass

import torch
from torch import Tensor

from fulmen.kernels.lightning.naive import naive_lightning

Gradients = tuple[Tensor, Tensor, Tensor, Tensor]


@dataclass(frozen=True, kw_only=True)
class Case:
    """q, k, v `[T, H, D]` (through SiLU, as the model has them), states, cotangents, slopes and document borders."""

    q: Tensor
    k: Tensor
    v: Tensor
    state: Tensor
    d_output: Tensor
    d_state: Tensor
    slope: Tensor
    borders: tuple[int, ...]

    def leaves(self) -> Gradients:
        """Returns fresh leaves that take gradients."""
        q, k, v, state = (x.detach().clone().requires_grad_() for x in (self.q, self.k, self.v, self.state))
        return q, k, v, state


@dataclass(frozen=True, kw_only=True)
class Values:
    """Outputs, final states and all gradients, by name."""

    output: Tensor
    state: Tensor
    dq: Tensor
    dk: Tensor
    dv: Tensor
    d_initial: Tensor

    def items(self) -> list[tuple[str, Tensor]]:
        """Returns names and tensors."""
        return list(vars(self).items())


def make_case(
    borders: tuple[int, ...],
    slope: Tensor,
    width: int,
    *,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    seed: int = 0,
) -> Case:
    """Returns random inputs for documents with these borders."""
    generator = torch.Generator(device=device).manual_seed(seed)
    num_heads, num_tokens, num_documents = slope.shape[0], borders[-1], len(borders) - 1

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, device=device)

    q, k, v = (torch.nn.functional.silu(draw(num_tokens, num_heads, width)).to(dtype) for _ in range(3))
    states = (num_documents, num_heads, width, width)
    return Case(
        q=q, k=k, v=v, state=4 * draw(*states), d_output=draw(num_tokens, num_heads, width).to(dtype),
        d_state=draw(*states), slope=slope.to(device), borders=borders,
    )  # fmt: skip


def exact(case: Case) -> Values:
    """Returns the recurrence in float64, gradients by autograd."""
    leaves = tuple(x.detach().double().requires_grad_() for x in (case.q, case.k, case.v, case.state))
    cu_seqlens = torch.tensor(case.borders, device=case.q.device)
    output, state = naive_lightning(*leaves[:3], case.slope.double(), cu_seqlens, leaves[3])
    gradients = torch.autograd.grad((output, state), leaves, (case.d_output.double(), case.d_state.double()))
    return values(output, state, gradients)


def exact_fast(case: Case) -> Values:
    """Returns the closed masked sum in float64 for one document: no loop over tokens, so fit for a device."""
    assert len(case.borders) == 2, "one document"
    leaves = tuple(x.detach().double().requires_grad_() for x in (case.q, case.k, case.v, case.state))
    output, state = closed_form(leaves[0], leaves[1], leaves[2], case.slope, leaves[3][0])
    gradients = torch.autograd.grad((output, state[None]), leaves, (case.d_output.double(), case.d_state.double()))
    return values(output, state[None], gradients)


def closed_form(q: Tensor, k: Tensor, v: Tensor, slope: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Returns o_t = e^(-s(t+1)) q_t S_0 + sum_(j<=t) e^(-s(t-j)) (q_t . k_j) v_j and the last state, all float64."""
    length, rate_H1 = q.shape[0], slope.double()[:, None]
    t = torch.arange(length, device=q.device, dtype=torch.float64)
    gap = t[:, None] - t
    decay = torch.where(gap >= 0, torch.exp(-rate_H1[..., None] * gap.clamp(min=0)), 0.0)
    scores = torch.einsum("thk,jhk->htj", q, k) * decay
    started = torch.einsum("thk,hkv->thv", q, state) * torch.exp(-rate_H1 * (t + 1)).T[..., None]
    output = torch.einsum("htj,jhv->thv", scores, v) + started
    weight_HT = torch.exp(-rate_H1 * (length - 1 - t))
    last = torch.einsum("ht,thk,thv->hkv", weight_HT, k, v) + torch.exp(-rate_H1[..., None] * length) * state
    return output, last


def values(output: Tensor, state: Tensor, gradients: tuple[Tensor, ...]) -> Values:
    """Returns results without their graph."""
    dq, dk, dv, d_initial = gradients
    return Values(output=output.detach(), state=state.detach(), dq=dq, dk=dk, dv=dv, d_initial=d_initial)


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """Returns |actual - expected| / |expected|; NaN counts as infinite."""
    error = (actual.double() - expected).norm() / expected.norm()
    return float("inf") if bool(error.isnan()) else error.item()
