"""What decoding remembers: a fixed state per lightning layer, keys and values per softmax layer.

Latent attention keeps one latent and one rotated key for all its heads: they lie in the keys, and values are empty.
Rows in use form a prefix, so every part of the engine works on slices of one storage, never on gathered copies.
Axes: `M` lightning layers, `W` softmax layers, `R` rows, `H`/`J` heads, `K`/`V`/`D` widths, `S` longest row.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from fulmen.model.config import ModelConfig


@dataclass(frozen=True, kw_only=True)
class Cache:
    """Decoding state of `R` rows; all tensors may be views of a larger cache."""

    states_M_R_H_K_V: Tensor
    """Lightning states, float32."""
    keys_W_R_J_S_D: Tensor
    values_W_R_J_S_D: Tensor
    lengths_R: Tensor
    """Tokens seen by each row, int64."""

    @classmethod
    def allocate(
        cls,
        config: ModelConfig,
        *,
        num_rows: int,
        max_length: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> "Cache":
        """Returns an empty cache; states are float32 (float64 when `dtype` is) whatever the model's dtype."""
        state_dtype = torch.promote_types(dtype, torch.float32)
        num_lightning = config.num_lightning_layers
        state = (num_lightning, num_rows, config.num_heads, config.head_dim, config.head_dim)
        kv = (config.num_layers - num_lightning, num_rows, config.num_kv_heads, max_length)
        key_width = value_width = config.head_dim
        if config.mla is not None:
            kv = (*kv[:2], 1, max_length)
            key_width, value_width = config.mla.kv_rank + config.mla.rope_dim, 0
        return cls(
            states_M_R_H_K_V=torch.zeros(state, dtype=state_dtype, device=device),
            keys_W_R_J_S_D=torch.zeros(*kv, key_width, dtype=dtype, device=device),
            values_W_R_J_S_D=torch.zeros(*kv, value_width, dtype=dtype, device=device),
            lengths_R=torch.zeros(num_rows, dtype=torch.int64, device=device),
        )

    @property
    def num_rows(self) -> int:
        """Rows of this view."""
        return self.lengths_R.shape[0]

    @property
    def max_length(self) -> int:
        """Tokens a row can hold."""
        return self.keys_W_R_J_S_D.shape[3]

    def rows(self, start: int, stop: int) -> "Cache":
        """Returns rows start..stop-1 as a view of the same storage."""
        return Cache(
            states_M_R_H_K_V=self.states_M_R_H_K_V[:, start:stop],
            keys_W_R_J_S_D=self.keys_W_R_J_S_D[:, start:stop],
            values_W_R_J_S_D=self.values_W_R_J_S_D[:, start:stop],
            lengths_R=self.lengths_R[start:stop],
        )

    def clear(self) -> None:
        """Makes every row of this view a row that has seen nothing."""
        self.states_M_R_H_K_V.zero_()
        self.lengths_R.zero_()

    def assign(self, source: "Cache", source_rows: Tensor) -> None:
        """Writes `source[source_rows]` into this view's rows; source and destination may overlap."""
        length = int(source.lengths_R[source_rows].max()) if len(source_rows) else 0
        self.states_M_R_H_K_V.copy_(source.states_M_R_H_K_V[:, source_rows])
        self.keys_W_R_J_S_D[..., :length, :] = source.keys_W_R_J_S_D[:, source_rows, :, :length]
        self.values_W_R_J_S_D[..., :length, :] = source.values_W_R_J_S_D[:, source_rows, :, :length]
        self.lengths_R.copy_(source.lengths_R[source_rows])

    def move(self, destination_rows: Tensor, source_rows: Tensor) -> None:
        """Copies rows over other rows; the two lists must not overlap."""
        length = int(self.lengths_R[source_rows].max())
        self.states_M_R_H_K_V[:, destination_rows] = self.states_M_R_H_K_V[:, source_rows]
        self.keys_W_R_J_S_D[:, destination_rows, :, :length] = self.keys_W_R_J_S_D[:, source_rows, :, :length]
        self.values_W_R_J_S_D[:, destination_rows, :, :length] = self.values_W_R_J_S_D[:, source_rows, :, :length]
        self.lengths_R[destination_rows] = self.lengths_R[source_rows]
