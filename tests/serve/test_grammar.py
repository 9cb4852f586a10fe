"""Grammars: what the masks let through is what the grammar means, in any tokenizer; nothing structural is."""

import json
import random
import re
import sys
from typing import Any

import numpy as np
import pytest
import tokenizers
from tokenizers import AddedToken, decoders, models

from fulmen.errors import ConfigError
from fulmen.serve import grammar as grammar_module
from fulmen.serve.grammar import TokenMasker, make_masker
from fulmen.text.bpe import Vocabulary, build_tokenizer
from fulmen.text.parse import HERMES_STYLE, MINIMAX_STYLE, CompletionParser, ParserStyle
from fulmen.text.template import ChatTemplate
from fulmen.text.tokenizer import BYTE_OF, Tokenizer
from fulmen.text.tools import tool_grammar
from fulmen.types import Grammar

OURS = Tokenizer.train(['{"name": "add", "arguments": {"a": 12}}', "two and two 猫\n"] * 4, vocab_size=320)
PADDED = 333
SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"enum": ["é", "猫\n"]}},
    "required": ["a", "b"],
    "additionalProperties": False,
}
TOOLS: list[dict[str, Any]] = [
    {"type": "function", "function": {"name": "add", "parameters": {
        "type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"],
        "additionalProperties": False}}},
    {"name": 'say "é"\\', "parameters": {"type": "object", "properties": {"text": {"type": "string", "maxLength": 3}},
                                         "required": ["text"], "additionalProperties": False}},
    {"name": "now"},
]  # fmt: skip


def hermes() -> Tokenizer:
    """A vocabulary of bytes with the call tags as added tokens, and one whose name is white space."""
    tokens = ["</s>", "<tool_call>", "</tool_call>", " ", *sorted(BYTE_OF)]
    vocabulary = Vocabulary(tokens=tokens, kinds=[3, 4, 4, 3, *[1] * 256], merges=[], pre="gpt-2")
    return Tokenizer(build_tokenizer(vocabulary), template=ChatTemplate(source="", tokens={"eos_token": "</s>"}))


def with_byte_fallback() -> Tokenizer:
    texts = ["</s>", "<unk>", "▁", "a", "1", "12", "{", "}", '"', ":"]
    vocabulary = {text: index for index, text in enumerate(texts)}
    vocabulary |= {f"<0x{byte:02X}>": len(vocabulary) + byte for byte in range(256)}
    backend = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>", byte_fallback=True))
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    backend.add_tokens([AddedToken("</s>", special=True), AddedToken("<unk>", special=True)])
    return Tokenizer(backend, template=ChatTemplate(source="", tokens={"eos_token": "</s>"}))


TOKENIZERS = {"ours": OURS, "hermes": hermes(), "byte fallback": with_byte_fallback()}


def json_grammar(schema: Any) -> Grammar:
    return Grammar(kind="json_schema", source=json.dumps(schema))


def allowed(masker: TokenMasker, vocab_size: int) -> list[int]:
    bits = np.unpackbits(masker.mask().view(np.uint8), bitorder="little")
    assert not bits[vocab_size:].any()
    return np.flatnonzero(bits[:vocab_size]).tolist()


def is_accepted(tokenizer: Tokenizer, grammar: Grammar, text: str) -> bool:
    """Whether the masks let a text through, and then the end token."""
    masker = make_masker(tokenizer, grammar, tokenizer.vocab_size)
    for token_id in [*tokenizer.encode(text), tokenizer.end_id]:
        if token_id not in allowed(masker, tokenizer.vocab_size):
            return False
        assert masker.is_complete or token_id != tokenizer.end_id
        masker.advance(token_id)
    return masker.is_complete


