"""One optimizer step from one batch; the loss comes in as a value.

Axes: `T` tokens of all documents of a micro-batch, `M` trained tokens among them (as rows `[1, M]` for the loss).
"""

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from fulmen.errors import DataError
from fulmen.kernels.logprob import token_logprobs
from fulmen.model import Model
from fulmen.train.optim import AdamW, tiny_gradient_frac
from fulmen.types import Batch


@dataclass(frozen=True, kw_only=True)
class LossOutput:
    """What a loss returns."""

    loss: Tensor
    """Scalar; the sum over tokens of weight * term, so that micro-batches add up."""
    tokens: Mapping[str, Tensor] = field(default_factory=dict)
    """Detached per-token quantities `[B, T]` for metrics, such as `ratio` and `weight`."""


class Loss(Protocol):
    """A policy or likelihood loss over aligned `[B, T]` tensors; settings are bound with functools.partial."""

    def __call__(
        self, logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, mask: Tensor, *, token_weights: Tensor
    ) -> LossOutput:
        """Returns the loss and its per-token quantities."""
        ...


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """What one optimizer step did."""

    metrics: dict[str, float]
    tokens: dict[str, np.ndarray]
    """Quantities of the trained tokens, in batch order: target_ids, logprobs, entropy, and the loss's own."""


class Trainer:
    """Holds a model and its optimizer; `step` turns a batch and a loss into one update."""

    def __init__(
        self,
        model: Model,
        optimizer: AdamW,
        *,
        clip_norm: float = 1.0,
        balance_coefficient: float = 0.0,
        micro_batch_tokens: int = 4096,
    ) -> None:
        self.model, self.optimizer = model, optimizer
        self.clip_norm, self.balance_coefficient = clip_norm, balance_coefficient
        self.micro_batch_tokens = micro_batch_tokens

    def step(self, batch: Batch, loss: Loss, *, lr: float | None = None) -> StepResult:
        """Returns metrics of one update; gradients do not depend on how the batch is cut into micro-batches.

        Raises: DataError when no token of the batch is trained.
        """
        if not batch.mask_T.any():
            raise DataError("a batch without trained tokens; allowed: at least one True in mask_T")
        if lr is not None:
            self.optimizer.set_lr(lr)
        total_loss, balance = 0.0, 0.0
        tokens: dict[str, list[np.ndarray]] = defaultdict(list)
        for micro in split_batch(batch, self.micro_batch_tokens):
            share = len(micro.token_ids_T) / len(batch.token_ids_T)
            output, micro_tokens, balance_loss = self._forward(micro, loss)
            (output.loss + self.balance_coefficient * share * balance_loss).backward()
            total_loss += output.loss.item()
            balance += share * balance_loss.item()
            for name, values in micro_tokens.items():
                tokens[name].append(values)
        parameters = list(self.model.parameters())
        tiny = tiny_gradient_frac(parameters, self.optimizer.eps)
        grad_norm = nn.utils.clip_grad_norm_(parameters, self.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        metrics = {
            "loss": total_loss,
            "balance_loss": balance,
            "grad_norm": float(grad_norm),
            "tiny_grad_frac": float(tiny),
            "lr": float(self.optimizer.param_groups[0]["lr"]),
            "num_tokens": float(len(batch.token_ids_T)),
        }
        return StepResult(metrics=metrics, tokens={name: np.concatenate(parts) for name, parts in tokens.items()})

    def _forward(self, micro: Batch, loss: Loss) -> tuple[LossOutput, dict[str, np.ndarray], Tensor]:
        device = self.model.lm_head.weight.device
        mask_T = torch.from_numpy(micro.mask_T).to(device)
        routes = micro.expert_ids_T_LK
        encoded = self.model.encode(
            torch.from_numpy(micro.token_ids_T)[None].to(device),
            cu_seqlens=torch.from_numpy(micro.cu_seqlens).to(device),
            expert_ids=None if routes is None else torch.from_numpy(routes)[None].to(device),
        )
        trained = mask_T.nonzero().squeeze(1)
        targets_M = torch.from_numpy(micro.target_ids_T).to(device)[trained]
        logprob_M, entropy_M = token_logprobs(encoded.hidden[0, trained], self.model.lm_head.weight, targets_M)
        detached = logprob_M.detach()

        def row(values: np.ndarray | None, default: Tensor) -> Tensor:
            chosen = default if values is None else torch.from_numpy(values).to(device)[trained].to(default.dtype)
            return chosen[None]

        output = loss(
            logprob_M[None],
            row(micro.old_logprobs_T, detached),
            row(micro.advantages_T, torch.ones_like(detached)),
            torch.ones_like(targets_M, dtype=torch.bool)[None],
            token_weights=row(micro.token_weights_T, detached),
        )
        quantities = {"target_ids": targets_M, "logprobs": detached, "entropy": entropy_M}
        quantities |= {name: values[0] for name, values in output.tokens.items()}
        return output, {name: values.cpu().numpy() for name, values in quantities.items()}, encoded.balance_loss


def split_batch(batch: Batch, max_tokens: int) -> Iterator[Batch]:
    """Yields the batch in pieces of whole documents, each of at most `max_tokens` unless one document is longer."""
    borders = batch.cu_seqlens
    first, num_documents = 0, len(borders) - 1
    while first < num_documents:
        last = first + 1
        while last < num_documents and borders[last + 1] - borders[first] <= max_tokens:
            last += 1
        span = slice(int(borders[first]), int(borders[last]))
        pieces = {
            f.name: getattr(batch, f.name)[span]
            for f in dataclasses.fields(batch)
            if f.name != "cu_seqlens" and getattr(batch, f.name) is not None
        }
        yield Batch(cu_seqlens=borders[first : last + 1] - borders[first], **pieces)
        first = last
