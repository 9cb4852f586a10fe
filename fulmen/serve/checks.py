"""What a request may ask for, and which weights fit."""

from collections.abc import Mapping

from torch import Tensor

from fulmen.errors import ConfigError, DataError
from fulmen.text.chat import encode_prompt
from fulmen.text.tokenizer import Tokenizer
from fulmen.types import Request

COUNT_MAX = 1 << 31
"""Bound of all counts: they are kept as integers on the device."""


def check_sampling(request: Request, *, vocab_size: int) -> None:
    """Raises ConfigError for sampling settings out of range."""
    sampling = request.sampling
    for name, value, is_right, allowed in (
        ("temperature", sampling.temperature, sampling.temperature >= 0, "at least 0"),
        ("top_p", sampling.top_p, 0 < sampling.top_p <= 1, "above 0, at most 1"),
        ("top_k", sampling.top_k, 0 <= sampling.top_k < COUNT_MAX, "from 0 to 2^31 - 1"),
        ("min_p", sampling.min_p, 0 <= sampling.min_p <= 1, "from 0 to 1"),
        ("presence_penalty", sampling.presence_penalty, abs(sampling.presence_penalty) <= 2, "from -2 to 2"),
        ("frequency_penalty", sampling.frequency_penalty, abs(sampling.frequency_penalty) <= 2, "from -2 to 2"),
        ("repetition_penalty", sampling.repetition_penalty, 0 < sampling.repetition_penalty <= 10, "above 0, up to 10"),
        ("max_tokens", sampling.max_tokens, 1 <= sampling.max_tokens < COUNT_MAX, "at least 1, below 2^31"),
        ("min_tokens", sampling.min_tokens, 0 <= sampling.min_tokens <= sampling.max_tokens, "from 0 to max_tokens"),
        ("stop", sampling.stop, all(sampling.stop), "texts that are not empty"),
        ("thinking_budget", sampling.thinking_budget, 0 <= (sampling.thinking_budget or 0) < COUNT_MAX,
         "from 0 to 2^31 - 1, or None"),
        ("repetition_window", sampling.repetition_window, 1 <= sampling.repetition_window < COUNT_MAX,
         "at least 1, below 2^31"),
        ("top_logprobs", sampling.top_logprobs, 0 <= sampling.top_logprobs <= 20, "from 0 to 20"),
        ("deadline_s", sampling.deadline_s, (sampling.deadline_s or 0) >= 0, "at least 0, or None"),
        ("logit_bias", sampling.logit_bias, all(0 <= t < vocab_size and abs(b) <= 100 for t, b in sampling.logit_bias),
         f"tokens from 0 to {vocab_size - 1}, each from -100 to 100"),
        ("seed", request.seed, -(2**63) <= request.seed < 2**63, "64 bits"),
    ):  # fmt: skip
        if not is_right:
            raise ConfigError(f"{name}={value}; allowed: {allowed}")


def check_prompt(request: Request, tokenizer: Tokenizer, *, max_length: int) -> list[int]:
    """Returns the prompt's tokens.

    Raises: DataError for messages that make no prompt, tokens that do not exist, and more than `max_length` tokens
    together with the longest completion asked for.
    """
    if request.prompt_ids is not None and request.messages:
        raise DataError("a request has messages and prompt_ids; allowed: one of the two")
    if request.prompt_ids is None:
        prompt = encode_prompt(tokenizer, request.messages, tools=request.tools)
    else:
        prompt = [int(token) for token in request.prompt_ids]
        if not prompt or min(prompt) < 0 or max(prompt) >= tokenizer.vocab_size:
            raise DataError(
                f"prompt_ids of {len(prompt)} tokens; allowed: at least one, each from 0 to {tokenizer.vocab_size - 1}"
            )
    if len(prompt) + request.sampling.max_tokens > max_length:
        raise DataError(
            f"a prompt of {len(prompt)} tokens with max_tokens={request.sampling.max_tokens}; allowed: at most "
            f"{max_length} together"
        )
    return prompt


def check_weights(own: Mapping[str, Tensor], new: Mapping[str, Tensor]) -> None:
    """Raises ConfigError for new weights whose names or shapes are not those of a model's own."""
    wrong = sorted(own.keys() ^ new.keys()) or [name for name in own if own[name].shape != new[name].shape]
    if wrong:
        raise ConfigError(f"load_weights: {wrong[:3]} do not fit; allowed: the model's {len(own)} tensors")