def draw(tokenizer: Tokenizer, grammar: Grammar, seed: int) -> str:
    """Draws among allowed tokens, the end token as soon as it is; nothing structural is allowed on the way."""
    generator, masker, token_ids = random.Random(seed), make_masker(tokenizer, grammar, PADDED), []
    while tokenizer.end_id not in (choices := allowed(masker, PADDED)):
        assert choices, "a dead end"
        assert len(token_ids) < 500, "no end"
        assert max(choices) < tokenizer.vocab_size
        assert not masker.is_complete
        assert tokenizer.structural.keys().isdisjoint(choices)
        token_ids.append(generator.choice(choices))
        masker.advance(token_ids[-1])
    assert masker.is_complete
    assert tokenizer.structural.keys() & choices == {tokenizer.end_id}
    return tokenizer.decode(token_ids)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_what_is_drawn_follows_the_grammar(name: str) -> None:
    tokenizer = TOKENIZERS[name]
    lark = Grammar(kind="lark", source='start: "<" /[ab]{1,3}/ ">" ("," start)?')
    for seed in range(12):
        record = json.loads(draw(tokenizer, json_grammar(SCHEMA), seed))
        assert set(record) == {"a", "b"}
        assert isinstance(record["a"], int)
        assert record["b"] in ("é", "猫\n")
        assert re.fullmatch("[0-9]{2}|猫a?", draw(tokenizer, Grammar(kind="regex", source="[0-9]{2}|猫a?"), seed))
        assert re.fullmatch("<[ab]{1,3}>", draw(tokenizer, lark, seed))


@pytest.mark.parametrize("name", TOKENIZERS)
def test_everything_the_grammar_means_can_be_drawn_and_nothing_else(name: str) -> None:
    tokenizer, schema = TOKENIZERS[name], json_grammar(SCHEMA)
    for indent in (None, 1, 8):
        assert is_accepted(tokenizer, schema, json.dumps({"a": 12, "b": "é"}, ensure_ascii=False, indent=indent))
    for text in ('{"a": 1}', '{"a": "1", "b": "é"}', '{"a": 1, "b": "é"', '{"a": 1, "b": "é"} ', "", "[]"):
        assert not is_accepted(tokenizer, schema, text)
    regex = Grammar(kind="regex", source="a+|猫")
    assert all(is_accepted(tokenizer, regex, text) for text in ("a", "aaa", "猫"))
    assert not any(is_accepted(tokenizer, regex, text) for text in ("", "猫猫", "b"))


def test_the_end_is_one_choice_of_several_while_more_may_follow() -> None:
    masker = make_masker(OURS, Grammar(kind="regex", source="a+"), PADDED)
    (letter,) = OURS.encode("a")
    assert OURS.end_id not in allowed(masker, PADDED)
    masker.advance(letter)
    assert masker.is_complete
    assert {letter, OURS.end_id} <= set(allowed(masker, PADDED))
    masker.advance(OURS.end_id)
    assert allowed(masker, PADDED) == [OURS.end_id]


def test_a_structural_line_break_is_no_line_break() -> None:
    """Ours has a structural token whose text is a line break; JSON may hold the other one."""
    masker = make_masker(OURS, json_grammar(SCHEMA), OURS.vocab_size)
    masker.advance(OURS.encode("{")[0])
    assert OURS.encode("\n")[0] in allowed(masker, OURS.vocab_size)
    assert OURS.ids["\n"] not in allowed(masker, OURS.vocab_size)


def test_white_space_is_bounded() -> None:
    text = '{{{}"a": 1, "b": "é"}}'
    assert is_accepted(OURS, json_grammar(SCHEMA), text.format(" " * 64))
    assert not is_accepted(OURS, json_grammar(SCHEMA), text.format(" " * 65))


