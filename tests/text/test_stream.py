"""Text as it comes: put together it is the decoded whole, cut at the first stop string."""

import time

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, decoders, models

from fulmen.errors import ConfigError
from fulmen.text.bpe import Vocabulary, build_tokenizer
from fulmen.text.stream import TextStream
from fulmen.text.template import ChatTemplate
from fulmen.text.tokenizer import BYTE_OF, END_THINK, STRUCTURE, THINK, Tokenizer

OURS = Tokenizer.train(["naïve 猫が好き 🐈‍⬛ two and two"] * 4, vocab_size=300)
SMALLEST = Tokenizer.train([], vocab_size=256 + len(STRUCTURE))
TEMPLATE = ChatTemplate(source="", tokens={"eos_token": "</s>"})


def with_added_tokens() -> Tokenizer:
    """Byte-level with a special token, and ordinary added ones: ASCII, all byte characters, none."""
    tokens = ["</s>", "<think>", "é", "a 猫", *sorted(BYTE_OF)]
    kinds = [3, 4, 4, 4, *[1] * 256]
    tokens.remove("é")
    kinds.remove(4)
    vocabulary = Vocabulary(tokens=tokens, kinds=kinds, merges=[], pre="gpt-2")
    return Tokenizer(build_tokenizer(vocabulary), template=TEMPLATE)


def other(decoder: decoders.Decoder, pieces: list[str]) -> Tokenizer:
    """A tokenizer with another decoder, a structural token and one that is left out."""
    vocabulary = {token: index for index, token in enumerate(["</s>", "<unk>", *pieces])}
    backend = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    backend.decoder = decoder
    backend.add_tokens([AddedToken("</s>", special=True), AddedToken("<pad>", special=True)])
    tokenizer = Tokenizer(backend, template=TEMPLATE)
    tokenizer.structural = {0: "</s>"}
    tokenizer.skipped = frozenset({backend.token_to_id("<pad>")})
    return tokenizer


