"""Multi-token prediction: small modules after the stack that predict the token after the next, and so on.

Embedding and head are the model's own. Left out: use for speculation, where they would be the draft.
Axes: `T` tokens of all documents, `D` model width.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from fulmen.kernels.residual import AddNorm
from fulmen.model.block import Block, Carried
from fulmen.model.config import ModelConfig
from fulmen.model.layout import Layout
from fulmen.model.mixers.lightning import xavier_
from fulmen.model.moe import Routing


class MtpModule(nn.Module):
    """h' = M [norm(embedding of the k-th next token) ; norm(h)], then one block of the last layer's kind, and a norm.

    Differs: the paper writes [h ; embedding]; the released weights have this order. Source: DeepSeek-V3, eq. 21-23.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, eps = config.hidden_size, config.rms_norm_eps
        self.enorm, self.hnorm, self.norm = (nn.RMSNorm(width, eps=eps) for _ in range(3))
        self.eh_proj = nn.Linear(2 * width, width, bias=False)
        self.block = Block(config, config.num_layers - 1, 0)

    def init_weights(self, gain: float, generator: torch.Generator) -> None:
        """Fills the weights; the projection is plain Xavier."""
        for norm in (self.enorm, self.hnorm, self.norm):
            nn.init.ones_(norm.weight)
        xavier_(self.eh_proj.weight, self.eh_proj.in_features, self.eh_proj.out_features, 1.0, generator)
        self.block.init_weights(gain, generator)

    def forward(
        self, hidden: Float[Tensor, "T D"], embedded: Float[Tensor, "T D"], layout: Layout
    ) -> tuple[AddNorm, Routing | None]:
        """Returns the next representation before and after its norm, and the routing of the module's block."""
        joined = self.eh_proj(torch.cat((self.enorm(embedded), self.hnorm(hidden)), dim=-1))
        carried, routing = self.block(Carried(joined), layout)
        return self.block.close(carried, self.norm), routing


def shift(x_T: Int[Tensor, "T"], cu_seqlens: Int[Tensor, "N1"], by: int) -> tuple[Tensor, Tensor]:
    """Returns x moved `by` places to the left inside each document, and True where there was something to move.

    The last `by` places of a document hold their old value, and are not to be used.
    """
    places_T = torch.arange(len(x_T), device=x_T.device) + by
    document_T = torch.repeat_interleave(cu_seqlens.diff())
    is_inside = places_T < cu_seqlens[document_T + 1]
    return x_T[torch.where(is_inside, places_T, places_T - by)], is_inside
