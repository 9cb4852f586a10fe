"""Writers of pages, rotation included, against torch's own: torch's path, and the Triton kernels (interpreted, and
under -m gpu). Cells that no token wrote hold NaN.

Axes: as in `test_paged.py`.
"""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import triton.language as tl
from torch import Tensor

from fulmen.kernels.paged import gather_pages, rope_write, write_pages
from fulmen.kernels.paged_triton import rope_write_triton, write_pages_triton
from fulmen.kernels.rotary import apply_rope
from tests.kernels.reference import draw

PAGE = 64
interpreted = pytest.mark.skipif(torch.cuda.is_available(), reason="runs under the interpreter")


def make_cells(table_N_X: Tensor, row_T: Tensor, positions_T: Tensor) -> Tensor:
    return table_N_X[row_T, positions_T // PAGE].long() * PAGE + positions_T % PAGE


def empty_pages(num_kv_heads: int, width: int, value_width: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    shapes = ((5, num_kv_heads, PAGE, size) for size in (width, value_width))
    keys, values = (torch.full(shape, torch.nan, dtype=dtype) for shape in shapes)
    return keys, values


CELLS = torch.tensor([4 * PAGE + 63, 5, PAGE, 2 * PAGE + 7, PAGE - 1])
"""Cells of five tokens; the second and the last are of block 0."""


@pytest.mark.parametrize("write", [write_pages, write_pages_triton])
@pytest.mark.parametrize(("num_kv_heads", "width", "value_width"), [(1, 32, 32), (3, 80, 64), (2, 576, 0)])
def test_tokens_are_written_to_their_cells_only(
    write: Callable[..., None], num_kv_heads: int, width: int, value_width: int
) -> None:
    if write is write_pages_triton and torch.cuda.is_available():
        pytest.skip("runs under the interpreter")
    both = draw(5, num_kv_heads, width + value_width, seed=1).to(torch.bfloat16)
    k, v = both.split((width, value_width), dim=-1)
    keys, values = empty_pages(num_kv_heads, width, value_width, torch.bfloat16)
    write(k, v, keys, values, CELLS)
    for pages, x in ((keys, k), (values, v)):
        expected = torch.full_like(pages, torch.nan)
        for token, cell in enumerate(CELLS.tolist()):
            if cell >= PAGE:
                expected[cell // PAGE, :, cell % PAGE] = x[token]
        assert torch.equal(pages.nan_to_num(9), expected.nan_to_num(9))


def test_what_is_written_is_gathered_back() -> None:
    k, v = draw(130, 2, 32, seed=1), draw(130, 2, 16, seed=2)
    keys, values = empty_pages(2, 32, 16, torch.float64)
    table_N_X = torch.tensor([[4, 1, 3]], dtype=torch.int32)
    write_pages(k, v, keys, values, make_cells(table_N_X, torch.zeros(130, dtype=torch.int64), torch.arange(130)))
    assert torch.equal(gather_pages(keys, table_N_X, 130)[0], k.transpose(0, 1))
    assert torch.equal(gather_pages(values, table_N_X, 130)[0], v.transpose(0, 1))


@pytest.fixture
def nearest_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the interpreter round to the nearest bfloat16, as a GPU does; it cuts off by itself."""
    from triton.runtime import interpreter

    convert = interpreter._convert_float

    def convert_nearest(x: np.ndarray, source: object, target: object, mode: object) -> np.ndarray:
        if target != tl.bfloat16 or mode is not None:
            return convert(x, source, target, mode)
        rounded = torch.from_numpy(np.array(x)).to(torch.bfloat16).view(torch.int16)
        return rounded.numpy().view(np.uint16)

    monkeypatch.setattr(interpreter, "_convert_float", convert_nearest)


FREQUENCIES = 1e6 ** -(torch.arange(0, 64, 2) / 64)


def rope_inputs(
    num_heads: int, num_kv_heads: int, dtype: torch.dtype, device: str = "cpu"
) -> tuple[tuple[Tensor, ...], Tensor, Tensor]:
    """Returns q, k, v as views of one projection, positions up to a million, and cells."""
    width, value_width, num_tokens = 80, 64, 5
    widths = (num_heads * width, num_kv_heads * width, num_kv_heads * value_width)
    parts = draw(num_tokens, sum(widths), seed=3).to(device, dtype).split(widths, dim=-1)
    q, k, v = (
        x.unflatten(-1, (heads, -1)) for x, heads in zip(parts, (num_heads, num_kv_heads, num_kv_heads), strict=True)
    )
    positions = torch.tensor([0, 1, 4097, 131_071, 1_048_575], device=device)
    return (q, k, v), positions, CELLS.to(device)


def check_rope_write(
    function: Callable[..., Tensor], dtype: torch.dtype, amplitude: float, num_rotated: int, *, tolerance: float = 0.0,
    device: str = "cpu", num_heads: int = 6,
) -> None:  # fmt: skip
    """Checks q, keys and values against apply_rope and write_pages in torch."""
    (q, k, v), positions, cells = rope_inputs(num_heads, 3, dtype, device)
    frequencies = FREQUENCIES[: num_rotated // 2].to(device)
    keys, values = (x.to(device) for x in empty_pages(3, 80, 64, dtype))
    found = function(q, k, v, positions, cells, frequencies, keys, values, amplitude=amplitude)
    expected, rotated_k = (apply_rope(x, positions, frequencies, amplitude=amplitude) for x in (q, k))
    for token, cell in enumerate(cells.tolist()):
        if cell >= PAGE:
            torch.testing.assert_close(
                keys[cell // PAGE, :, cell % PAGE], rotated_k[token], rtol=tolerance, atol=tolerance
            )
            assert torch.equal(values[cell // PAGE, :, cell % PAGE], v[token])
    num_written = int((cells >= PAGE).sum())
    assert int((~keys.isnan()).sum()) == num_written * 3 * 80
    assert int((~values.isnan()).sum()) == num_written * 3 * 64
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)
    assert found.dtype == dtype


@pytest.mark.parametrize(("amplitude", "num_rotated"), [(1.0, 64), (1.3, 24)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_torch_rope_write_is_apply_rope_and_write_pages(dtype: torch.dtype, amplitude: float, num_rotated: int) -> None:
    check_rope_write(rope_write, dtype, amplitude, num_rotated)


@interpreted
@pytest.mark.parametrize(("amplitude", "num_rotated"), [(1.0, 64), (1.3, 24)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_kernel_rope_write_has_the_bits_of_apply_rope(
    dtype: torch.dtype, amplitude: float, num_rotated: int, nearest_bfloat16: None
) -> None:
    check_rope_write(rope_write_triton, dtype, amplitude, num_rotated, num_heads=19)


@interpreted
def test_kernel_rope_write_in_float32() -> None:
    """Cosines of numpy and torch differ in the last place."""
    check_rope_write(rope_write_triton, torch.float32, 1.3, 64, tolerance=1e-6)


def test_rope_write_is_differentiable_in_q() -> None:
    (q, k, v), positions, cells = rope_inputs(2, 1, torch.float64)
    pages = empty_pages(1, 80, 64, torch.float64)
    q, k = q.clone().requires_grad_(), k.clone().requires_grad_()
    output = rope_write(q, k, v, positions, cells, FREQUENCIES, *pages)
    (gradient,) = torch.autograd.grad(output, q, torch.ones_like(output))
    # The transpose of a rotation is the rotation backwards.
    expected = apply_rope(torch.ones_like(q), -positions, FREQUENCIES)
    torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-12)
    assert not pages[0].requires_grad


@pytest.mark.gpu
@pytest.mark.parametrize(("amplitude", "num_rotated"), [(1.0, 64), (1.3, 24)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_on_the_gpu_rope_write_has_the_bits_of_apply_rope(
    dtype: torch.dtype, amplitude: float, num_rotated: int
) -> None:
    tolerance = 1e-6 if dtype == torch.float32 else 0.0
    check_rope_write(rope_write, dtype, amplitude, num_rotated, tolerance=tolerance, device="cuda", num_heads=19)


@pytest.mark.gpu
def test_on_the_gpu_far_positions_turn_by_exact_angles() -> None:
    """Every position to a million: the kernel's cosines are those of torch, after rounding."""
    positions = torch.arange(0, 1 << 20, 7, device="cuda")
    x = draw(len(positions), 1, 64, seed=5).to("cuda", torch.bfloat16)
    pages = torch.zeros(2, 1, PAGE, 64, dtype=torch.bfloat16, device="cuda")
    found = rope_write(
        x, x, x, positions, torch.zeros_like(positions), FREQUENCIES.cuda(), pages, pages.clone(), amplitude=1.0
    )
    assert torch.equal(found, apply_rope(x, positions, FREQUENCIES.cuda()))
    assert (pages == 0).all()
