"""AdamW with the report's constants against Adam written by hand, and golden values of the schedule."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fulmen.errors import ConfigError
from fulmen.train import AdamW
from fulmen.train.optim import Schedule, tiny_gradient_frac
from tests.train.examples import PlainAdam

LR = 1e-2


def gradients_of(scale: float) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [scale * torch.randn(64, dtype=torch.float64, generator=generator) for _ in range(5)]


def trajectory(scale: float, *, weight_decay: float = 0.0, **settings: float) -> Tensor:
    """Returns where five gradients of a size take a parameter of ones."""
    parameter = nn.Parameter(torch.ones(64, dtype=torch.float64))
    optimizer = AdamW([parameter], lr=LR, weight_decay=weight_decay, **settings)  # type: ignore[arg-type]
    for gradient in gradients_of(scale):
        parameter.grad = gradient
        optimizer.step()
    return parameter.detach()


def trajectory_by_hand(scale: float) -> Tensor:
    parameter = nn.Parameter(torch.ones(64, dtype=torch.float64))
    plain = PlainAdam([parameter], lr=LR)
    for gradient in gradients_of(scale):
        plain.step([gradient])
    return parameter.detach()


@pytest.mark.parametrize("scale", [1.0, 1e-5, 1e-12, 1e-14])
def test_steps_are_those_of_adam_by_hand_with_eps_1e_15(scale: float) -> None:
    torch.testing.assert_close(trajectory(scale), trajectory_by_hand(scale), rtol=0.0, atol=1e-13)


def test_the_usual_eps_would_not_move_parameters_with_small_gradients() -> None:
    ours, usual = trajectory(1e-12) - 1.0, trajectory(1e-12, eps=1e-8) - 1.0
    assert ours.abs().median() > LR
    assert usual.abs().max() < 1e-3 * ours.abs().median()
    # With large gradients nobody would notice.
    torch.testing.assert_close(trajectory(1.0), trajectory(1.0, eps=1e-8), rtol=0.0, atol=1e-7)


def test_weight_decay_is_decoupled_from_the_gradient_and_off_by_default() -> None:
    assert AdamW([nn.Parameter(torch.ones(1))], lr=1.0).param_groups[0]["weight_decay"] == 0.0
    parameter = nn.Parameter(torch.full((1,), 2.0, dtype=torch.float64))
    parameter.grad = torch.full((1,), 1e-9, dtype=torch.float64)
    AdamW([parameter], lr=LR, weight_decay=0.1).step()
    assert parameter.item() == pytest.approx(2.0 * (1 - LR * 0.1) - LR, rel=1e-5)


def test_learning_rate_is_set_for_every_group_and_eps_is_told() -> None:
    optimizer = AdamW([nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(2))], lr=1.0)
    optimizer.add_param_group({"params": [nn.Parameter(torch.ones(3))]})
    optimizer.set_lr(0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]
    assert optimizer.eps == 1e-15
    assert optimizer.param_groups[0]["betas"] == (0.9, 0.95)
    with pytest.raises(ConfigError, match="lr=-1"):
        AdamW([nn.Parameter(torch.ones(1))], lr=-1.0)


def test_schedule_golden_values() -> None:
    schedule = Schedule(peak=1.0, num_steps=10, warmup_steps=4, final_frac=0.1)
    expected = [0.25, 0.5, 0.75, 1.0, 1.0, 0.85, 0.7, 0.55, 0.4, 0.25, 0.1, 0.1]
    assert [schedule.lr(step) for step in range(12)] == pytest.approx(expected, rel=1e-12)


def test_schedule_without_warmup_or_decay_is_constant() -> None:
    schedule = Schedule(peak=3e-4, num_steps=5)
    assert [schedule.lr(step) for step in range(7)] == [3e-4] * 7


def test_schedule_that_ends_while_warming_up_stays_at_the_peak_afterwards() -> None:
    schedule = Schedule(peak=1.0, num_steps=2, warmup_steps=4)
    assert [schedule.lr(step) for step in range(6)] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0, 1.0])
    assert Schedule(peak=1.0, num_steps=2, final_frac=0.0).lr(1) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("name", "value"), [("peak", -1.0), ("num_steps", 0), ("warmup_steps", -1), ("final_frac", -0.1), ("peak", np.nan)]
)
def test_schedule_refuses_settings_out_of_range(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{name}={value}"):
        Schedule(**({"peak": 1.0, "num_steps": 10} | {name: value}))  # type: ignore[arg-type]


def test_tiny_gradient_frac_counts_entries_below_eps_over_all_parameters_with_a_gradient() -> None:
    first, second, third = (nn.Parameter(torch.zeros(n, dtype=torch.float64)) for n in (4, 2, 5))
    first.grad = torch.tensor([0.0, 1e-16, -1e-16, 1e-15], dtype=torch.float64)
    second.grad = torch.tensor([-1e-14, 9e-16], dtype=torch.float64)
    # The third has none. Below: 0, 1e-16, -1e-16, 9e-16; at 1e-15 an entry no longer counts.
    assert tiny_gradient_frac([first, second, third], 1e-15).item() == pytest.approx(4 / 6)
    assert tiny_gradient_frac([first, second, third], 1e-13).item() == 1.0
