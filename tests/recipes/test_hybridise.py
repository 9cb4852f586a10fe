"""fulmen convert and fulmen hybridise at toy size: losses and gap fall, results are there, refusals are clear."""

import gzip
import json
from pathlib import Path

import pytest
import torch

from fulmen import cli
from fulmen.errors import DataError
from fulmen.model import Model
from fulmen.model.checkpoint import load_model, save_model
from fulmen.recipes.hybridise import Args, read_corpus, read_documents
from fulmen.text import Tokenizer
from fulmen.train.optim import AdamW
from tests.model.test_hybrid import CONFIG, make_source

WORDS = ["lightning", "runs", "before", "the", "thunder", "and", "rain", "comes", "after", "it", "while", "we", "count"]


def write_text(path: Path, num_documents: int = 60) -> None:
    lines = []
    for number in range(num_documents):
        words = [WORDS[(number * 7 + i * i) % len(WORDS)] for i in range(80)]
        lines.append(json.dumps({"text": " ".join(words)}))
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    tokenizer = Tokenizer.train(WORDS * 5, vocab_size=320)
    save_model(make_source(CONFIG.replace(vocab_size=tokenizer.vocab_size)), tmp_path / "source", tokenizer=tokenizer)
    write_text(tmp_path / "text.jsonl")
    return tmp_path / "source"


def failure(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        cli.main(list(argv))
    assert stopped.value.code == 2
    return capsys.readouterr().err


def test_convert_writes_a_hybrid_that_generates(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "hybrid"
    cli.main(["convert", str(source), str(out), "--mixers", "LLLS", "--fit-tokens", "32"])
    assert "3 of 4 layers are lightning attention" in capsys.readouterr().out
    assert load_model(out).config.mixers == "LLLS"
    cli.main(["generate", "rain", "--checkpoint", str(out), "--max-tokens", "3"])


def train_source(source: Path, text: Path) -> None:
    """Teaches the source the text, so that its perplexity means something."""
    tokenizer = Tokenizer.load(source)
    corpus = read_corpus(tokenizer, Args(source=source, folder=source, text=(text,), window=32))
    model = Model(load_model(source).config, seed=0)
    with torch.no_grad():
        for block in model.blocks():
            block.self_attn.o_proj.weight.mul_(40.0)  # else the bare embeddings would do
    optimizer = AdamW(model.parameters(), lr=1e-2)
    for step in range(30):
        rows = corpus.batch(rows=4, window=32, seed=1, step=step)
        logits = model(rows).logits[:, :-1].flatten(0, 1)
        torch.nn.functional.cross_entropy(logits, rows[:, 1:].flatten()).backward()
        optimizer.step()
        optimizer.zero_grad()
    save_model(model, source, tokenizer=tokenizer)


def test_hybridise_brings_the_hybrid_nearer_to_the_source(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_source(source, tmp_path / "text.jsonl")
    out = tmp_path / "hybrid"
    cli.main(["hybridise", str(source), str(out), "--text", str(tmp_path / "text.jsonl"), "--mixers", "LLLS",
              "--layer-steps", "10", "--end-steps", "10", "--batch-rows", "4", "--micro-rows", "4", "--window", "32",
              "--heldout-windows", "4", "--fit-tokens", "32", "--end-lr", "3e-3", "--layer-lr", "1e-2"])  # fmt: skip
    assert "after end to end" in capsys.readouterr().out
    results = json.loads((out / "results.json").read_text())
    assert len(results["layer_losses"]) == len(results["end_losses"]) == 10
    for key in ("layer_losses", "end_losses"):
        assert sum(results[key][-3:]) < 0.85 * sum(results[key][:3])
    gaps = [results[key] / results["ppl_source"] - 1 for key in ("ppl_converted", "ppl_hybrid")]
    assert gaps[0] > 0.3
    assert gaps[1] < 0.1 * gaps[0]
    assert load_model(out).config.mixers == "LLLS"


def test_a_time_limit_ends_both_parts(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "hybrid"
    cli.main(["hybridise", str(source), str(out), "--text", str(tmp_path / "text.jsonl"), "--max-s", "0.5",
              "--batch-rows", "2", "--window", "16", "--fit-tokens", "16"])  # fmt: skip
    results = json.loads((out / "results.json").read_text())
    assert 0 < len(results["layer_losses"]) < 150
    assert 0 < len(results["end_losses"]) < 450


def test_text_is_read_in_every_form_and_one_document_in_twenty_is_held_out(source: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one line\n\n" * 2000)
    with gzip.open(tmp_path / "b.jsonl.gz", "wt") as file:
        file.write('{"text": "packed"}\n')
    documents = list(read_documents([tmp_path / "a.txt", tmp_path / "b.jsonl.gz"]))
    assert "".join(documents[:-1]) == "one line\n\n" * 2000
    assert len(documents) == 4
    assert documents[-1] == "packed"
    tokenizer = Tokenizer.load(source)
    args = Args(source=source, folder=tmp_path, text=(tmp_path / "text.jsonl",), window=16)
    corpus = read_corpus(tokenizer, args)
    held = "".join(list(read_documents(args.text))[number] + "<end_of_sentence>" for number in (0, 20, 40))
    assert tokenizer.decode(corpus.heldout_T.tolist()) == held
    assert torch.equal(corpus.batch(rows=3, window=16, seed=0, step=5), corpus.batch(rows=3, window=16, seed=0, step=5))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.pdf", "", "allowed: names that end in .txt, .jsonl"),
        ("x.jsonl", '{"body": 1}\n', "unreadable"),
        ("x.jsonl", "no json\n", "unreadable"),
        ("x.txt", "short", "at least two windows of 512 each"),
    ],
)
def test_text_that_cannot_be_used_is_refused(
    name: str, content: str, message: str, source: Path, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content)
    args = Args(source=source, folder=tmp_path / "out", text=(tmp_path / name,))
    with pytest.raises(DataError, match=message):
        read_corpus(Tokenizer.load(source), args)


def test_bad_settings_are_refused_before_anything_is_read(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ["hybridise", str(source), str(tmp_path / "out"), "--text", str(tmp_path / "text.jsonl")]
    assert "batch_rows=0; allowed: at least 1" in failure(capsys, *base, "--batch-rows", "0")
    assert "device='tpu'; allowed: cpu, cuda" in failure(capsys, *base, "--device", "tpu")
    assert "mixers='SS'; allowed: a pattern" in failure(capsys, *base, "--mixers", "SS")
    assert "fit_rows=0; allowed: at least 1" in failure(
        capsys, "convert", str(source), str(tmp_path / "out"), "--fit-rows", "0"
    )
    assert not (tmp_path / "out").exists()
