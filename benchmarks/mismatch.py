"""How far sampling and training probabilities are apart in bfloat16, with the head in bfloat16, float32 out, float32.

    python -m benchmarks.mismatch --train [FOLDER ...]   # one GPU; about a minute each, and one to train
    python -m benchmarks.mismatch --train --selftest     # CPU

The report's Figure 3: the probability of each sampled token as the engine had it, against that of a full forward pass
of the learner over the finished completion; Pearson's r before (bfloat16 head on both sides) and after (float32). The
engine records and the learner replays no routing here: what differs is what would differ in training without replay.
"invariant" runs both sides with products, attention and lightning attention whose results do not depend on the batch:
there the largest difference is the claim. Sampling at temperature 1 from each checkpoint's own tasks. `--train` makes
a hybrid MoE of 5M parameters (heads of 64, so that the tile kernels run) with the demo's cold start first.
"""

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.gpu import hardware, write_result
from fulmen.envs import Brackets, Countdown, Mixture, Sudoku
from fulmen.kernels.invariant import batch_invariant
from fulmen.kernels.logprob import head_logits
from fulmen.model import Model, ModelConfig
from fulmen.recipes.common import TASK_NAMES, cold_start_conversation, fresh_model, load_checkpoint, make_mixture
from fulmen.serve import Engine
from fulmen.text import Tokenizer
from fulmen.train import Trainer
from fulmen.train.muon import Muon
from fulmen.train.optim import Schedule
from fulmen.train.sft import cross_entropy, sft_batch
from fulmen.types import Completion, Message, Request, Sampling

HEADS = ("bf16", "fp32_out", "fp32")
QUESTIONS = (
    "What is gravity?", "Write a haiku about the sea.", "Explain how a bicycle stays upright.", "List five fruits.",
    "Who was Ada Lovelace?", "Give me a recipe for pancakes.", "Why is the sky blue?", "Tell me a short story.",
)  # fmt: skip
HYBRID = ModelConfig(
    vocab_size=320, hidden_size=256, num_layers=8, num_heads=4, num_kv_heads=2, head_dim=64, intermediate_size=128,
    num_experts=4, rope_theta=1e4,
)  # fmt: skip
LR = 4e-3
QUANTILES = (0.5, 0.9, 0.99, 0.999, 1.0)


def head(kind: str, hidden: Tensor, weight: Tensor) -> Tensor:
    """Returns logits in float32: rounded to bfloat16, of float32 sums, or of float32 operands."""
    if kind == "bf16":
        return (hidden @ weight.T).float()
    if kind == "fp32":
        return hidden.float() @ weight.float().T
    return head_logits(hidden, weight)


@contextlib.contextmanager
def head_of(model: Model, kind: str) -> Iterator[None]:
    """The model's logits are made the named way inside."""
    model.logits = lambda hidden: head(kind, hidden, model.lm_head.weight)  # type: ignore[method-assign]
    try:
        yield
    finally:
        del model.logits


def requests(num: int, max_tokens: int, *, is_own_dialect: bool) -> list[Request]:
    """Returns tasks of the demo's environments, or questions for a general model."""
    env = Mixture([Countdown(), Sudoku(), Brackets()])
    prompts = [env.task("heldout", seed=0, index=i).prompt for i in range(num)]
    if not is_own_dialect:
        prompts = [(Message(role="user", content=QUESTIONS[i % len(QUESTIONS)]),) for i in range(num)]
    return [Request(messages=tuple(p), sampling=Sampling(max_tokens=max_tokens), seed=i) for i, p in enumerate(prompts)]


@torch.inference_mode()
def learner_logprobs(model: Model, completions: list[Completion], num_real: int, *, is_invariant: bool) -> np.ndarray:
    """Returns log-probabilities of the completions' tokens by full forward passes over packed documents, as learnt."""
    device, parts = model.lm_head.weight.device, []
    for start in range(0, len(completions), 32):
        batch = completions[start : start + 32]
        documents = [np.concatenate([c.prompt_ids, c.token_ids])[:-1] for c in batch]
        borders = np.cumsum([0, *(len(d) for d in documents)])
        tokens = torch.tensor(np.concatenate(documents)[None], device=device)
        hidden = model.encode(
            tokens, cu_seqlens=torch.tensor(borders, device=device), is_invariant=is_invariant
        ).hidden[0]
        for document, c in enumerate(batch):
            first = borders[document] + len(c.prompt_ids) - 1
            logits = model.logits(hidden[first : borders[document + 1]])
            logits[:, num_real:] = -torch.inf
            targets = torch.tensor(c.token_ids, device=device)
            parts.append(logits.log_softmax(-1).gather(1, targets[:, None])[:, 0].float().cpu().numpy())
    return np.concatenate(parts)


