"""Batched sampling with refill: the seed of the serving engine, and what rollouts and evaluations use.

Rows in use are the prefix of one cache. A finished row's place is taken by the last row in use, so every step runs on
a slice, and freed rows are refilled from the queue a few at a time. Requests that share a prompt share its prefill.
Left out here: paging, prefix cache, chunked prefill, streaming. Axes: `R` rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fulmen.errors import ConfigError
from fulmen.model import Cache, Model
from fulmen.serve.sampling import sample, uniform
from fulmen.serve.stops import REASONS, stop_codes, update_repetition
from fulmen.text.chat import decode_completion, encode_prompt
from fulmen.text.tokenizer import Tokenizer
from fulmen.types import Completion, Request


class Engine:
    """Completes conversations with a model it shares with whoever trains it: weight updates need no copy.

    Implements `fulmen.types.Generate`. Set `policy_version` after each update; completions carry it.
    """

    def __init__(self, model: Model, tokenizer: Tokenizer, *, num_slots: int = 256) -> None:
        if num_slots < 1:
            raise ConfigError(f"num_slots={num_slots}; allowed: at least 1")
        if tokenizer.vocab_size > model.config.vocab_size:
            raise ConfigError(
                f"the tokenizer has {tokenizer.vocab_size} tokens; allowed: at most the model's "
                f"vocab_size={model.config.vocab_size}"
            )
        if model.config.num_experts > 128:
            raise ConfigError(f"num_experts={model.config.num_experts}; allowed: at most 128, routes are kept as int8")
        self.model, self.tokenizer, self.num_slots = model, tokenizer, num_slots
        self.policy_version = 0

    @torch.inference_mode()
    def __call__(
        self, requests: Sequence[Request], *, on_finish: Callable[[int], None] | None = None
    ) -> list[Completion]:
        """Returns one completion per request, in order.

        Raises: ConfigError for sampling settings out of range.
        """
        for request in requests:
            _check(request)
        prompts = [encode_prompt(self.tokenizer, request.messages) for request in requests]
        completions: dict[int, Completion] = {}
        rows = _Rows(self.model, self.tokenizer, requests, prompts, min(self.num_slots, max(len(requests), 1)))
        next_request = 0
        while len(completions) < len(requests):
            logits = [rows.step()] if rows.num_active else []
            waiting = len(requests) - next_request
            free = rows.num_rows - rows.num_active
            if waiting and (free >= max(rows.num_rows // 8, 1) or not rows.num_active):
                count = min(free, waiting)
                logits.append(rows.admit(range(next_request, next_request + count)))
                next_request += count
            for index, tokens, logprobs, expert_ids, reason in rows.sample(torch.cat(logits)):
                completions[index] = Completion(
                    prompt_ids=np.array(prompts[index], dtype=np.int64),
                    token_ids=tokens,
                    logprobs=logprobs,
                    stop_reason=REASONS[reason - 1],
                    message=decode_completion(self.tokenizer, tokens.tolist()),
                    policy_version=self.policy_version,
                    expert_ids=expert_ids,
                )
                if on_finish is not None:
                    on_finish(len(tokens))
        return [completions[index] for index in range(len(requests))]


def _check(request: Request) -> None:
    sampling = request.sampling
    for name, value, is_right, allowed in (
        ("temperature", sampling.temperature, sampling.temperature >= 0, "at least 0"),
        ("top_p", sampling.top_p, 0 < sampling.top_p <= 1, "above 0, at most 1"),
        ("max_tokens", sampling.max_tokens, sampling.max_tokens >= 1, "at least 1"),
        ("repetition_window", sampling.repetition_window, sampling.repetition_window >= 1, "at least 1"),
        ("seed", request.seed, -(2**63) <= request.seed < 2**63, "64 bits"),
    ):
        if not is_right:
            raise ConfigError(f"{name}={value}; allowed: {allowed}")


@dataclass
class _Slots:
    """Per-row settings and counters, one tensor each; moved together when rows are compacted."""

    request: Tensor
    seed: Tensor
    temperature: Tensor
    top_p: Tensor
    max_tokens: Tensor
    window: Tensor
    threshold: Tensor
    prompt_length: Tensor
    num_tokens: Tensor
    run: Tensor
    last_token: Tensor
    tokens: Tensor
    logprobs: Tensor
    expert_ids: Tensor

    def move(self, destination: Tensor, source: Tensor) -> None:
        for tensor in vars(self).values():
            tensor[destination] = tensor[source]


class _Rows:
    """The rows of one call: cache, counters and outputs; rows [0, num_active) are in use."""

    def __init__(
        self, model: Model, tokenizer: Tokenizer, requests: Sequence[Request], prompts: list[list[int]], num_rows: int
    ) -> None:
        self.model, self.requests, self.prompts, self.num_rows = model, requests, prompts, num_rows
        self.vocab_size, self.end_id, self.num_active = tokenizer.vocab_size, tokenizer.end_id, 0
        weight = model.lm_head.weight
        self.device = weight.device
        longest = max((r.sampling.max_tokens for r in requests), default=1)
        max_length = max((len(p) + r.sampling.max_tokens for p, r in zip(prompts, requests, strict=True)), default=1)
        self.cache = Cache.allocate(
            model.config, num_rows=num_rows, max_length=max_length, dtype=weight.dtype, device=self.device
        )
        routes = model.config.num_routes
        integers = {
            name: torch.zeros(num_rows, dtype=torch.int64, device=self.device)
            for name in ("request", "seed", "max_tokens", "window", "prompt_length", "num_tokens", "run", "last_token")
        }
        logits_dtype = torch.promote_types(weight.dtype, torch.float32)
        floats = {
            name: torch.ones(num_rows, dtype=logits_dtype, device=self.device)
            for name in ("temperature", "top_p", "threshold")
        }
        self.slots = _Slots(
            **integers,
            **floats,
            tokens=torch.zeros(num_rows, longest, dtype=torch.int64, device=self.device),
            logprobs=torch.zeros(num_rows, longest, dtype=logits_dtype, device=self.device),
            expert_ids=torch.zeros(num_rows, max_length, routes, dtype=torch.int8, device=self.device),
        )

    def admit(self, indices: range) -> Tensor:
        """Prefills requests into the next free rows; returns the logits that follow their prompts."""
        start, stop = self.num_active, self.num_active + len(indices)
        unique: dict[tuple[int, ...], int] = {}
        row_of = [unique.setdefault(tuple(self.prompts[index]), len(unique)) for index in indices]
        lengths = torch.tensor([len(prompt) for prompt in unique], device=self.device)
        cu_seqlens = torch.nn.functional.pad(lengths.cumsum(0), (1, 0))
        token_ids = torch.tensor([[token for prompt in unique for token in prompt]], device=self.device)
        fresh = self.cache.rows(start, start + len(unique))
        fresh.clear()
        encoded = self.model.encode(token_ids, cu_seqlens=cu_seqlens, cache=fresh)
        logits = self.model.logits(encoded.hidden[0, cu_seqlens[1:] - 1])
        source = torch.tensor(row_of, device=self.device)
        self.cache.rows(start, stop).assign(fresh, source)

        slots, sampling = self.slots, [self.requests[index].sampling for index in indices]
        for name, values in (
            ("request", list(indices)),
            ("seed", [self.requests[index].seed for index in indices]),
            ("temperature", [s.temperature for s in sampling]),
            ("top_p", [s.top_p for s in sampling]),
            ("max_tokens", [s.max_tokens for s in sampling]),
            ("window", [s.repetition_window for s in sampling]),
            ("threshold", [s.repetition_p for s in sampling]),
        ):
            tensor = getattr(slots, name)
            tensor[start:stop] = torch.tensor(values, dtype=tensor.dtype)
        slots.prompt_length[start:stop] = lengths[source]
        slots.num_tokens[start:stop] = 0
        slots.run[start:stop] = 0
        routes = encoded.expert_ids[0].to(torch.int8).split(lengths.tolist())
        for row, prompt in enumerate(row_of):
            slots.expert_ids[start + row, : len(routes[prompt])] = routes[prompt]
        self.num_active = stop
        return logits[source]

    def step(self) -> Tensor:
        """Feeds every active row its last token; returns the logits that follow."""
        active = self.cache.rows(0, self.num_active)
        positions = active.lengths_R.clone()
        encoded = self.model.encode(self.slots.last_token[: self.num_active, None], cache=active)
        rows = torch.arange(self.num_active, device=self.device)
        self.slots.expert_ids[rows, positions] = encoded.expert_ids[:, 0].to(torch.int8)
        return self.model.logits(encoded.hidden[:, 0])

    def sample(self, logits: Tensor) -> list[tuple[int, np.ndarray, np.ndarray, np.ndarray, int]]:
        """Draws a token for every active row and frees the rows that end.

        Returns (request, tokens, logprobs, expert ids, stop code) of each ended row.
        """
        n, slots = self.num_active, self.slots
        logits[:, self.vocab_size :] = -torch.inf
        noise = uniform(slots.seed[:n], slots.num_tokens[:n])
        drawn = sample(logits, slots.temperature[:n], slots.top_p[:n], noise)
        rows = torch.arange(n, device=self.device)
        slots.tokens[rows, slots.num_tokens[:n]] = drawn.token_ids
        slots.logprobs[rows, slots.num_tokens[:n]] = drawn.logprob
        slots.last_token[:n] = drawn.token_ids
        slots.num_tokens[:n] += 1
        slots.run[:n] = update_repetition(slots.run[:n], drawn.model_p, slots.threshold[:n])
        codes = stop_codes(
            drawn.token_ids, slots.num_tokens[:n], slots.run[:n],
            end_id=self.end_id, max_tokens_R=slots.max_tokens[:n], window_R=slots.window[:n],
        )  # fmt: skip
        ended = codes.nonzero().squeeze(1)
        if not len(ended):
            return []
        results = []
        for row, code in zip(ended.tolist(), codes[ended].tolist(), strict=True):
            length = int(slots.num_tokens[row])
            routed = int(slots.prompt_length[row]) + length - 1
            results.append(
                (
                    int(slots.request[row]),
                    slots.tokens[row, :length].cpu().numpy().copy(),
                    slots.logprobs[row, :length].cpu().numpy().copy(),
                    slots.expert_ids[row, :routed].cpu().numpy().copy(),
                    code,
                )
            )
        self._compact(codes == 0)
        return results

    def _compact(self, keep_R: Tensor) -> None:
        """Moves the last kept rows into the places of ended ones, so that rows in use stay a prefix."""
        remaining = int(keep_R.sum())
        holes = (~keep_R[:remaining]).nonzero().squeeze(1)
        movers = keep_R[remaining:].nonzero().squeeze(1) + remaining
        if len(holes):
            self.cache.move(holes, movers)
            self.slots.move(holes, movers)
        self.num_active = remaining