BYTE_TOKENS = [f"<0x{byte:02X}>" for byte in b"\xe7\x8c\xab\xf0\x9f\x90\x88\xc3a\xff"]
LLAMA = decoders.Sequence(
    [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
)
TOKENIZERS = {
    "ours": OURS,
    "bytes only": SMALLEST,
    "added tokens": with_added_tokens(),
    "metaspace": other(decoders.Metaspace(), ["▁", "▁a", "b", "▁▁", "猫", "�", "."]),
    "byte fallback": other(LLAMA, ["▁", "▁a", "b", "▁▁", "猫", ".", *BYTE_TOKENS]),
    "byte-level in a sequence": other(decoders.Sequence([decoders.ByteLevel()]), sorted(BYTE_OF)),
    "wordpiece": other(decoders.WordPiece(), ["a", "##b", ".", "'", "s", "##.", "n't"]),
}


def pieces_of(tokenizer: Tokenizer, token_ids: list[int], cuts: list[int], stop: list[str]) -> tuple[str, TextStream]:
    """Feeds tokens in stretches whose lengths repeat `cuts`."""
    stream, shown, start, place = TextStream(tokenizer, stop=stop), "", 0, 0
    while start < len(token_ids):
        shown += stream.feed(token_ids[start : start + cuts[place % len(cuts)]])
        assert shown == stream.text
        start, place = start + cuts[place % len(cuts)], place + 1
    return shown + stream.finish(), stream


def cut(text: str, stop: list[str]) -> str:
    return text[: min((text.find(s) for s in stop if s in text), default=len(text))]


@pytest.mark.parametrize("name", TOKENIZERS)
@given(st.data())
def test_pieces_put_together_are_the_whole(name: str, data: st.DataObject) -> None:
    """Random tokens, most of them broken UTF-8, with stop strings cut out of their own text, and without."""
    tokenizer = TOKENIZERS[name]
    ids = st.integers(0, tokenizer.backend.get_vocab_size() - 1)
    token_ids = data.draw(st.lists(ids, max_size=24))
    whole = tokenizer.decode(token_ids)
    place = st.integers(0, max(len(whole) - 1, 0))
    found = st.tuples(place, st.integers(1, 6)).map(lambda where: whole[where[0] : where[0] + where[1]])
    stop = [text for text in data.draw(st.lists(found | st.text("ab\ufffd 猫", max_size=3), max_size=3)) if text]
    cuts = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    text, stream = pieces_of(tokenizer, token_ids, cuts, stop)
    assert text == stream.text == cut(whole, stop)
    assert stream.stopped == any(s in whole for s in stop)


@given(st.text(), st.text("ab", min_size=1, max_size=4), st.text("ab", max_size=30))
def test_stop_strings_of_repeating_letters_are_found(first: str, stop: str, rest: str) -> None:
    text = first + rest
    shown, _ = pieces_of(SMALLEST, SMALLEST.encode(text), [1], [stop, stop[::-1], "aab"])
    assert shown == cut(text, [stop, stop[::-1], "aab"])


def test_whole_characters_are_shown_at_once_and_halves_wait() -> None:
    stream = TextStream(SMALLEST)
    assert [stream.feed([token]) for token in SMALLEST.encode("aé猫")] == ["a", "", "é", "", "", "猫"]
    first, second, third = SMALLEST.encode("猫")
    assert stream.feed([first, second]) == ""
    assert stream.feed([SMALLEST.ids[END_THINK], third]) == "\ufffd" + END_THINK + "\ufffd"
    assert stream.feed([first]) == ""
    assert stream.finish() == "\ufffd"
    assert stream.text == f"aé猫\ufffd{END_THINK}\ufffd\ufffd"


def test_what_may_become_a_stop_string_waits_and_no_more() -> None:
    stream = TextStream(SMALLEST, stop=["\n\nEND", "猫"])
    feed = [stream.feed([token]) for token in SMALLEST.encode("a\n\n\nENd")]
    assert feed == ["a", "", "", "\n", "", "", "\n\nENd"]
    assert [stream.feed([token]) for token in SMALLEST.encode("é猫x")] == ["", "é", "", "", "", ""]
    assert stream.stopped
    assert stream.finish() == ""
    assert stream.text == "a\n\n\nENdé"


def test_a_stop_string_within_a_longer_one_waits_for_it() -> None:
    for text, shown in (("xabc", "x"), ("xabd", "xa"), ("xab", "xa")):
        stream = TextStream(SMALLEST, stop=["b", "abc"])
        assert stream.feed(SMALLEST.encode("xab")) == "x"
        assert not stream.stopped
        assert "x" + stream.feed(SMALLEST.encode(text[3:])) + stream.finish() == stream.text == shown
        assert stream.stopped
    stream = TextStream(SMALLEST, stop=["ab", "abc"])
    stream.feed(SMALLEST.encode("xab"))
    assert stream.stopped


def test_structure_can_be_a_stop_string() -> None:
    stream = TextStream(OURS, stop=["</think>"])
    assert stream.feed([OURS.ids[THINK], *OURS.encode("two"), OURS.ids[END_THINK]]) == "<think>\ntwo\n"
    assert stream.stopped


def test_an_empty_stop_string_is_refused() -> None:
    with pytest.raises(ConfigError, match="stop="):
        TextStream(OURS, stop=["a", ""])


@pytest.mark.parametrize("name", ["ours", "byte fallback", "byte-level in a sequence", "metaspace"])
def test_time_grows_with_the_number_of_tokens_alone(name: str) -> None:
    """4 000 tokens of any one kind; decoding from the start would take half a minute."""
    tokenizer = TOKENIZERS[name]
    start_s = time.perf_counter()
    for token_id in {2, 3, tokenizer.backend.get_vocab_size() - 3}:
        stream = TextStream(tokenizer, stop=["\ufffd" * 60 + "x", "  " * 40 + "x"])
        for _ in range(4_000):
            stream.feed([token_id])
        stream.finish()
        assert stream.text == tokenizer.decode([token_id] * 4_000)
    assert time.perf_counter() - start_s < 4
