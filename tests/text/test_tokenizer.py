"""The tokenizer: text survives, digits stand alone, structure cannot be typed."""

from pathlib import Path

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from fulmen.errors import CheckpointError, ConfigError, DataError
from fulmen.text.tokenizer import END_THINK, END_TURN, STRUCTURE, THINK, Tokenizer

CORPUS = [
    "the cat sat on the mat; the dog sat on the log.",
    "12 + 30 = 42, 12 + 31 = 43, 12 * 12 = 144",
    "naïve façade — 猫が好き 🐈‍⬛🐈\n\n\tindented\r\nlines",
    "<think>\nthinking aloud\n</think>\n",
    "[[1,2],[3,4]] ([]) {()} ... ?! ?! )*( )*(",
] * 5
TOKENIZER = Tokenizer.train(CORPUS, vocab_size=400)
SMALLEST = Tokenizer.train([], vocab_size=256 + len(STRUCTURE))


@given(st.text())
@pytest.mark.parametrize("tokenizer", [TOKENIZER, SMALLEST], ids=["trained", "bytes only"])
def test_any_text_survives(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(
    st.lists(st.sampled_from([*STRUCTURE, "<", ">", "/", "think", " ", "7", "\n\n", "é", "🐈", "\x00"])).map("".join)
)
def test_structure_cannot_be_typed_and_still_survives_as_text(text: str) -> None:
    token_ids = TOKENIZER.encode(text)
    assert not set(token_ids) & set(TOKENIZER.ids.values())
    assert TOKENIZER.decode(token_ids) == text


@given(st.text("0123456789", min_size=1))
def test_every_digit_is_a_token_of_its_own(digits: str) -> None:
    token_ids = TOKENIZER.encode(digits)
    assert len(token_ids) == len(digits)
    assert token_ids == [TOKENIZER.encode(digit)[0] for digit in digits]


@pytest.mark.parametrize("text", ["cat,dog", "(1+2)*3=9", "a...b?!", "[[1,2],[3,4]]", "{()}([])"])
def test_ascii_punctuation_is_never_merged(text: str) -> None:
    pieces = [TOKENIZER.decode([token_id]) for token_id in TOKENIZER.encode(text)]
    assert "".join(pieces) == text
    assert all(len(piece) == 1 or piece.isalpha() for piece in pieces)


def test_frequent_words_are_one_token() -> None:
    """Merges were learnt at all: the vocabulary is more than bytes."""
    assert TOKENIZER.vocab_size > SMALLEST.vocab_size == 256 + len(STRUCTURE)
    assert len(TOKENIZER.encode(" the")) == 1
    assert len(SMALLEST.encode(" the")) == 4


def test_structural_tokens_have_distinct_ids_and_are_written_out() -> None:
    assert len(set(TOKENIZER.ids.values())) == len(STRUCTURE)
    for text, token_id in TOKENIZER.ids.items():
        assert TOKENIZER.decode([token_id]) == text
    ids = TOKENIZER.ids
    assert TOKENIZER.decode([ids[THINK], *TOKENIZER.encode("é1"), ids[END_THINK], ids[END_TURN]]) == (
        "<think>\né1\n</think>\n<end_of_sentence>"
    )
    assert TOKENIZER.end_id == ids["<end_of_sentence>"]


def test_every_id_below_vocab_size_decodes_and_none_above_exists() -> None:
    assert all(TOKENIZER.backend.id_to_token(token_id) is not None for token_id in range(TOKENIZER.vocab_size))
    assert TOKENIZER.backend.id_to_token(TOKENIZER.vocab_size) is None


def test_broken_utf8_becomes_the_replacement_character() -> None:
    """Also where a structural token stands between the bytes of one character."""
    first, *rest = SMALLEST.encode("é")
    assert len(rest) == 1
    assert SMALLEST.decode([first]) == "\ufffd"
    assert SMALLEST.decode([first, SMALLEST.end_id, *rest]) == "\ufffd<end_of_sentence>\ufffd"


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(DataError, match="surrogates not allowed"):
        TOKENIZER.encode("a\ud800b")


def test_training_is_reproducible_and_takes_what_it_needs() -> None:
    again = Tokenizer.train(iter(CORPUS), vocab_size=400)
    assert again.backend.to_str() == TOKENIZER.backend.to_str()
    assert Tokenizer.train(CORPUS, vocab_size=300).vocab_size == 300


def test_a_vocabulary_too_small_for_all_bytes_is_refused() -> None:
    least = 256 + len(STRUCTURE)
    with pytest.raises(ConfigError, match=f"vocab_size={least - 1}; allowed: at least {least}"):
        Tokenizer.train(CORPUS, vocab_size=least - 1)


def test_a_saved_tokenizer_encodes_alike(tmp_path: Path) -> None:
    TOKENIZER.save(tmp_path)
    loaded = Tokenizer.load(tmp_path)
    assert loaded.ids == TOKENIZER.ids
    for text in [*CORPUS, "<think>\nuser name=user\n\n12"]:
        assert loaded.encode(text) == TOKENIZER.encode(text)
        assert loaded.decode(loaded.encode(text)) == text


def test_a_tokenizer_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: no readable tokenizer"):
        Tokenizer.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"model": 1}')
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: no readable tokenizer"):
        Tokenizer.load(tmp_path)


def test_a_tokenizer_without_our_structure_is_refused() -> None:
    with pytest.raises(DataError, match="lacks the structural tokens"):
        Tokenizer(tokenizers.Tokenizer(tokenizers.models.BPE()))