def compare(name: str, mine: np.ndarray, its: np.ndarray) -> dict[str, Any]:
    """Returns Pearson's r of the probabilities, quantiles of |dlogprob|, and points for a picture."""
    p, q = np.exp(mine.astype(np.float64)), np.exp(its.astype(np.float64))
    difference = np.abs(mine.astype(np.float64) - its)
    chosen = np.random.default_rng(0).permutation(len(p))[:3000]
    return {
        "setting": name, "num_tokens": len(p), "pearson": float(np.corrcoef(p, q)[0, 1]),
        "abs_diff_mean": float(difference.mean()), "share_equal": float((difference == 0).mean()),
        "abs_diff_quantiles": {str(x): float(np.quantile(difference, x)) for x in QUANTILES},
        "points": np.round(np.stack((p[chosen], q[chosen]), 1), 4).tolist(),
    }  # fmt: skip


def trained_hybrid(device: str, num_steps: int, rows: int) -> tuple[Model, Tokenizer]:
    """Returns a small hybrid MoE after a cold start on the demo's tasks, trained in float32."""
    env = make_mixture(TASK_NAMES)
    model, tokenizer = fresh_model(HYBRID, env, seed=0)
    trainer = Trainer(
        model.to(device), Muon(model.named_parameters(), lr=LR), balance_coefficient=0.01,
        vocab_size=tokenizer.vocab_size,
    )  # fmt: skip
    schedule = Schedule(peak=LR, num_steps=num_steps, warmup_steps=20, final_frac=0.1)
    for step in range(num_steps):
        conversations = [
            cold_start_conversation(env, seed=0, index=step * rows + row, direct_frac=0.3) for row in range(rows)
        ]
        result = trainer.step(sft_batch(tokenizer, conversations), cross_entropy, lr=schedule.lr(step))
        if step % 50 == 0 or step == num_steps - 1:
            print(f"step {step}: loss {result.metrics['loss']:.3f}", flush=True)
    return model, tokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--train", action="store_true", help="train a small hybrid first, and measure it too")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--tag", default="mismatch")
    parser.add_argument("--selftest", action="store_true", help="a few tokens on the CPU")
    parser.add_argument("--num", type=int, default=256)
    args = parser.parse_args()
    device, num, max_tokens = ("cpu", 4, 16) if args.selftest else ("cuda", args.num, 256)
    rows: list[dict[str, Any]] = []
    sources = [(folder.name, load_checkpoint(folder)) for folder in args.folders]
    if args.train:
        sources.insert(0, ("hybrid-moe-5m", trained_hybrid(device, *((2, 4) if args.selftest else (args.steps, 64)))))
    for name, (model, tokenizer) in sources:
        model = model.to(device, torch.bfloat16)
        asked = requests(num, max_tokens, is_own_dialect=tokenizer.template is None)
        for kind in (*HEADS, "invariant"):
            is_invariant = kind == "invariant"
            scope = batch_invariant() if is_invariant else head_of(model, kind)
            with scope:
                engine = Engine(model, tokenizer, num_slots=64, max_length=2048, is_invariant=is_invariant)
                completions = engine(asked)
                engine.release()
                mine = np.concatenate([c.model_logprobs for c in completions if c.model_logprobs is not None])
                its = learner_logprobs(model, completions, tokenizer.vocab_size, is_invariant=is_invariant)
            row = {"model": name, **compare(kind, mine, its)}
            rows.append(row)
            print({key: value for key, value in row.items() if key != "points"}, flush=True)
            if is_invariant:
                alone = Engine(model, tokenizer, num_slots=1, max_length=2048, is_invariant=True)
                with batch_invariant():
                    single = [alone([request])[0] for request in asked[:6]]
                pairs = list(zip(single, completions, strict=False))
                rows[-1]["alone_equal"] = all(
                    np.array_equal(a.token_ids, b.token_ids) and np.array_equal(a.logprobs, b.logprobs)
                    for a, b in pairs
                )
                print("alone = in a batch of 64:", rows[-1]["alone_equal"], flush=True)
                alone.release()
    print(write_result(args.tag, {"hardware": hardware(), "rows": rows}))


if __name__ == "__main__":
    main()
