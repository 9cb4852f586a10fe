"""A grammar in the engine: it holds for the answer, lets the model think first, and fails alone."""

import json

import numpy as np
import pytest

from fulmen.errors import ConfigError
from fulmen.serve import Engine
from fulmen.serve.answer import AnswerMasker
from fulmen.serve.grammar import TokenMasker
from fulmen.text.parse import ThinkingMarkers
from fulmen.text.tokenizer import END_THINK, THINK
from fulmen.types import Grammar
from tests.serve.test_engine import TOKENIZER, ask, assert_same, complete_alone, make_model

DIGITS = Grammar(kind="regex", source="[0-9]{3}")


class Odd:
    """Allows the odd ones of the first 32 tokens."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def mask(self) -> np.ndarray:
        return np.array([-0x55555556], dtype=np.int32)

    def advance(self, token_id: int) -> None:
        self.seen.append(token_id)


def allowed(masker: AnswerMasker) -> set[int]:
    (word,) = masker.mask().view(np.uint32).tolist()
    return {token for token in range(32) if word >> token & 1}


def test_the_first_token_may_open_thinking_which_is_free_but_cannot_be_the_end() -> None:
    inner = Odd()
    masker = AnswerMasker(inner, ThinkingMarkers(opening=(4, 6), closing=(8, 10), forced=(8, 10)), end_id=2)
    odd = set(range(1, 32, 2))
    assert allowed(masker) == odd | {4}
    for token in (4, 6):
        masker.advance(token)
    for token in (8, 12, 8):
        assert allowed(masker) == set(range(32)) - {2}
        masker.advance(token)
    masker.advance(10)
    assert allowed(masker) == odd
    assert inner.seen == []
    masker.advance(7)
    assert inner.seen == [7]
    assert allowed(masker) == odd


def test_an_answer_follows_its_grammar_among_others_that_have_none() -> None:
    requests = [ask("two", seed=i, max_tokens=12, grammar=DIGITS if i % 2 else None) for i in range(6)]
    for overlapped in (False, True):
        engine = Engine(make_model(), TOKENIZER, num_slots=4, is_overlapped=overlapped)
        for request, completion in zip(requests, engine(requests), strict=True):
            if request.sampling.grammar is None:
                assert_same(completion, complete_alone(request))
            else:
                message = completion.message
                assert message.thinking or (message.content.isdigit() and len(message.content) == 3)


def test_a_schema_gives_json() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"enum": [1, 22]}},
        "required": ["a"],
        "additionalProperties": False,
    }
    grammar = Grammar(kind="json_schema", source=json.dumps(schema))
    bias = ((TOKENIZER.ids[THINK], -100.0), (TOKENIZER.ids[END_THINK], -100.0))
    request = ask("two", seed=1, max_tokens=120, grammar=grammar, logit_bias=bias)
    completion = Engine(make_model(), TOKENIZER)([request])[0]
    assert completion.stop_reason == "stop"
    assert json.loads(completion.message.content)["a"] in (1, 22)


def test_a_bad_grammar_is_refused_before_anything_runs() -> None:
    engine = Engine(make_model(), TOKENIZER)
    with pytest.raises(ConfigError):
        engine([ask("two"), ask("two", grammar=Grammar(kind="regex", source="("))])
    assert not engine.has_work


def test_a_grammar_that_fails_on_the_way_ends_its_request_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: TokenMasker) -> np.ndarray:
        raise ConfigError("too large a grammar")

    monkeypatch.setattr(TokenMasker, "mask", fail)
    plain = ask("two", seed=2)
    failed, mine = Engine(make_model(), TOKENIZER)([ask("two", seed=1, grammar=DIGITS), plain])
    assert (failed.stop_reason, failed.error) == ("error", "too large a grammar")
    assert_same(mine, complete_alone(plain))
