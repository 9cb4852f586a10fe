"""A model of a few thousand parameters, and a reference for one optimizer step, for the tests of training and RL."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch

# Imported by the first step of torch's optimizers; here it is not on the clock of whichever test comes first.
import torch._dynamo
from torch import Tensor, nn

from fulmen.model import Model, ModelConfig
from fulmen.train.packing import Document

CONFIG = ModelConfig(
    vocab_size=290, hidden_size=32, num_layers=2, num_heads=2, num_kv_heads=1, head_dim=16,
    intermediate_size=16, num_experts=4, num_experts_per_token=2, mixers="LS",
)  # fmt: skip


def tiny_model(dtype: torch.dtype = torch.float64, *, vocab_size: int = CONFIG.vocab_size) -> Model:
    """Returns the same tiny hybrid model every time."""
    return Model(CONFIG.replace(vocab_size=vocab_size), seed=1).to(dtype)


def parameters_of(model: nn.Module) -> Tensor:
    """Returns a copy of all parameters in one row."""
    return torch.cat([p.detach().flatten().clone() for p in model.parameters()])


def random_documents(lengths: Sequence[int], *, seed: int = 0) -> list[Document]:
    """Returns documents with RL fields, of which about the last two thirds of the tokens are trained."""
    rng = np.random.default_rng(seed)
    return [
        Document(
            token_ids=rng.integers(0, CONFIG.vocab_size, length),
            mask=np.arange(length) >= max(length // 3, 1),
            token_weight=float(rng.uniform(0.01, 0.1)),
            old_logprobs=rng.uniform(-7.5, -4.0, length),
            advantage=float(rng.normal()),
        )
        for length in lengths
    ]


def document_logprobs(model: Model, token_ids: np.ndarray) -> Tensor:
    """Returns log p of every token but the first, from a forward pass of this document alone."""
    tokens = torch.from_numpy(token_ids)
    logits = model(tokens[None, :-1]).logits[0]
    return torch.log_softmax(logits, dim=-1)[torch.arange(len(tokens) - 1), tokens[1:]]


class PlainAdam:
    """Adam from its paper, without decay: m and v with bias correction, beta 0.9 and 0.95, eps 1e-15."""

    def __init__(self, parameters: Iterable[nn.Parameter], *, lr: float) -> None:
        self.parameters, self.lr, self.step_count = list(parameters), lr, 0
        self.m = [torch.zeros_like(p) for p in self.parameters]
        self.v = [torch.zeros_like(p) for p in self.parameters]

    def step(self, gradients: Sequence[Tensor], *, eps: float = 1e-15) -> None:
        """Moves the parameters against these gradients."""
        self.step_count += 1
        with torch.no_grad():
            for i, (parameter, gradient) in enumerate(zip(self.parameters, gradients, strict=True)):
                self.m[i] = 0.9 * self.m[i] + 0.1 * gradient
                self.v[i] = 0.95 * self.v[i] + 0.05 * gradient**2
                m_hat = self.m[i] / (1 - 0.9**self.step_count)
                v_hat = self.v[i] / (1 - 0.95**self.step_count)
                parameter.sub_(self.lr * m_hat / (v_hat.sqrt() + eps))


def clipped(gradients: Sequence[Tensor], norm: float) -> list[Tensor]:
    """Returns the gradients scaled so that their joint norm is at most `norm`."""
    total = sum(float((g**2).sum()) for g in gradients) ** 0.5
    return [g * min(1.0, norm / total) for g in gradients]
