"""Speed on CPU of what the demo is made of, each beside its baseline in the same run.

    python -m benchmarks.cpu_speed

Lightning attention: the chunk form against the recurrence. Learner: tokens per second of one training step, and the
fraction of this machine's own fp32 matrix-product rate. Engine: decoded tokens per second at several widths, against
one sequence at a time. Shapes are the tiny preset's; 2 warm-up rounds, medians of 10.
"""

import torch

from benchmarks.common import timed_pairs, write_result
from fulmen.kernels.lightning import lightning_attention, slopes
from fulmen.model import Cache
from fulmen.model.config import preset
from fulmen.recipes.common import TASK_NAMES, cold_start_conversation, fresh_model, make_mixture
from fulmen.train import AdamW, Trainer
from fulmen.train.sft import cross_entropy, sft_batch


def main(threads: int = 2) -> None:
    """Measures, prints and writes the results."""
    torch.set_num_threads(threads)
    config = preset("tiny")
    generator = torch.Generator().manual_seed(0)
    shape = (1, 2048, config.num_heads, config.head_dim)
    q, k, v = (torch.randn(shape, generator=generator) for _ in range(3))
    slope = slopes(config.num_heads, 0, config.num_layers)
    attention = timed_pairs(
        {
            "chunk": lambda: lightning_attention(q, k, v, slope, backend="chunk"),
            "naive (baseline)": lambda: lightning_attention(q, k, v, slope, backend="naive"),
        }
    )

    env = make_mixture(TASK_NAMES)
    model, tokenizer = fresh_model(config, env, seed=0)
    batch = sft_batch(
        tokenizer, [cold_start_conversation(env, seed=0, index=index, direct_frac=0.0) for index in range(64)]
    )
    trainer = Trainer(model, AdamW(model.parameters(), lr=0.0))
    a, b = torch.randn(4096, 96, generator=generator), torch.randn(96, 384, generator=generator)
    learner = timed_pairs(
        {"training step": lambda: trainer.step(batch, cross_entropy), "matrix product (limit)": lambda: a @ b}
    )
    num_tokens = len(batch.token_ids_T)
    flops = 6 * config.num_active_parameters() * num_tokens / learner["training step"]["median_s"]
    limit = 2 * a.numel() * b.shape[1] / learner["matrix product (limit)"]["median_s"]

    decode = {}
    for rows in (1, 64, 512):
        cache = Cache.allocate(model.config, num_rows=rows, max_length=128)
        token = torch.zeros(rows, 1, dtype=torch.int64)

        def step(cache: Cache = cache, token: torch.Tensor = token) -> None:
            if int(cache.lengths_R[0]) >= cache.max_length:
                cache.clear()
            with torch.inference_mode():
                model(token, cache=cache)

        timing = timed_pairs({"step": step}, repeats=20)["step"]
        decode[f"rows {rows}"] = {**timing, "tokens_per_s": rows / timing["median_s"]}

    content = {
        "command": "python -m benchmarks.cpu_speed",
        "dtype": "float32",
        "lightning_T2048": attention,
        "learner": {
            **learner, "num_tokens": num_tokens,
            "tokens_per_s": num_tokens / learner["training step"]["median_s"], "fraction_of_limit": flops / limit,
        },
        "decode": decode,
    }  # fmt: skip
    print(write_result("cpu_speed", content).read_text())


if __name__ == "__main__":
    main()
