"""Completions of a file, and a talk in the terminal, on a random model."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from fulmen import cli
from fulmen.errors import DataError
from fulmen.model.checkpoint import save_model
from fulmen.model.config import preset
from fulmen.recipes import chat
from fulmen.recipes.common import TASK_NAMES, fresh_model, make_mixture


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    model, tokenizer = fresh_model(preset("tiny"), make_mixture(TASK_NAMES), seed=0)
    save_model(model, folder, tokenizer=tokenizer)
    return folder


def lines(path: Path) -> dict[tuple[int, int], str]:
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert len({(r["line"], r["sample"]) for r in records}) == len(records), "a completion twice"
    return {(r["line"], r["sample"]): r["content"] + r["thinking"] for r in records}


def test_a_file_of_prompts_goes_on_where_it_stopped(checkpoint: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "prompts.jsonl", tmp_path / "out.jsonl"
    prompts = [{"prompt": "2+2?", "id": "a"}, {"messages": [{"role": "user", "content": "3+3?"}]}, {"prompt": "é"}]
    source.write_text("\n".join(map(json.dumps, prompts)) + "\n")
    argv = ["generate", "--input", str(source), "--output", str(out), "--checkpoint", str(checkpoint)]
    argv += ["--max-tokens", "5", "--num-samples", "2"]
    cli.main(argv)
    whole = lines(out)
    assert set(whole) == {(line, sample) for line in range(3) for sample in range(2)}
    assert [json.loads(line).get("id") for line in out.read_text().splitlines()].count("a") == 2
    kept = out.read_bytes().splitlines(keepends=True)
    out.write_bytes(b"".join(kept[:2]) + kept[2][:10])
    cli.main(argv)
    assert lines(out) == whole


@pytest.mark.parametrize(
    ("content", "message"),
    [("{}\n", "line 1"), ("[1]\n", "line 1"), ("", "no prompts"), ('{"prompt": "a"}\nnope\n', "line 2")],
)
def test_a_file_that_is_none_is_refused(
    content: str, message: str, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "prompts.jsonl"
    source.write_text(content)
    with pytest.raises(SystemExit):
        cli.main(["generate", "--input", str(source), "--checkpoint", str(checkpoint)])
    assert message in capsys.readouterr().err


def test_a_talk_in_the_terminal(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = iter(
        ["/max 4", "hello", "/temperature x", "/nonsense", "/system Be brief.", "again", "/show", "/clear", "/quit"]
    )
    monkeypatch.setattr(Console, "input", lambda *_, **__: next(said))
    output = io.StringIO()
    chat.main(chat.Args(checkpoint=checkpoint, max_length=256), Console(file=output, width=200))
    text = output.getvalue()
    assert text.count(" cached, ") == 2
    assert "/temperature x; allowed: a number" in text
    assert "/nonsense; allowed" in text
    assert "at most 4 tokens" in text
    assert "5 messages" in text, "two questions, two answers and the system message"


def test_a_talk_keeps_its_settings_when_a_value_is_wrong() -> None:
    talk = chat.Talk(messages=[], sampling=chat.Sampling(max_tokens=7), seed=0)
    with pytest.raises(DataError):
        talk.command("/max many")
    assert talk.sampling.max_tokens == 7
    assert "budget 12" in talk.command("/budget 12")
    assert "budget None" in talk.command("/budget none")
