"""The engine on one GPU: decoding at 2,048 tokens of context, rollouts from end to end, HTTP streams; beside peers.

    python -m benchmarks.serve                # one GPU, bfloat16, about six minutes
    python -m benchmarks.serve --selftest     # CPU, tiny shapes: runs every line, measures nothing

Models are random at the named shapes. Decoding: B different prompts of 1,920 tokens are prefilled and go on to 2,080;
the wall clock runs over 72 steps in which all B decode, sampling and host included; every prompt has blocks of its
own. The roofline is what the card's own copy needs for the bytes of a step: active weights once, keys and values of
the context, states as chunk-aligned decoding moves them. Rollouts: 16 prompts x 16 completions of 256 tokens, prefill
included, end token forbidden. Peers: transformers' `generate` and `generate_batch` (continuous batching), same shapes,
same card, same run. Before anything is timed, greedy tokens of a batch are compared with one forward pass of the model.
"""

import argparse
import gc
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import tokenizers
import torch
from tokenizers import models as token_models

from benchmarks.gpu import copy_bytes_per_s, hardware, write_result
from fulmen.model import Model, ModelConfig
from fulmen.serve import Engine
from fulmen.text import Tokenizer
from fulmen.text.tokenizer import STRUCTURE
from fulmen.types import Request, Sampling

DENSE: dict[str, Any] = {"num_experts": 0, "mlps": "D", "tied_head": True}
SHAPES: dict[str, ModelConfig] = {
    "hybrid-135m": ModelConfig(
        vocab_size=32_768, hidden_size=768, num_layers=16, num_heads=12, num_kv_heads=4, head_dim=64,
        intermediate_size=2048, **DENSE,
    ),
    "hybrid-1b": ModelConfig(
        vocab_size=65_536, hidden_size=2048, num_layers=24, num_heads=16, num_kv_heads=4, head_dim=128,
        intermediate_size=5632, **DENSE,
    ),
    "hybrid-1b-moe": ModelConfig(
        vocab_size=65_536, hidden_size=1024, num_layers=24, num_heads=8, num_kv_heads=2, head_dim=128,
        intermediate_size=704, num_experts=16, num_experts_per_token=2, tied_head=True,
    ),
    "smollm2-135m": ModelConfig(
        vocab_size=49_152, hidden_size=576, num_layers=30, num_heads=9, num_kv_heads=3, head_dim=64,
        intermediate_size=1536, mixers="S", rotary_dim=64, residual="plain", rope_theta=1e5, **DENSE,
    ),
}  # fmt: skip
TINY = ModelConfig(
    vocab_size=400,
    hidden_size=64,
    num_layers=8,
    num_heads=2,
    num_kv_heads=1,
    head_dim=64,
    intermediate_size=64,
    **DENSE,
)
BATCHES = (1, 64, 256)
CONTEXT = 2048
PROMPT, DRAWN, TIMED = 1920, 160, 72


def word_tokenizer(vocab_size: int) -> Tokenizer:
    """Returns a tokenizer of so many made-up words, in MiniMax-M1's dialect."""
    words = [*STRUCTURE, *(f"w{index}" for index in range(vocab_size - len(STRUCTURE)))]
    backend = tokenizers.Tokenizer(
        token_models.WordLevel({word: index for index, word in enumerate(words)}, unk_token=words[-1])
    )
    backend.add_special_tokens(list(STRUCTURE))
    return Tokenizer(backend)


def make_model(config: ModelConfig, device: str) -> Model:
    """Returns a random model whose logits differ enough for greedy tokens to be compared."""
    with torch.device("meta"):
        model = Model(config)
    model = model.to(torch.bfloat16 if device == "cuda" else torch.float32).to_empty(device=device)
    model.init_weights(0)
    return model


def prompts(config: ModelConfig, count: int, length: int, *, seed: int = 0) -> list[tuple[int, ...]]:
    """Returns different prompts of ordinary tokens."""
    rng = np.random.default_rng(seed)
    return [tuple(row) for row in rng.integers(20, config.vocab_size, (count, length)).tolist()]


