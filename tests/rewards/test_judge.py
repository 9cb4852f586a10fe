"""Judges: what is right in spite of its form, what is wrong in spite of it, hostile output."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fulmen.errors import ConfigError, DataError, VerifierError
from fulmen.rewards.judge import Judge, JudgeKind, find_fault

EXACT, TOKENS, FLOATS, LINES, JSON = (Judge(kind=kind) for kind in ("exact", "tokens", "floats", "lines", "json"))
SPECIAL = Judge(kind="special", special=f"{__name__}:same_parity")
HUGE = 64 << 10


def same_parity(given: str, output: str, expected: str) -> str:
    if output == "crash":
        raise ZeroDivisionError("of the judge")
    if output == "none":
        return None  # type: ignore[return-value]
    if not output.strip().isdigit():
        raise DataError("output: no number; allowed: a number")
    return "" if (int(output) - int(given)) % 2 == 0 else "parity differs"


def is_right(judge: Judge, output: bytes | str, expected: str, given: str = "") -> bool:
    data = output.encode() if isinstance(output, str) else output
    return find_fault(judge, data, given=given, expected=expected) == ""


RIGHT = [
    (EXACT, "1 2\n3", "1 2  \n3\n\n"),
    (EXACT, "1 2\r\n3\r\n", "1 2\n3"),
    (TOKENS, " 1\t2\r\n\n3 ", "1 2 3"),
    (TOKENS, "", "\n"),
    (FLOATS, "0.3333334 yes", "0.33333333 yes"),
    (FLOATS, "1000000.4", "1000000.0"),
    (FLOATS, "1e3 -0 +7 .5", "1000.0 0 7 0.5"),
    (FLOATS, "2", "2.0"),
    (LINES, "b 1\na  2\n\n", "a 2\nb 1"),
    (LINES, "x\nx\ny", "y\nx\nx"),
    (JSON, ' [1, 2.0000001, {"a": null, "b": [true, "é"]}] ', '[1, 2, {"b": [true, "é"], "a": null}]'),
    (JSON, "[]", "[]"),
    (JSON, "0.30000000000000004", "0.3"),
]
WRONG = [
    (EXACT, "1  2", "1 2"),
    (EXACT, " 1", "1"),
    (EXACT, "1\n\n2", "1\n2"),
    (TOKENS, "1 2", "1 2 3"),
    (TOKENS, "1 2 3 4", "1 2 3"),
    (TOKENS, "12", "1 2"),
    (TOKENS, "1\u20282", "1 2"),
    (TOKENS, "1.0", "1"),
    (TOKENS, "\ufeff1", "1"),
    (FLOATS, "0.3334", "0.33333333"),
    (FLOATS, "nan", "1.0"),
    (FLOATS, "inf", "1e5"),
    (FLOATS, "1e999", "1e5"),
    (FLOATS, "1_0", "10.0"),
    (FLOATS, "٣", "3.0"),
    (FLOATS, "1000000008", "1000000007"),
    (FLOATS, "1" * 5000, "1.0"),
    (LINES, "a\na", "a"),
    (LINES, "a", "a\nb"),
    (LINES, "2 a", "a 2"),
    (JSON, "[1, 2]", "[2, 1]"),
    (JSON, "[1]", "[1, 2]"),
    (JSON, "true", "1"),
    (JSON, "1", "true"),
    (JSON, '"1"', "1"),
    (JSON, "[]", "{}"),
    (JSON, "null", "0"),
    (JSON, "NaN", "0.0"),
    (JSON, "1e999", "1e308"),
    (JSON, "9" * 4000, "1.5"),
    (JSON, "9" * 5000, "1"),
    (JSON, "1 1", "1"),
    (JSON, "", "null"),
    (JSON, '{"a": 1}', '{"a": 1, "b": 2}'),
    (JSON, "[" * 60_000, "[]"),
]


@pytest.mark.parametrize(("judge", "output", "expected"), RIGHT)
def test_right_in_spite_of_its_form(judge: Judge, output: str, expected: str) -> None:
    assert is_right(judge, output, expected)


@pytest.mark.parametrize(("judge", "output", "expected"), WRONG, ids=lambda value: str(value)[:12])
def test_wrong_in_spite_of_its_form(judge: Judge, output: str, expected: str) -> None:
    assert not is_right(judge, output, expected)


def test_tolerances_are_settings() -> None:
    loose = Judge(kind="floats", abs_tol=0.5, rel_tol=0.0)
    assert is_right(loose, "1.5", "1.0")
    assert not is_right(loose, "1.51", "1.0")
    strict = Judge(kind="json", abs_tol=0.0, rel_tol=0.0)
    assert not is_right(strict, "0.30000000000000004", "0.3")


@pytest.mark.parametrize("kind", ["exact", "tokens", "floats", "lines", "json"])
def test_undecodable_output_is_wrong(kind: JudgeKind) -> None:
    for output in (b"\xff\xfe1", b"1\xc3", b"\xed\xa0\x80"):
        assert "UTF-8" in find_fault(Judge(kind=kind), output, given="", expected=output.decode("utf-8", "replace"))


def test_special_judges_decide() -> None:
    assert is_right(SPECIAL, "4", "2", given="8")
    assert find_fault(SPECIAL, b"3", given="8", expected="2") == "parity differs"
    assert "no number" in find_fault(SPECIAL, b"x", given="8", expected="2")
    assert "UTF-8" in find_fault(SPECIAL, b"\xff", given="8", expected="2")
    for output in (b"crash", b"none"):
        with pytest.raises(VerifierError, match=r"judge\.special"):
            find_fault(SPECIAL, output, given="8", expected="2")


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"abs_tol": -1.0}, "judge.abs_tol"),
        ({"rel_tol": float("nan")}, "judge.rel_tol"),
        ({"kind": "special"}, "judge.special"),
        ({"special": "a:b"}, "judge.special"),
        ({"kind": "special", "special": "no colon"}, "judge.special"),
    ],
)
def test_settings_that_cannot_judge(settings: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        Judge(**settings)  # type: ignore[arg-type]


def test_a_special_judge_that_is_not_there() -> None:
    for name in ("fulmen.no_such_module:f", "fulmen.errors:no_such_name", "fulmen.rewards.judge:MAX_OUTPUT_BYTES"):
        with pytest.raises(ConfigError, match=r"judge\.special"):
            find_fault(Judge(kind="special", special=name), b"", given="", expected="")


def test_hostile_output_is_judged_fast() -> None:
    outputs = [
        b"\x00" * HUGE,
        b" " * HUGE,
        b"1 " * (HUGE // 2),
        b"9" * HUGE,
        b"1e9" * (HUGE // 3),
        b"[" * HUGE,
        b"[1," * (HUGE // 3),
        b'"' + b"\\u0000" * (HUGE // 6) + b'"',
        b"\n" * HUGE,
        b"." * HUGE,
        b"0" * HUGE + b"x",
    ]
    start = time.process_time()
    for judge in (EXACT, TOKENS, FLOATS, LINES, JSON):
        for output in outputs:
            fault = find_fault(judge, output, given="", expected="1 2 3" if judge is not JSON else "[1, 2, 3]")
            assert 0 < len(fault) < 300
    assert time.process_time() - start < 2.0
    assert "allowed: up to" in find_fault(TOKENS, b"1" * (2 << 20), given="", expected="1")


@given(text=st.text(), wanted=st.sampled_from(["", "1", "1 2.5\nx", "[1, 2]"]))
def test_arbitrary_output_never_raises(text: str, wanted: str) -> None:
    data = text.encode("utf-8", "surrogatepass")
    for judge in (EXACT, TOKENS, FLOATS, LINES):
        assert isinstance(find_fault(judge, data, given="", expected=wanted), str)
        if not any("\ud800" <= c <= "\udfff" for c in text):
            assert is_right(judge, data, text)
    assert isinstance(find_fault(JSON, data, given="", expected="[1, 2]"), str)


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=12,
    )
)
def test_a_json_value_equals_itself_and_no_list_around_it(value: object) -> None:
    text = json.dumps(value)
    assert is_right(JSON, text, text)
    assert not is_right(JSON, f"[{text}]", text)
