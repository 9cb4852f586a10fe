"""One optimizer step from one batch; the loss comes in as a value.

Axes: `T` tokens of all documents of a micro-batch, `M` trained tokens among them (as rows `[1, M]` for the loss).
"""

import dataclasses
import functools
import math
import time
import traceback
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from fulmen.errors import ConfigError, DataError, RunError
from fulmen.kernels.attention import SHORT_MAX
from fulmen.kernels.logprob import token_logprobs
from fulmen.model import Model
from fulmen.model.flops import mfu, training_flops
from fulmen.model.layout import Layout
from fulmen.model.moe import max_violation
from fulmen.model.mtp import shift
from fulmen.model.transformer import Hidden
from fulmen.train.arrange import arrange, shape_for
from fulmen.train.gradients import Magnitudes, gradient_magnitudes
from fulmen.train.graphs import PassGraphs, is_capturable, replay
from fulmen.train.muon import Muon
from fulmen.train.optim import AdamW, tiny_gradient_frac
from fulmen.types import Batch


@dataclass(frozen=True, kw_only=True)
class LossOutput:
    """What a loss returns."""

    loss: Tensor
    """Scalar; the sum over tokens of weight * term, so that micro-batches add up."""
    tokens: Mapping[str, Tensor] = field(default_factory=dict)
    """Detached per-token quantities `[B, T]` for metrics, such as `log_ratio` and `weight`."""


@runtime_checkable
class Loss(Protocol):
    """A policy or likelihood loss over aligned `[B, T]` tensors; settings are bound with functools.partial."""

    def __call__(
        self,
        logprobs_B_T: Tensor,
        old_logprobs_B_T: Tensor,
        advantages_B_T: Tensor,
        mask_B_T: Tensor,
        *,
        token_weights_B_T: Tensor,
        document_ids_B_T: Tensor | None = None,
        ref_logprobs_B_T: Tensor | None = None,
    ) -> LossOutput:
        """Returns the loss and its per-token quantities.

        `document_ids_B_T` says which tokens are of one document, `ref_logprobs_B_T` is of a reference policy.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """What one optimizer step did."""

    metrics: dict[str, float]
    tokens: dict[str, np.ndarray]
    """Quantities of the trained tokens, in batch order: target_ids, logprobs, entropy, and the loss's own."""
    is_skipped: bool = False
    """The loss or the gradient was not finite: weights and optimizer are as before."""
    magnitudes: Magnitudes | None = None
    """Of the clipped gradient, where they were asked for."""


@dataclass(frozen=True, kw_only=True)
class _Passes:
    """What the micro-batches of a step gave beside their gradients, still on the device."""

    losses: list[Tensor] = field(default_factory=list)
    balances: list[tuple[float, Tensor]] = field(default_factory=list)
    mtp_losses: list[Tensor] = field(default_factory=list)
    loads: list[Tensor] = field(default_factory=list)
    tokens: dict[str, list[Tensor]] = field(default_factory=lambda: defaultdict(list))