def step_bytes(config: ModelConfig, batch: int, context: int) -> float:
    """Returns the bytes that one decoding step has to move, in bfloat16 with chunk-aligned float32 states."""
    experts = config.num_experts
    head = config.vocab_size * config.hidden_size
    weights = float(config.num_parameters() - (0 if config.tied_head else head))
    if experts:
        share = config.num_experts_per_token / experts
        hit = 1 - (1 - share) ** batch
        all_experts = config.num_expert_layers * experts * 3 * config.hidden_size * config.intermediate_size
        weights -= all_experts * (1 - hit)
    softmax = config.num_layers - config.num_lightning_layers
    kv = softmax * config.num_kv_heads * config.head_dim * 2 * 2 * context
    square = config.num_heads * config.head_dim**2
    # The shadow is read every step, state and shadow move on once per chunk, half the ring is read on average.
    state = square * (2 + (4 + 4 + 2) / 64) + config.num_heads * config.head_dim * 2 * 2 * 32
    return 2 * weights + batch * (kv + config.num_lightning_layers * state)


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def check_greedy(model: Model, tokenizer: Tokenizer) -> dict[str, float]:
    """Returns how far the engine is from one forward pass over what it wrote: equal greedy tokens, |dlogprob|."""
    engine = Engine(model, tokenizer, num_slots=16, max_length=512)
    requests = [
        Request(prompt_ids=p, sampling=Sampling(temperature=0.0, max_tokens=70), seed=0)
        for p in prompts(model.config, 16, 90, seed=1)
    ]
    equal, worst, count = 0, 0.0, 0
    for completion in engine(requests):
        tokens = np.concatenate([completion.prompt_ids, completion.token_ids])
        with torch.inference_mode():
            logits = model(torch.tensor(tokens[None, :-1], device=model.lm_head.weight.device)).logits[0]
        logits = logits[len(completion.prompt_ids) - 1 :, : tokenizer.vocab_size]
        drawn = torch.tensor(completion.token_ids, device=logits.device)
        # A tie of two rounded logits may fall either way.
        best = logits.gather(1, drawn[:, None])[:, 0] >= logits.amax(1) - 0.02 * logits.abs().amax(1)
        equal += int(best.sum())
        count += len(drawn)
        assert completion.model_logprobs is not None
        expected = logits.log_softmax(-1).gather(1, drawn[:, None])[:, 0].cpu().numpy()
        worst = max(worst, float(np.abs(expected - completion.model_logprobs).max()))
    engine.release()
    return {"greedy_equal_frac": equal / count, "logprob_abs_diff_max": worst}


def decode_rate(model: Model, tokenizer: Tokenizer, batch: int, device: str, **options: Any) -> float:
    """Returns tokens per second of a batch that only decodes."""
    prompt, drawn, timed = (PROMPT, DRAWN, TIMED) if device == "cuda" else (40, 24, 6)
    engine = Engine(model, tokenizer, num_slots=batch, max_length=prompt + drawn, **options)
    sampling = Sampling(max_tokens=drawn)
    for seed, ids in enumerate(prompts(model.config, batch, prompt)):
        engine.submit(Request(prompt_ids=ids, sampling=sampling, seed=seed), has_text=False)
    while engine.stats().num_waiting:
        engine.step()
    for _ in range(3):
        engine.step()
    synchronize(device)
    start, first, ended = time.perf_counter(), engine.stats().drawn_tokens, 0
    for _ in range(timed):
        ended += len(engine.step())
    synchronize(device)
    elapsed, drawn_tokens = time.perf_counter() - start, engine.stats().drawn_tokens - first
    assert not ended, "a sequence ended while the batch was to be whole"
    assert drawn_tokens == batch * timed, "a sequence waited while the batch was to be whole"
    while engine.has_work:
        engine.step()
    engine.release()
    return drawn_tokens / elapsed


def rollout_rate(model: Model, tokenizer: Tokenizer, device: str) -> float:
    """Returns generated tokens per second of 16 x 16 completions of 256 tokens, from submission to the last array."""
    groups, size, length = (16, 16, 256) if device == "cuda" else (2, 2, 8)
    requests = [
        Request(prompt_ids=ids, sampling=Sampling(max_tokens=length, min_tokens=length), seed=group * size + member)
        for group, ids in enumerate(prompts(model.config, groups, 8))
        for member in range(size)
    ]
    engine = Engine(model, tokenizer, num_slots=groups * size, max_length=512)
    rates = []
    for _ in range(4):
        start = time.perf_counter()
        completions = engine(requests)
        rates.append(sum(len(c.token_ids) for c in completions) / (time.perf_counter() - start))
    engine.release()
    return statistics.median(rates[1:])


def transformers_model(config: ModelConfig, device: str) -> Any:
    """Returns transformers' random model of the same shape; a dense hybrid has one expert that every token passes."""
    import transformers

    common = {
        "vocab_size": config.vocab_size, "hidden_size": config.hidden_size, "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads, "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_dim, "intermediate_size": config.intermediate_size, "tie_word_embeddings": True,
        "max_position_embeddings": 4096, "bos_token_id": None, "eos_token_id": None, "pad_token_id": None,
    }  # fmt: skip
    if config.num_lightning_layers:
        kinds = ["linear_attention" if config.mixer(i) == "L" else "full_attention" for i in range(config.num_layers)]
        shape = transformers.MiniMaxConfig(
            **common, layer_types=kinds, num_local_experts=max(config.num_experts, 1),
            num_experts_per_tok=config.num_experts_per_token if config.num_experts else 1,
        )  # fmt: skip
    else:
        shape = transformers.LlamaConfig(**common)
    torch.manual_seed(0)
    with torch.device(device):
        return transformers.AutoModelForCausalLM.from_config(shape, dtype=torch.bfloat16).eval()


