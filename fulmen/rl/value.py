"""A value model for PPO: the policy's trunk with its own weights and a scalar head, and advantages from it.

A batch comes in whose advantages are the rewards themselves (`batch_advantages(..., advantage="value")`) and goes out
with one advantage per token. Each document is an episode of its trained tokens, with the reward at the last of them; a
rollout that compacted its history is several. Left out: rewards per token, whitening of advantages (AdamW takes no
notice of their scale), and the router's balance loss.
Source: PPO (arXiv 1707.06347), GAE (arXiv 1506.02438). Axes: `T` tokens of all documents, `N` documents, `D` width.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from fulmen.errors import CheckpointError, ConfigError, DataError
from fulmen.model import Model
from fulmen.train.optim import AdamW
from fulmen.train.trainer import split_batch
from fulmen.types import Batch


@dataclass(frozen=True, kw_only=True)
class ValueSettings:
    """Settings of the value model and of what its values become."""

    gamma: float = 1.0
    """Discount per token; 1 as in Open-Reasoner-Zero (arXiv 2503.24290), so that length costs nothing."""
    gae_lambda: float = 1.0
    """1 is the reward minus the value, unbiased; lower trusts the values of later tokens more."""
    lr: float = 5e-6
    """Learning rate of its AdamW."""
    value_max_change: float | None = None
    """PPO's clip of the value loss: how far a value may gain by leaving the one it had before the updates."""
    clip_norm: float = 1.0
    """Largest norm of its gradient."""
    micro_batch_tokens: int = 4096
    """Tokens of one backward pass."""

    def __post_init__(self) -> None:
        for name in ("gamma", "gae_lambda"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name}={getattr(self, name)}; allowed: from 0 to 1")
        if not self.lr >= 0:
            raise ConfigError(f"lr={self.lr}; allowed: at least 0")
        if self.value_max_change is not None and not self.value_max_change > 0:
            raise ConfigError(f"value_max_change={self.value_max_change}; allowed: None or above 0")
        if not self.clip_norm > 0:
            raise ConfigError(f"clip_norm={self.clip_norm}; allowed: above 0; inf switches clipping off")
        if self.micro_batch_tokens < 1:
            raise ConfigError(f"micro_batch_tokens={self.micro_batch_tokens}; allowed: at least 1")


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What the value model said of a batch before its updates."""

    batch: Batch
    """With one advantage per token, to train the policy on."""
    values_T: np.ndarray
    """float32, expected return before each trained target; 0 elsewhere."""
    returns_T: np.ndarray
    """float32, advantage + value: what the value is fitted to; 0 elsewhere."""


class ValueModel(nn.Module):
    """Policy trunk and scalar head; the head begins at 0, so the first values are 0."""

    def __init__(self, policy: Model) -> None:
        super().__init__()
        # No head and no MTP modules: a tied head is the embedding.
        config = policy.config.replace(tied_head=True, mtp_depth=0)
        weight = policy.embed_tokens.weight
        with torch.device("meta"):
            trunk = Model(config)
        self.trunk = trunk.to(weight.dtype).to_empty(device=weight.device)
        own = self.trunk.state_dict()
        self.trunk.load_state_dict({name: tensor for name, tensor in policy.state_dict().items() if name in own})
        # float32 at least: a bfloat16 head rounds values to three digits.
        dtype = torch.promote_types(weight.dtype, torch.float32)
        self.head = nn.Linear(config.hidden_size, 1, device=weight.device, dtype=dtype)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, batch: Batch) -> Float[Tensor, "M"]:
        """Returns the value before each trained target of a packed batch."""
        device = self.head.weight.device
        hidden = self.trunk.encode(
            torch.from_numpy(batch.token_ids_T)[None].to(device),
            cu_seqlens=torch.from_numpy(batch.cu_seqlens).to(device),
        ).hidden[0, torch.from_numpy(batch.mask_T).to(device)]
        return self.head(hidden.to(self.head.weight.dtype)).squeeze(-1)


class Critic:
    """A value model with its optimizer: `estimate` before the updates of a batch, `step` along with each."""

    def __init__(self, policy: Model, settings: ValueSettings) -> None:
        self.model, self.settings = ValueModel(policy), settings
        self.optimizer = AdamW(self.model.parameters(), lr=settings.lr)

    @torch.no_grad()
    def estimate(self, batch: Batch) -> Estimate:
        """Returns the batch with advantages by GAE, and the returns to fit.

        `advantages_T` hold the reward, of which the one at a document's last trained token counts.

        Raises: DataError for a batch without rewards.
        """
        if batch.advantages_T is None:
            raise DataError("advantages_T=None; allowed: the reward of each document, for a value model to work on")
        values_T = np.zeros(len(batch.token_ids_T), np.float32)
        parts = [self.model(micro) for micro in split_batch(batch, self.settings.micro_batch_tokens)]
        values_T[batch.mask_T] = torch.cat(parts).float().cpu().numpy()
        advantages_T, returns_T = np.zeros_like(values_T), np.zeros_like(values_T)
        for places in _episodes(batch):
            rewards = np.zeros(len(places))
            rewards[-1] = batch.advantages_T[places[-1]]
            values = values_T[places].astype(np.float64)
            advantages = gae(rewards, values, gamma=self.settings.gamma, gae_lambda=self.settings.gae_lambda)
            advantages_T[places], returns_T[places] = advantages, advantages + values
        return Estimate(
            batch=dataclasses.replace(batch, advantages_T=advantages_T), values_T=values_T, returns_T=returns_T
        )

    def step(self, estimate: Estimate) -> dict[str, float]:
        """Returns metrics of one update of the value model on the returns; tokens weigh as in the policy's loss.

        `explained_variance` is 1 - var(return - value) / var(return) before the update, nan for equal returns.
        """
        batch = estimate.batch
        self.optimizer.zero_grad(set_to_none=True)
        device = self.model.head.weight.device
        total, end = 0.0, 0
        for micro in split_batch(batch, self.settings.micro_batch_tokens):
            start, end = end, end + len(micro.token_ids_T)
            values = self.model(micro)
            returns, old_values, token_weights = (
                torch.from_numpy(array[micro.mask_T]).to(device, values.dtype)
                for array in (estimate.returns_T[start:end], estimate.values_T[start:end], micro.token_weights_T)
            )
            loss = value_loss(
                values, returns, old_values, token_weights=token_weights, max_change=self.settings.value_max_change
            )
            loss.backward()
            total += loss.item()
        grad_norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        returns_M = estimate.returns_T[batch.mask_T].astype(np.float64)
        errors_M = returns_M - estimate.values_T[batch.mask_T]
        return {
            "value_loss": total,
            "value_grad_norm": float(grad_norm),
            "value_mean": float(estimate.values_T[batch.mask_T].mean()),
            "explained_variance": float(1.0 - errors_M.var() / returns_M.var()) if returns_M.var() > 0 else np.nan,
        }

    def state_tensors(self) -> dict[str, Tensor]:
        """Returns copies of weights and optimizer state, by names that safetensors takes."""
        names: dict[Tensor, str] = {parameter: name for name, parameter in self.model.named_parameters()}
        weights = {f"value/{name}": tensor for name, tensor in self.model.state_dict().items()}
        moments = {
            f"value_optimizer/{part}/{names[parameter]}/{key}": tensor
            for part, optimizer in self.optimizer.parts().items()
            for parameter, state in optimizer.state.items()
            for key, tensor in state.items()
        }
        return {name: tensor.detach().clone() for name, tensor in (weights | moments).items()}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes over what `state_tensors` returned; other names are passed over.

        Raises: CheckpointError for weights that are missing or of another shape, and state of unknown parameters.
        """
        own = self.model.state_dict()
        found = {name.removeprefix("value/"): t for name, t in tensors.items() if name.startswith("value/")}
        for name, tensor in own.items():
            if name not in found or found[name].shape != tensor.shape:
                shape = list(found[name].shape) if name in found else "missing"
                raise CheckpointError(f"value/{name}: {shape}; allowed: {list(tensor.shape)}, of this run's model")
        parameters = dict(self.model.named_parameters())
        states: dict[str, dict[Tensor, dict[str, Tensor]]] = {part: {} for part in self.optimizer.parts()}
        for key, tensor in tensors.items():
            if key.startswith("value_optimizer/"):
                _, part, name, state_name = key.split("/")
                if part not in states or name not in parameters:
                    raise CheckpointError(f"{key}: state of an unknown parameter; allowed: those of this run's model")
                states[part].setdefault(parameters[name], {})[state_name] = tensor.clone()
        self.model.load_state_dict(found)
        for part, optimizer in self.optimizer.parts().items():
            optimizer.state.clear()
            optimizer.state.update(states[part])