class Trainer:
    """Holds a model and its optimizer; `step` turns a batch and a loss into one update.

    `clip_norm` bounds the norm of the whole gradient, `micro_batch_tokens` the tokens of one backward pass.
    `mtp_coefficient` weighs the cross-entropy of the model's MTP modules (DeepSeek-V3: 0.3, later 0.1), and
    `router_bias_rate` is the step of the routers' biases towards even load (DeepSeek-V3: 0.001).
    `vocab_size` is the tokenizer's where the head is padded beyond it: the engine never samples the padding, so
    probabilities that include it would be of another distribution.
    A step whose loss or gradient is not finite is skipped; after `max_skipped` of them in a row no further one is
    begun. Where memory runs out, `micro_batch_tokens` is halved for good and the step done again.

    Raises: ConfigError for settings out of range.
    """

    def __init__(
        self,
        model: Model,
        optimizer: AdamW | Muon,
        *,
        clip_norm: float = 1.0,
        balance_coefficient: float = 0.0,
        mtp_coefficient: float = 0.0,
        router_bias_rate: float = 0.0,
        micro_batch_tokens: int = 4096,
        vocab_size: int | None = None,
        max_skipped: int = 3,
    ) -> None:
        num_rows = model.config.vocab_size
        self.vocab_size = num_rows if vocab_size is None else vocab_size
        for name, value, is_right, allowed in (
            ("clip_norm", clip_norm, clip_norm > 0, "above 0; inf switches clipping off"),
            ("balance_coefficient", balance_coefficient, balance_coefficient >= 0, "at least 0"),
            ("mtp_coefficient", mtp_coefficient, mtp_coefficient >= 0, "at least 0"),
            (
                "mtp_coefficient",
                mtp_coefficient,
                not mtp_coefficient or model.config.mtp_depth,
                "0 without MTP modules",
            ),
            ("router_bias_rate", router_bias_rate, router_bias_rate >= 0, "at least 0"),
            (
                "router_bias_rate",
                router_bias_rate,
                not router_bias_rate or model.config.router.has_bias,
                "0 for routers without a bias",
            ),
            ("micro_batch_tokens", micro_batch_tokens, micro_batch_tokens >= 1, "at least 1"),
            ("max_skipped", max_skipped, max_skipped >= 1, "at least 1"),
            ("vocab_size", self.vocab_size, 1 <= self.vocab_size <= num_rows, f"from 1 to the head's {num_rows}"),
        ):
            if not is_right:
                raise ConfigError(f"{name}={value}; allowed: {allowed}")
        self.model, self.optimizer = model, optimizer
        self.clip_norm, self.balance_coefficient = clip_norm, balance_coefficient
        self.mtp_coefficient, self.router_bias_rate = mtp_coefficient, router_bias_rate
        self.micro_batch_tokens = self._asked_tokens = micro_batch_tokens
        self.max_skipped, self.num_skipped = max_skipped, 0
        has_masters = isinstance(optimizer, AdamW) and optimizer.masters is not None
        self._graphs = PassGraphs() if is_capturable(model, has_masters=has_masters) else None
        if self._device.type == "cuda":
            model.join_weights()

    def step(self, batch: Batch, loss: Loss, *, lr: float | None = None, has_magnitudes: bool = False) -> StepResult:
        """Returns metrics of one update; the loss's gradient does not depend on how the batch is cut.

        `has_magnitudes` asks for the histogram of gradient magnitudes, after clipping: a few milliseconds.

        On CUDA `mfu` is among them: FLOPs of the mathematics over those of an H100's bfloat16 peak in the same time.

        The balance loss is no sum over tokens: it is that of each micro-batch, averaged by their tokens.

        Raises: DataError when no token of the batch is trained; RunError when the last `max_skipped` steps were all
        skipped, or one document alone does not fit into memory.
        """
        if not batch.mask_T.any():
            raise DataError("a batch without trained tokens; allowed: at least one True in mask_T")
        if self.num_skipped >= self.max_skipped:
            raise RunError(
                f"{self.num_skipped} optimizer steps in a row had a loss or gradient that is not finite; the weights "
                "are those before the first of them; allowed: another --run with a lower lr, clip_norm or weight_max"
            )
        started = time.perf_counter()
        if lr is not None:
            self.optimizer.set_lr(lr)
        passes = self._add_gradients(batch, loss)
        parameters = self.optimizer.trained()
        grad_norm = nn.utils.clip_grad_norm_(parameters, self.clip_norm)
        tiny = tiny_gradient_frac(parameters, self.optimizer.eps)
        found = [p.grad for p in parameters if p.grad is not None]
        magnitudes = gradient_magnitudes(found, eps=self.optimizer.eps) if has_magnitudes else None
        # The first look at the device, which makes it wait for the host, comes before the weights move.
        total_loss = sum(each.item() for each in passes.losses)
        is_skipped = not (math.isfinite(total_loss) and math.isfinite(grad_norm))
        self.num_skipped = self.num_skipped + 1 if is_skipped else 0
        if not is_skipped:
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        loads_L_E = torch.stack(passes.loads).sum(0)
        if self.router_bias_rate and not is_skipped:
            self.model.update_router_bias(loads_L_E, rate=self.router_bias_rate)
        metrics = {
            "loss": total_loss,
            "balance_loss": sum(share * loss.item() for share, loss in passes.balances),
            "grad_norm": float(grad_norm),
            "tiny_grad_frac": float(tiny),
            "lr": self.optimizer.lr,
            "num_tokens": float(len(batch.token_ids_T)),
            "skipped": float(is_skipped),
            "flops": float(training_flops(self.model.config, np.diff(batch.cu_seqlens).tolist())),
        }
        if self.model.lm_head.weight.is_cuda:
            # Numbers were read back, so the device has done it all.
            metrics["mfu"] = mfu(metrics["flops"], seconds=time.perf_counter() - started)
        if self.micro_batch_tokens != self._asked_tokens:
            metrics["micro_batch_tokens"] = float(self.micro_batch_tokens)
        if len(loads_L_E):
            metrics["max_violation"] = float(max_violation(loads_L_E).mean())
        if self.mtp_coefficient:
            metrics["mtp_loss"] = sum(each.item() for each in passes.mtp_losses)
        tokens = {name: torch.cat(parts).cpu().numpy() for name, parts in passes.tokens.items()}
        return StepResult(metrics=metrics, tokens=tokens, is_skipped=is_skipped, magnitudes=magnitudes)

    def _add_gradients(self, batch: Batch, loss: Loss) -> _Passes:
        """Adds up the gradient of a batch, in smaller pieces where memory runs out."""
        while True:
            # An interrupted or failed pass may have left some.
            self.optimizer.zero_grad(set_to_none=True)
            passes, micro = _Passes(), batch
            try:
                for micro in split_batch(batch, self.micro_batch_tokens):
                    share = len(micro.token_ids_T) / len(batch.token_ids_T)
                    found = self._run(micro, loss, share)
                    passes.losses.append(found.pop("loss"))
                    passes.balances.append((share, found.pop("balance_loss")))
                    passes.loads.append(found.pop("loads"))
                    passes.mtp_losses.extend([found.pop("mtp_loss")] if "mtp_loss" in found else [])
                    for name, values in found.items():
                        passes.tokens[name].append(values)
                return passes
            except torch.OutOfMemoryError as error:
                self._shrink(micro, error)

    @torch.no_grad()
    def logprobs(self, batch: Batch) -> np.ndarray:
        """Returns the log-probability `[T]` of every trained target under the weights as they are; 0 elsewhere."""
        while True:
            parts, micro = [], batch
            try:
                for micro in split_batch(batch, self.micro_batch_tokens):
                    inputs = self._upload(arrange(micro))
                    hidden = self._encode(inputs, longest=int(np.diff(micro.cu_seqlens).max())).hidden[0]
                    found_M, _ = token_logprobs(hidden[inputs["trained"]], self._head(), inputs["targets"])
                    parts.append(found_M.new_zeros(len(micro.token_ids_T)).index_put((inputs["trained"],), found_M))
                return torch.cat(parts).cpu().numpy()
            except torch.OutOfMemoryError as error:
                self._shrink(micro, error)

    def _shrink(self, micro: Batch, error: torch.OutOfMemoryError) -> None:
        """Halves `micro_batch_tokens` below a piece that did not fit. Raises: RunError if that is one document."""
        num_tokens = len(micro.token_ids_T)
        if len(micro.cu_seqlens) <= 2:
            raise RunError(
                f"one document of {num_tokens} tokens does not fit into memory ({error}); allowed: a shorter window, "
                "fewer num_slots, or a smaller model"
            ) from None
        self.micro_batch_tokens = max(min(self.micro_batch_tokens, num_tokens) // 2, 1)
        # The error's frames hold what the failed pass had made.
        traceback.clear_frames(error.__traceback__)
        self.release()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        warnings.warn(
            f"{num_tokens} tokens at a time do not fit into memory; from here on "
            f"micro_batch_tokens={self.micro_batch_tokens}",
            stacklevel=4,
        )

    def state(self) -> dict[str, int]:
        """Returns what a checkpoint keeps beside weights and optimizer; a resumed run counts skipped steps anew."""
        return {"micro_batch_tokens": self.micro_batch_tokens}

    def load(self, state: Mapping[str, int]) -> None:
        """Goes on from a `state`."""
        self.micro_batch_tokens = state["micro_batch_tokens"]

    def release(self) -> None:
        """Gives back the memory of captured passes, where there are any."""
        if self._graphs is not None:
            self._graphs.release()

    def _mtp_loss(self, inputs: dict[str, Tensor], encoded: Hidden) -> Tensor:
        """Returns the mean over MTP modules of their cross-entropy, weighted by tokens as the batch says."""
        trained_M, num_tokens = inputs["trained"], len(inputs["token_ids"])
        targets_T = trained_M.new_zeros(num_tokens).index_put((trained_M,), inputs["targets"])
        mask_T = torch.zeros(num_tokens, dtype=torch.bool, device=self._device).index_put((trained_M,), inputs["mask"])
        weights_T = inputs["weights"].new_zeros(num_tokens).index_put((trained_M,), inputs["weights"])
        places_T = torch.arange(num_tokens, device=self._device)
        total = encoded.balance_loss.new_zeros(())
        for depth, hidden in enumerate(encoded.mtp, start=1):
            ahead_T, is_inside_T = shift(places_T, inputs["cu_seqlens"], depth)
            trained = (is_inside_T & mask_T[ahead_T]).nonzero().squeeze(1)
            logprob, _ = token_logprobs(hidden[0, trained], self._head(), targets_T[ahead_T[trained]])
            total = total - (weights_T[ahead_T[trained]].to(logprob.dtype) * logprob).sum()
        return total / len(encoded.mtp)

    def _head(self) -> Tensor:
        """Returns the head's rows of tokens that exist."""
        return self.model.lm_head.weight[: self.vocab_size]

    def _run(self, micro: Batch, loss: Loss, share: float) -> dict[str, Tensor]:
        """Adds a micro-batch's gradients; returns its numbers and the quantities of its trained tokens, detached."""
        longest = int(np.diff(micro.cu_seqlens).max())
        is_complete = micro.old_logprobs_T is not None and micro.advantages_T is not None
        if self._graphs is None or not is_complete or longest > SHORT_MAX or self.balance_coefficient:
            return self._pass(self._upload(arrange(micro)), loss, share=share, longest=longest)
        shape, gradient = shape_for(micro), self._gradient()
        inputs = self._upload(arrange(micro, shape))
        run_pass = functools.partial(self._pass, loss=loss, share=share, longest=SHORT_MAX)
        captured = self._graphs.find((shape, loss, "ref_logprobs" in inputs), inputs, gradient, run_pass)
        found = run_pass(inputs) if captured is None else replay(captured, inputs)
        count = int(micro.mask_T.sum())
        return {name: x[:count] if len(x.shape) == 1 else x for name, x in found.items()}

    def _gradient(self) -> Tensor:
        """Returns where the masters' gradients are added up."""
        assert isinstance(self.optimizer, AdamW), "only it has masters"
        assert self.optimizer.masters is not None, "graphs need them"
        return self.optimizer.masters.gradient

    def _pass(self, inputs: dict[str, Tensor], loss: Loss, *, share: float, longest: int) -> dict[str, Tensor]:
        """Runs forward and backward on device tensors alone."""
        output, quantities, encoded = self._forward(inputs, loss, longest=longest)
        total = output.loss + self.balance_coefficient * share * encoded.balance_loss
        found = {"loss": output.loss.detach(), "balance_loss": encoded.balance_loss.detach(), "loads": encoded.loads}
        if encoded.mtp:
            mtp_loss = self._mtp_loss(inputs, encoded)
            total = total + self.mtp_coefficient * mtp_loss
            found["mtp_loss"] = mtp_loss.detach()
        total.backward()
        self.optimizer.gather()
        return found | quantities

    def _encode(self, inputs: dict[str, Tensor], *, longest: int) -> Hidden:
        """Returns what the model makes of a micro-batch."""
        layout = Layout(
            cu_seqlens=inputs["cu_seqlens"], positions_T=inputs["positions"], document_T=inputs["documents"],
            is_step=longest == 1, longest=longest, cache=None, tiles_X_2=inputs.get("tiles"),
        )  # fmt: skip
        routes = inputs.get("expert_ids")
        return self.model.run(
            inputs["token_ids"][None],
            layout,
            expert_ids=None if routes is None else routes[None],
            with_mtp=self.mtp_coefficient > 0 and torch.is_grad_enabled(),
        )

    @property
    def _device(self) -> torch.device:
        return self.model.lm_head.weight.device

    def _upload(self, arrays: dict[str, np.ndarray]) -> dict[str, Tensor]:
        """Returns host arrays on the model's device, without waiting for it."""
        tensors = {name: torch.from_numpy(values) for name, values in arrays.items()}
        if self._device.type != "cuda":
            return tensors
        return {name: x.pin_memory().to(self._device, non_blocking=True) for name, x in tensors.items()}

    def _forward(
        self, inputs: dict[str, Tensor], loss: Loss, *, longest: int
    ) -> tuple[LossOutput, dict[str, Tensor], Hidden]:
        encoded = self._encode(inputs, longest=longest)
        targets_M = inputs["targets"]
        logprob_M, entropy_M = token_logprobs(encoded.hidden[0, inputs["trained"]], self._head(), targets_M)
        detached = logprob_M.detach()

        def row(name: str, default: Tensor) -> Tensor:
            return (inputs[name].to(default.dtype) if name in inputs else default)[None]

        output = loss(
            logprob_M[None],
            row("old_logprobs", detached),
            row("advantages", torch.ones_like(detached)),
            inputs["mask"][None],
            token_weights_B_T=row("weights", detached),
            document_ids_B_T=inputs["target_documents"][None],
            ref_logprobs_B_T=row("ref_logprobs", detached) if "ref_logprobs" in inputs else None,
        )
        quantities = {"target_ids": targets_M, "logprobs": detached, "entropy": entropy_M}
        return output, quantities | {name: values[0] for name, values in output.tokens.items()}, encoded


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