def generate_rate(model: Any, config: ModelConfig, batch: int, device: str, *, context: int, drawn: int) -> float:
    """Returns tokens per second of transformers' `generate`, the second half of its tokens."""
    ids = torch.tensor(prompts(config, batch, context), device=device)
    options = {"do_sample": True, "temperature": 1.0, "top_k": 0, "attention_mask": torch.ones_like(ids)}

    def timed(count: int) -> float:
        synchronize(device)
        start = time.perf_counter()
        with torch.inference_mode():
            model.generate(ids, max_new_tokens=count, min_new_tokens=count, pad_token_id=0, **options)
        synchronize(device)
        return time.perf_counter() - start

    timed(2)
    short, long = timed(drawn // 2), timed(drawn)
    return batch * (drawn - drawn // 2) / (long - short)


def generate_batch_rate(model: Any, config: ModelConfig) -> float:
    """Returns tokens per second of transformers' continuous batching on the rollouts' load."""
    import transformers

    inputs = [list(ids) for ids in prompts(config, 16, 8) for _ in range(16)]
    settings = transformers.GenerationConfig(
        max_new_tokens=256, do_sample=True, temperature=1.0, top_k=0, eos_token_id=-1, pad_token_id=0
    )
    start = time.perf_counter()
    outputs = model.generate_batch(inputs=inputs, generation_config=settings)
    return sum(len(o.generated_tokens) for o in outputs.values()) / (time.perf_counter() - start)


def attempt(row: dict[str, Any], measure: Callable[[], float]) -> None:
    """Adds the rate to a row, or what went wrong."""
    try:
        row["tok_per_s"] = measure()
    except Exception as error:
        row["error"] = f"{type(error).__name__}: {error}"[:300]
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--selftest", action="store_true", help="tiny shapes on the CPU")
    parser.add_argument("--models", nargs="*", default=list(SHAPES))
    parser.add_argument("--batches", nargs="*", type=int, default=list(BATCHES))
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--no-http", action="store_true")
    parser.add_argument("--tag", default="serve")
    args = parser.parse_args()
    device = "cpu" if args.selftest else "cuda"
    shapes = {"hybrid-tiny": TINY} if args.selftest else {name: SHAPES[name] for name in args.models}
    batches = [1, 4] if args.selftest else args.batches
    bandwidth = 1e10 if args.selftest else copy_bytes_per_s()
    rows: list[dict[str, Any]] = []
    record: dict[str, Any] = {"hardware": hardware(), "copy_bytes_per_s": bandwidth, "rows": rows, "checks": {}}
    begin = time.perf_counter()

    def add(impl: str, name: str, batch: int, what: str, measure: Callable[[], float]) -> None:
        config = shapes[name]
        context = CONTEXT if what == "decode" else 136
        row: dict[str, Any] = {"impl": impl, "model": name, "B": batch, "context": context, "what": what}
        attempt(row, measure)
        if "tok_per_s" in row:
            row["roofline_frac"] = row["tok_per_s"] * step_bytes(config, batch, context) / batch / bandwidth
        rows.append(row)
        rate = f"{row['tok_per_s']:>10,.0f} tok/s {row['roofline_frac']:6.1%}" if "tok_per_s" in row else row["error"]
        print(f"{time.perf_counter() - begin:6.0f}s  {impl:24} {name:14} B={batch:<4} {what:8} {rate}", flush=True)

    for name, config in shapes.items():
        model, tokenizer = make_model(config, device), word_tokenizer(config.vocab_size)
        record["checks"][name] = check_greedy(model, tokenizer)
        print(name, f"{config.num_parameters():,} parameters", record["checks"][name], flush=True)
        for batch in batches:
            add("fulmen", name, batch, "decode", partial(decode_rate, model, tokenizer, batch, device))
        if not config.num_lightning_layers or args.selftest:
            add("fulmen", name, 256, "rollouts", partial(rollout_rate, model, tokenizer, device))
        if name == "hybrid-135m" or args.selftest:
            add("fulmen invariant", name, batches[-1], "decode",
                partial(decode_rate, model, tokenizer, batches[-1], device, is_invariant=True))  # fmt: skip
            if not args.no_http:
                from benchmarks.serve_http import http_load

                record["http"] = http_load(model, tokenizer, num_streams=8 if args.selftest else 256)
                print("http", record["http"], flush=True)
        del model
        gc.collect()
        if args.no_peers or args.selftest:
            continue
        torch.cuda.empty_cache()
        peer = transformers_model(config, device)
        peer_batches = batches if name == "smollm2-135m" else batches[:1]
        for batch in peer_batches:
            add("transformers generate", name, batch, "decode",
                partial(generate_rate, peer, config, batch, device, context=PROMPT, drawn=32))  # fmt: skip
        if not config.num_lightning_layers:
            add("transformers generate", name, 256, "rollouts",
                partial(generate_rate, peer, config, 256, device, context=8, drawn=64))  # fmt: skip
            add("transformers batching", name, 256, "rollouts", partial(generate_batch_rate, peer, config))
        del peer
        gc.collect()
        torch.cuda.empty_cache()
    print(write_result(args.tag, record))


if __name__ == "__main__":
    main()