def test_completions_of_one_grammar_do_not_meet() -> None:
    grammar = Grammar(kind="regex", source="ab|cd")
    first, second = (make_masker(OURS, grammar, PADDED) for _ in range(2))
    before = second.mask().copy()
    first.advance(OURS.encode("a")[0])
    assert (second.mask() == before).all()
    assert (first.mask() != before).any()
    assert before.dtype == np.int32
    assert before.shape == ((PADDED + 31) // 32,)


@pytest.mark.parametrize(
    ("kind", "source", "reason"),
    [
        ("json_schema", '{"type": "objct"}', "objct"),
        ("json_schema", '{"type": "object"', "line 1 column"),
        ("json_schema", "[1]", "object schema"),
        ("json_schema", '{"not": {"type": "integer"}}', "not"),
        ("json_schema", '{"type": "integer", "minimum": 3, "maximum": 1}', "minimum"),
        ("regex", "(a", "unclosed group"),
        ("lark", "start: other", 'unknown name: "other"'),
    ],
)
def test_a_grammar_that_cannot_be_read_is_refused_with_the_reason(kind: Any, source: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=f"(?s)grammar: no {kind} can be read .*{reason}"):
        make_masker(OURS, Grammar(kind=kind, source=source), PADDED)


def test_a_token_that_is_not_allowed_is_a_broken_promise() -> None:
    masker = make_masker(OURS, Grammar(kind="regex", source="a"), PADDED)
    with pytest.raises(AssertionError, match="is not allowed here"):
        masker.advance(OURS.encode("b")[0])


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    grammar_module._compile.cache_clear()
    with pytest.raises(ConfigError, match=r"needs llguidance; .* 'fulmen\[structured\]'"):
        make_masker(OURS, Grammar(kind="regex", source="a"), PADDED)


@pytest.mark.parametrize(("name", "style"), [("ours", MINIMAX_STYLE), ("hermes", HERMES_STYLE)])
def test_calls_that_are_drawn_are_read_as_calls_of_the_tools(name: str, style: ParserStyle) -> None:
    tokenizer = TOKENIZERS[name]
    drawn = []
    for seed in range(12):
        parser = CompletionParser(style)
        parser.feed(draw(tokenizer, tool_grammar(TOOLS, style=style), seed))
        parser.finish()
        assert parser.message.content == parser.message.thinking == ""
        assert parser.message.tool_calls
        for call in parser.message.tool_calls:
            drawn.append((call.name, *json.loads(call.arguments)))
            assert "\n" not in call.arguments
    assert set(drawn) == {("add", "a"), ('say "é"\\', "text"), ("now",)}


@pytest.mark.parametrize(("name", "style"), [("ours", MINIMAX_STYLE), ("hermes", HERMES_STYLE)])
def test_calls_of_other_shapes_cannot_be_drawn(name: str, style: ParserStyle) -> None:
    tokenizer = TOKENIZERS[name]
    add, now = '{"name": "add", "arguments": {"a": 12}}', '{"name": "now", "arguments": {}}'
    border = f"\n{style.calls_close}\n{style.calls_open}\n" if style.is_one_call else "\n"

    def is_call(*lines: str, **options: Any) -> bool:
        text = f"{style.calls_open}\n{border.join(lines)}\n{style.calls_close}"
        return is_accepted(tokenizer, tool_grammar(TOOLS, style=style, **options), text)

    assert is_call(add)
    assert is_call(add, now, add)
    assert is_call(add, name="add")
    assert is_call('{"name": "say \\"é\\"\\\\", "arguments": {"text": "猫"}}')
    assert is_call(now, is_single=True)
    assert not is_call(add, now, is_single=True)
    assert not is_call(now, name="add")
    assert not is_call(add, now, name="add")
    assert not is_call()
    assert not is_call('{"name": "add", "arguments": {"a": "12"}}')
    assert not is_call('{"name": "add", "arguments": {"a":\n12}}')
    assert not is_call('{"name": "sub", "arguments": {"a": 12}}')
    assert not is_call('{"arguments": {"a": 12}, "name": "add"}')
    assert not is_accepted(tokenizer, tool_grammar(TOOLS, style=style), "I would rather not.")


@pytest.mark.parametrize(
    ("tools", "name", "message"),
    [
        ([], None, r"tools=\[\]; allowed: some"),
        (TOOLS, "sub", r"tool_choice='sub'; allowed: one of \['add', "),
        ([{"type": "retrieval", "name": "x"}], None, "allowed: functions with a name"),
        ([{"type": "function", "function": {"description": "x"}}], None, "allowed: functions with a name"),
        ([{"name": "x", "parameters": {"type": "array"}}], None, "allowed: a schema of an object"),
        ([{"name": "x", "parameters": 3}], None, "allowed: a schema of an object"),
    ],
)
def test_tools_that_cannot_be_called_are_refused(tools: list[dict[str, Any]], name: str | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        tool_grammar(tools, name=name)
