"""The kernel that moves slots on, against the torch code, on random states. Axes: `S` slots, `R` rows."""

import copy
from itertools import product

import pytest
import torch
from torch import Tensor

from fulmen.serve.slots import Count, Drawn, Setting, SlotState
from fulmen.serve.slots_triton import BLOCK, advance_triton
from fulmen.text.parse import ThinkingMarkers

VOCAB, END = 6, 2
MARKERS = ThinkingMarkers(opening=(3, 4), closing=(4, 3, 5), forced=(1, 4, 3, 5))
BARE = ThinkingMarkers()


def random_state(thinking: ThinkingMarkers, num_slots: int, seed: int, device: str = "cpu") -> SlotState:
    """Returns slots in the middle of anything: matching markers, being forced, near a bound."""
    generator = torch.Generator().manual_seed(seed)
    state = SlotState.allocate(
        num_slots=num_slots, dtype=torch.float32, device=torch.device(device), end_id=END, thinking=thinking
    )

    def draw(low: int, high: int) -> Tensor:
        return torch.randint(low, high, (num_slots,), generator=generator).to(device)

    counts = state.counts_S_F
    counts.copy_(torch.randint(100, (num_slots, len(Count)), generator=generator))
    for column, low, high in (
        (Count.DRAWN, 0, 8), (Count.RUN, 0, 4), (Count.WINDOW, 1, 5), (Count.MAX_TOKENS, 1, 9),
        (Count.IS_THINKING, 0, 2), (Count.SPENT, 0, 4), (Count.BUDGET, -1, 5 if thinking.forced else 0),
        (Count.OPENING, 0, max(len(thinking.opening), 1)), (Count.CLOSING, 0, max(len(thinking.closing), 1)),
        (Count.FORCED, 0, len(thinking.forced) + 1),
    ):  # fmt: skip
        counts[:, column] = draw(low, high)
    state.settings_S_F[:, Setting.REPETITION_P] = torch.rand(num_slots, generator=generator).to(device)
    return state


def rows(num_slots: int, seed: int, device: str = "cpu") -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns distinct slots and what was drawn for them."""
    generator = torch.Generator().manual_seed(seed + 1)
    slots_R = torch.randperm(num_slots, generator=generator)[: num_slots * 3 // 4]
    tokens_R = torch.randint(VOCAB, slots_R.shape, generator=generator)
    logprobs = torch.rand(2, len(slots_R), generator=generator).log()
    return slots_R.to(device), tokens_R.to(device), *logprobs.to(device)


def kernel(state: SlotState, inputs: tuple[Tensor, ...], *, has_budget: bool) -> Drawn:
    markers = tuple(state._markers[name] for name in ("opening", "closing", "forced"))
    advanced = advance_triton(
        state.counts_S_F, state.settings_S_F, *inputs, markers=markers, end_id=END, has_budget=has_budget
    )
    return Drawn(**advanced._asdict(), model_logprobs=inputs[3])


def assert_equal(found: Drawn, expected: Drawn) -> None:
    for name, value in vars(expected).items():
        assert torch.equal(vars(found)[name].cpu(), value.cpu()), name
        assert vars(found)[name].dtype == value.dtype, name


CASES = list(product((MARKERS, BARE), (False, True), (4, 3 * BLOCK)))


@pytest.mark.skipif(torch.cuda.is_available(), reason="runs under the interpreter")
@pytest.mark.parametrize(("thinking", "has_budget", "num_slots"), CASES)
@pytest.mark.parametrize("seed", range(3))
def test_the_kernel_does_what_torch_does(
    thinking: ThinkingMarkers, has_budget: bool, num_slots: int, seed: int
) -> None:
    expected = random_state(thinking, num_slots, seed)
    found = copy.deepcopy(expected)
    for step in range(4):
        inputs = rows(num_slots, 10 * seed + step)
        assert_equal(kernel(found, inputs, has_budget=has_budget), expected.advance(*inputs, has_budget=has_budget))
        assert torch.equal(found.counts_S_F, expected.counts_S_F)


def test_random_states_reach_every_branch() -> None:
    """Else the comparison above would say little."""
    state = random_state(MARKERS, 3 * BLOCK, 0)
    before = state.counts_S_F.clone()
    inputs = rows(3 * BLOCK, 0)
    drawn = state.advance(*inputs, has_budget=True)
    own = inputs[0]
    assert set(drawn.codes.tolist()) == {0, 1, 2, 3}
    assert drawn.is_forced.any()
    assert (~drawn.is_forced).any()
    for column in (Count.OPENING, Count.CLOSING, Count.FORCED, Count.IS_THINKING, Count.SPENT, Count.RUN):
        assert (state.counts_S_F[own, column] > before[own, column]).any(), column


@pytest.mark.gpu
@pytest.mark.parametrize(("thinking", "has_budget", "num_slots"), CASES)
def test_on_the_gpu_as_well(thinking: ThinkingMarkers, has_budget: bool, num_slots: int) -> None:
    expected, found = (random_state(thinking, num_slots, 0, device) for device in ("cpu", "cuda"))
    for step in range(4):
        inputs = rows(num_slots, step)
        theirs = found.advance(*(x.cuda() for x in inputs), has_budget=has_budget)
        assert_equal(theirs, expected.advance(*inputs, has_budget=has_budget))
        assert torch.equal(found.counts_S_F.cpu(), expected.counts_S_F)
