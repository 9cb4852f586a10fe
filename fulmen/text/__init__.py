"""Text to tokens and back; imports no torch."""

from fulmen.text.tokenizer import Tokenizer

__all__ = ["Tokenizer"]
