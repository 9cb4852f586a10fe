"""Which text of a completion is its answer."""

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fulmen.errors import DataError
from fulmen.rewards.math import extract
from tests.rewards.math_tables import checker


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"\boxed{5}", "5"),
        (r"It is $\boxed{\frac{1}{2}}$.", r"\frac{1}{2}"),
        (r"\boxed {5}", "5"),
        (r"\fbox{5}", "5"),
        (r"<think>\boxed{4} no, \boxed{5}</think> So $\boxed{6}$.", "6"),
        (r"a</think>b \boxed{1}</think> \boxed{2}", "2"),
        (r"\boxed{5} that is \boxed{ 5 }", "5"),
        (r"\boxed{\dfrac{1}{2}}, or \boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\{1,2\}}", r"\{1,2\}"),
        (r"\boxed{\left\{x \mid x>0\right\}}", r"\left\{x \mid x>0\right\}"),
        (r"\boxed{\text{a \} b}}", r"\text{a \} b}"),
        (r"a { b \boxed{5}", "5"),
        (r"a } b \boxed{5}", "5"),
        (r"\boxed{\boxed{5}}", r"\boxed{5}"),
        (r"\boxed{3 \boxed{4}}", r"3 \boxed{4}"),
        ("\\boxed{\n5\n}", "5"),
        (r"\boxed{5} and \boxed{6", "5"),
    ],
)
def test_found(text: str, answer: str) -> None:
    assert extract(text) == answer


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no closed"),
        ("the answer is maybe 3", "no closed"),
        ("The answer is: 3", "no closed"),
        (r"\boxed{3", "no closed"),
        (r"\boxed{\frac{1}{2}", "no closed"),
        (r"\boxed{}", "empty"),
        (r"\boxed{  }", "empty"),
        (r"\boxed{1} \boxed{2} \boxed{3} \boxed{4} \boxed{5}", "5 different"),
        (r"\boxed{3} so \boxed{4}", "2 different"),
        (r"\boxed{3} so \fbox{4}", "2 different"),
        (r"\boxed{3}</think>no box here, 3", "no closed"),
        (r"<think>\boxed{3}", "never ends"),
        (r"boxed{3}", "no closed"),
        (r"\\boxed{3}", "no closed"),
    ],
)
def test_not_found(text: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        extract(text)


@pytest.mark.parametrize(
    ("text", "is_strict"),
    [
        (r"So $\boxed{5}$.", True),
        (r"So \[ \boxed{5} \]", True),
        (r"<think>\boxed{4}</think>\boxed{5}", True),
        (r"\boxed{5} \boxed{5}", False),
        (r"\boxed{5} is it", False),
        (r"\boxed{5} \boxed{6", False),
        (r"\fbox{5}", False),
    ],
)
def test_strict_form(text: str, is_strict: bool) -> None:
    assert extract(text) == "5"
    if is_strict:
        assert extract(text, strict=True) == "5"
    else:
        with pytest.raises(DataError, match="strict form"):
            extract(text, strict=True)


@pytest.mark.parametrize(
    "text",
    [
        r"\boxed{1} \boxed{2} \boxed{3} \boxed{4} \boxed{5}",
        r"\boxed{1,2,3,4}",
        r"\boxed{3} so \boxed{4}",
        r"\boxed{3 \text{ or } 4}",
        "…maybe 3",
    ],
)
def test_the_audit_of_extraction(text: str) -> None:
    try:
        answer = extract(text)
    except DataError:
        return
    assert not checker().check(answer, "3").is_equal


@pytest.mark.parametrize(
    "text",
    [
        "\\boxed{" * 100_000,
        "{" * 500_000,
        "\\boxed{1}" * 50_000,
        "\\" * 500_000,
        "\\boxed{" + "{" * 250_000 + "}" * 250_001,
    ],
    ids=["openings", "braces", "boxes", "backslashes", "deep"],
)
def test_long_texts_cost_linear_time(text: str) -> None:
    started = time.process_time()
    with contextlib.suppress(DataError):
        extract(text)
    assert time.process_time() - started < 3.0


@given(st.text(alphabet="\\boxedf{}1 2</think>$", max_size=60))
def test_any_text_gives_an_answer_or_a_data_error(text: str) -> None:
    try:
        answer = extract(text)
    except DataError:
        return
    assert answer
    assert answer in text.rpartition("</think>")[2]


@given(st.text(max_size=20).filter(lambda text: "</think>" not in text and "boxed" not in text), st.integers(0, 999))
def test_a_box_is_found_behind_any_prose(prose: str, number: int) -> None:
    if prose.endswith("\\") or "fbox" in prose:
        return
    assert extract(f"{prose} \\boxed{{{number}}}") == str(number)
