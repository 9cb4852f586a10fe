"""Workload T of `benchmarks.rl_speed`: what both sides share. Sums at character level, fixed lengths, one reward.

The shape is SmolLM2-135M's with random weights; every completion has exactly `num_new` tokens, so speed does not depend
on what the model writes. Words of the vocabulary are letters but for the ten digits and some whole numbers, so that
about half of the random completions hold an integer and rewards differ inside the groups.
"""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers
import torch
from tokenizers import decoders, pre_tokenizers
from tokenizers import models as token_models

from fulmen.envs.base import SingleTurn
from fulmen.text import Tokenizer
from fulmen.text.tokenizer import STRUCTURE
from fulmen.types import Attempt, Complete, Episode, Message, Request, Score, Split, Task, stable_seed

LETTERS = "abcdefghijklmnopqrstuvwxyz"
NUMBER_EVERY = 384
"""One word of the vocabulary in so many is a whole number."""
END, PAD = "<end>", "<pad>"
SMOLLM2_135M: dict[str, Any] = {
    "vocab_size": 49_152, "hidden_size": 576, "num_hidden_layers": 30, "num_attention_heads": 9,
    "num_key_value_heads": 3, "head_dim": 64, "intermediate_size": 1536, "rope_theta": 1e5,
}  # fmt: skip
TINY: dict[str, Any] = {
    "vocab_size": 512, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 32, "intermediate_size": 128, "rope_theta": 1e4,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Shapes of one RL iteration."""

    model: dict[str, Any]
    """Of transformers' LlamaConfig."""
    num_prompts: int = 16
    group_size: int = 16
    num_new: int = 256
    """Tokens of every completion."""
    micro_batch: int = 64
    """Completions of one backward pass; a mini-batch with fewer goes through at once."""
    updates: tuple[int, ...] = (1, 16)
    """Optimizer steps per iteration that are compared."""
    lr: float = 1e-5
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-15
    clip_norm: float = 1.0
    weight_max: float = 5.0

    @property
    def num_completions(self) -> int:
        """Completions per iteration."""
        return self.num_prompts * self.group_size

    @property
    def num_generated(self) -> int:
        """Tokens drawn per iteration."""
        return self.num_completions * self.num_new

    @property
    def lengths(self) -> list[int]:
        """Tokens of each sequence of an iteration, prompts included; every iteration has the same ones."""
        return [len(sum_at(i).prompt) + self.num_new for i in range(self.num_prompts) for _ in range(self.group_size)]

    def micro(self, updates: int) -> int:
        """Returns the completions of one backward pass."""
        return min(self.micro_batch, self.num_completions // updates)


@dataclass(frozen=True, kw_only=True)
class Sum:
    """One task."""

    prompt: str
    gold: int


def sum_at(index: int) -> Sum:
    """Returns task `index` of the stream: `12+34=`, in one of eight tasks with a first number of one digit."""
    first = 1 + index * 7 % 9 if index % 8 == 7 else 10 + index * 37 % 90
    second = 10 + index * 29 % 90
    return Sum(prompt=f"{first}+{second}=", gold=first + second)


def reward(text: str, gold: int) -> float:
    """Returns 1 if the first integer of a completion is the sum, 0.1 for another integer, 0 without one."""
    found = re.search(r"-?\d+", text)
    if found is None:
        return 0.0
    return 1.0 if found.group() == str(gold) else 0.1


def words() -> Iterator[str]:
    """Yields a vocabulary without end: the task's characters, then words of letters and some whole numbers."""
    yield from (*STRUCTURE, PAD, *"0123456789+-=")
    index = 0
    for width in itertools.count(3):
        for letters in itertools.product(LETTERS, repeat=width):
            index += 1
            yield str(1000 + index) if index % NUMBER_EVERY == 0 else "".join(letters)


def backend(vocab_size: int) -> tokenizers.Tokenizer:
    """Returns the tokenizer of both sides: `vocab_size` words, text cut into characters, decoded by joining."""
    vocab = {word: token_id for token_id, word in enumerate(itertools.islice(words(), vocab_size))}
    assert len(vocab) == vocab_size, "words are distinct"
    tokenizer = tokenizers.Tokenizer(token_models.WordLevel(vocab, unk_token=PAD))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(tokenizers.Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return tokenizer


def transformers_tokenizer(vocab_size: int) -> Any:
    """Returns it for TRL; its end token lies past the head's last row, so that no completion can end early."""
    import transformers

    own = backend(vocab_size)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=own, eos_token=END, pad_token=PAD)


def fulmen_tokenizer(vocab_size: int) -> Tokenizer:
    """Returns it for fulmen, whose end token is inside the vocabulary and forbidden by `min_tokens`."""
    return Tokenizer(backend(vocab_size))


def write_weights(workload: Workload, folder: Path) -> None:
    """Writes transformers' random Llama in float32: the weights that every setting of either side starts from."""
    import transformers

    config = transformers.LlamaConfig(
        **{key: value for key, value in workload.model.items() if key != "rope_theta"},
        rope_parameters={"rope_type": "default", "rope_theta": workload.model["rope_theta"]},
        tie_word_embeddings=True, max_position_embeddings=2048,
        bos_token_id=None, eos_token_id=None, pad_token_id=None,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(config).save_pretrained(folder)


def transformers_model(folder: Path, *, dtype: torch.dtype) -> Any:
    """Returns the model of a folder, with the attention that is fastest in transformers without flash-attn."""
    import transformers

    return transformers.LlamaForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="sdpa")


@dataclass(frozen=True, kw_only=True)
class Sums(SingleTurn):
    """The tasks as an environment of fulmen's: bare prompts, no chat, scored by `reward`."""

    tokenizer: Tokenizer
    name: str = "sums"

    def task(self, split: Split, *, seed: int, index: int) -> Task:
        """Returns task `index`, whatever split and seed."""
        asked = sum_at(index)
        return Task(
            task_id=f"{self.name}-{index}", env=self.name, prompt=(Message(role="user", content=asked.prompt),),
            gold=str(asked.gold),
        )  # fmt: skip

    async def rollout(self, task: Task, complete: Complete, attempt: Attempt) -> Episode:
        """Returns one completion of the bare prompt."""
        request = Request(
            prompt_ids=tuple(self.tokenizer.encode(task.prompt[0].content)), sampling=attempt.sampling,
            seed=stable_seed(attempt.seed, task.task_id, attempt.index),
        )  # fmt: skip
        return Episode(completions=(await complete(request),))

    async def score(self, task: Task, episode: Episode) -> Score:
        """Returns the reward of the completion's text."""
        text = self.tokenizer.decode(episode.completions[-1].token_ids.tolist())
        return Score(value=reward(text, int(task.gold)))
