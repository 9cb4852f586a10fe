"""Distillation of a model into one whose mixers differ: each new mixer by itself, then the whole by its logits.

Left out: hidden-state losses in the second part; the logits say all that is asked for.
Axes: `B` rows, `T` tokens, `D` model width, `V` vocabulary.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from fulmen.kernels.logprob import head_logits
from fulmen.model.block import Carried
from fulmen.model.layout import make_layout
from fulmen.model.transformer import Model


def changed_layers(student: Model, teacher: Model) -> list[int]:
    """Returns the layers whose mixers are of different kinds."""
    return [i for i in range(student.config.num_layers) if student.config.mixer(i) != teacher.config.mixer(i)]


def mixer_losses(student: Model, teacher: Model, token_ids: Int[Tensor, "B T"]) -> dict[int, Tensor]:
    """Returns |student mixer(x) - teacher mixer(x)|^2 / |teacher mixer(x)|^2 of each changed layer.

    x is what the teacher's own layer sees, so the layers are independent and one teacher pass serves all.
    """
    layers = changed_layers(student, teacher)
    layout = make_layout(token_ids, None, None)
    carried = Carried(teacher.embed_tokens(token_ids.flatten()))
    losses = {}
    for index, (old, new) in enumerate(zip(teacher.blocks(), student.blocks(), strict=True)):
        with torch.no_grad():
            x = old.close(carried, old.input_layernorm).normed
            target = old.self_attn(x, layout) if index in layers else None
            carried, _ = old(carried, layout)
        if target is not None:
            losses[index] = (new.self_attn(x, layout) - target).square().sum() / target.square().sum()
    return losses


def logit_loss(
    student: Model, teacher: Model, token_ids: Int[Tensor, "B T"], *, chunk_tokens: int = 2048
) -> Float[Tensor, ""]:
    """Returns KL(teacher || student) of the next token, in nats, averaged over all tokens.

    Logits exist for `chunk_tokens` tokens at a time, and are computed again for the gradient.
    """
    with torch.no_grad():
        target = teacher.encode(token_ids).hidden.flatten(0, 1)
    hidden = student.encode(token_ids).hidden.flatten(0, 1)
    total = hidden.new_zeros(())
    for mine, its in zip(hidden.split(chunk_tokens), target.split(chunk_tokens), strict=True):
        part = checkpoint(
            _divergence, mine, student.lm_head.weight, its, teacher.lm_head.weight, use_reentrant=False
        )  # fmt: skip
        total = total + part
    return total / len(hidden)


def _divergence(hidden: Tensor, weight: Tensor, target: Tensor, target_weight: Tensor) -> Tensor:
    with torch.no_grad():
        expected = head_logits(target, target_weight).log_softmax(-1)
    return F.kl_div(head_logits(hidden, weight).log_softmax(-1), expected, log_target=True, reduction="sum")


@torch.no_grad()
def mean_loss(model: Model, windows: Int[Tensor, "B T"], *, batch_rows: int = 8, chunk_tokens: int = 2048) -> float:
    """Returns the mean cross-entropy of the next token inside each row, in nats; its exponential is the perplexity."""
    total, count = 0.0, 0
    for rows in windows.split(batch_rows):
        hidden = model.encode(rows).hidden[:, :-1].flatten(0, 1)
        targets = rows[:, 1:].flatten()
        for part, wanted in zip(hidden.split(chunk_tokens), targets.split(chunk_tokens), strict=True):
            logits = head_logits(part, model.lm_head.weight)
            total += float(F.cross_entropy(logits, wanted, reduction="sum"))
        count += len(targets)
    return total / count