def gae(rewards: np.ndarray, values: np.ndarray, *, gamma: float, gae_lambda: float) -> np.ndarray:
    """Returns A_t = sum_k (gamma lambda)^k delta_(t+k), delta_t = r_t + gamma V_(t+1) - V_t, V = 0 after the last.

    Cost: log2(tokens) passes, each of which doubles the number of terms summed so far.
    """
    advantages = rewards + gamma * np.append(values[1:], 0.0) - values
    span, decay = 1, gamma * gae_lambda
    while span < len(advantages):
        advantages[:-span] += decay * advantages[span:]
        span, decay = 2 * span, decay * decay
    return advantages


def value_loss(
    values: Float[Tensor, "M"],
    returns: Float[Tensor, "M"],
    old_values: Float[Tensor, "M"],
    *,
    token_weights: Float[Tensor, "M"],
    max_change: float | None = None,
) -> Float[Tensor, ""]:
    """Returns 1/2 sum_t token_weight * (V - R)^2, or with `max_change` the larger of it and that of the clipped V.

    The clipped V is within `max_change` of the old one; a value that left it towards its return has no gradient.
    """
    errors = (values - returns).square()
    if max_change is not None:
        clipped = old_values + (values - old_values).clamp(-max_change, max_change)
        errors = torch.maximum(errors, (clipped - returns).square())
    return 0.5 * (token_weights * errors).sum()


def _episodes(batch: Batch) -> Iterator[np.ndarray]:
    """Yields the places of each document's trained targets; documents without any give none."""
    for start, end in zip(batch.cu_seqlens[:-1], batch.cu_seqlens[1:], strict=True):
        places = start + batch.mask_T[start:end].nonzero()[0]
        if len(places):
            yield places
