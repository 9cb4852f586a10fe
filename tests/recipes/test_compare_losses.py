"""fulmen compare-losses: the readings of two numbers, by hand, and one line for what cannot be read."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fulmen import cli
from fulmen.recipes.compare_losses import FRAMEWORKS, Args, faults, measure, weights_of
from fulmen.rl import cispo, ppo

BY_NAME = {framework.name: framework for framework in FRAMEWORKS}


def table(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    cli.main(["compare-losses", *argv])
    return capsys.readouterr().out


def failure(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["compare-losses", *argv])
    assert stopped.value.code == 2
    return capsys.readouterr().err


def span(name: str, **given: float) -> tuple[float, float]:
    row = measure(BY_NAME[name], Args(**given))  # type: ignore[arg-type]
    return row["weight_min"], row["weight_max"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fulmen", (0, 5)),
        ("TRL 1.16", (0, 0.2)),
        ("swift, Liger, unsloth", (0, 0.2)),
        ("verl 0.9.1", (0.8, 1.2)),
        ("SkyRL", (0, 5)),
        ("slime", (0.8, 1.2)),
        ("AReaL", (0.8, 5)),
        ("NeMo-RL", (0.8, 1.2)),
        ("open-instruct", (0, 1.2)),
        ("ROLL", (0.9, 1.1)),
        ("PipelineRL", (0, 1.2)),
        ("tinker, SkyRL-tx", (0, 4)),
        ("minimind", (0, 5)),
    ],
)
def test_defaults_are_those_of_the_frameworks(name: str, expected: tuple[float, float]) -> None:
    assert span(name) == pytest.approx(expected)


def test_every_framework_of_the_table_is_there_once() -> None:
    assert len(BY_NAME) == len(FRAMEWORKS) == 13


def test_one_number_is_a_cap_here_and_an_offset_there() -> None:
    # "epsilon_high = 5": a cap of 5 or of 6.
    caps = {name: span(name, eps_high=5.0)[1] for name in BY_NAME}
    assert {name for name, cap in caps.items() if cap == 5} == {
        "fulmen", "TRL 1.16", "swift, Liger, unsloth", "tinker, SkyRL-tx", "minimind",
    }  # fmt: skip
    assert {cap for name, cap in caps.items() if cap != 5} == {6.0}
    # verl's example: low=10 is a floor of -9, and its 0.2 a cap of 1.2.
    assert span("verl 0.9.1", eps_low=10.0, eps_high=0.2) == (-9.0, 1.2)
    # SkyRL's nine months: low 0 is a floor of 1.
    assert span("SkyRL", eps_low=0.0, eps_high=5.0) == (1.0, 6.0)
    # What the code fixes, no number changes.
    assert span("minimind", eps_low=0.5, eps_high=0.5) == (0, 5)


def test_weights_are_the_clamped_ratios_and_ours_are_those_of_the_loss() -> None:
    args = Args()
    assert measure(BY_NAME["NeMo-RL"], args)["positive"] == [0.8, 0.8, 1.0, 1.2, 1.2, 1.2, 1.2]
    assert measure(BY_NAME["TRL 1.16"], args)["negative"] == [0.1, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2]
    ours, by_loss = measure(BY_NAME["fulmen"], args), weights_of(cispo, args)
    for sign in ("positive", "negative"):
        np.testing.assert_allclose(ours[sign], by_loss[sign], rtol=1e-12)


def test_ppos_clip_drops_by_sign() -> None:
    weights = weights_of(ppo, Args(ratios=(0.1, 0.5, 1.0, 2.0, 10.0)))
    np.testing.assert_allclose(weights["positive"], [0.1, 0.5, 1.0, 0.0, 0.0], rtol=1e-12)
    np.testing.assert_allclose(weights["negative"], [0.0, 0.0, 1.0, 2.0, 10.0], rtol=1e-12)


@pytest.mark.parametrize("cap", [5.0, 8.0])
def test_the_settings_advised_for_a_cap_give_it(cap: float) -> None:
    for framework in FRAMEWORKS:
        advised = measure(framework, Args(cap=cap))["for_cap"]
        if framework.convention == "fixed":
            assert advised == f"min(r, {cap:g}) in its code"
            continue
        numbers = dict(part.split("=") for part in advised.split(", "))
        low, high = numbers.pop("low", None), float(numbers.popitem()[1])
        given: dict[str, Any] = {"eps_high": high, "eps_low": None if low is None else float(low)}
        assert span(framework.name, **given) == (0.0, cap), framework.name


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ((0.0, 0.2), ["on-policy tokens too weigh 0.2"]),
        ((0.0, 5.0), []),
        ((0.8, 1.2), ["a cap of 1.2", "a floor of 0.8"]),
        ((1.0, 6.0), ["no token is attenuated"]),
        ((-9.0, 1.2), ["a cap of 1.2", "a floor of -9 never acts"]),
        ((10.0, 0.2), ["an empty range: every token weighs 0.2", "no token is attenuated"]),
    ],
)
def test_what_is_wrong_with_a_range_is_said(bounds: tuple[float, float], words: list[str]) -> None:
    found = faults(*bounds)
    assert len(found) == len(words)
    for sentence, word in zip(found, words, strict=True):
        assert word in sentence


def test_the_tables_show_numbers_names_and_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    out = table(capsys)
    line = next(line for line in out.splitlines() if "TRL 1.16" in line)
    assert line.split() == ["TRL", "1.16", "0", "to", "0.2", "0.1", "0.2", "0.2", "0.2", "0.2", "0.2", "0.2"]
    for word in (*(name.split(",")[0] for name in BY_NAME), "0/10", "weight_max=5", "epsilon_high=5", "beware"):
        assert word in out
    assert "says nothing" in out.replace("\n", " ")


def test_an_example_shows_what_multiplies_each_gradient(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    out = table(capsys, "--eps-high", "4", "--ratios", "0.5", "8", "--advantages", "2", "-1", "--out", str(path))
    rows = {line.split(" ")[2]: line.split()[-2:] for line in out.splitlines() if "4 to" in line or " to " in line}
    assert rows["fulmen"] == ["1", "-4"]
    assert rows["verl"] == ["1.6", "-5"]
    assert rows["PPO's"] == ["1", "-8"]
    written = json.loads(path.read_text())
    assert written["eps_high"] == 4
    assert len(written["frameworks"]) == 13
    assert written["frameworks"][0]["positive"] == [0.5, 4.0]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("--eps-high", "-1"), "eps_high=-1.0; allowed: at least 0"),
        (("--eps-low", "nan"), "eps_low=nan; allowed: at least 0"),
        (("--eps-high", "inf"), "eps_high=inf; allowed: at least 0"),
        (("--ratios", "0"), "ratios=(0.0,); allowed: at least one, each above 0"),
        (("--ratios", "1", "-2"), "ratios=(1.0, -2.0)"),
        (("--ratios", "1", "nan"), "ratios=(1.0, nan)"),
        (("--ratios", "1", "2", "--advantages", "1"), "advantages=(1.0,); allowed: none, or one for each of 2 ratios"),
        (("--ratios", "1", "--advantages", "inf"), "advantages=(inf,); allowed: finite numbers"),
        (("--cap", "1"), "cap=1.0; allowed: above 1"),
    ],
)
def test_bad_input_is_one_line(argv: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    error = failure(capsys, *argv)
    assert message in error
    assert error.count("\n") == 1


def test_no_ratio_is_refused() -> None:
    with pytest.raises(Exception, match=r"ratios=\(\); allowed: at least one"):
        Args(ratios=())
    assert math.isclose(Args().cap, 5.0)
