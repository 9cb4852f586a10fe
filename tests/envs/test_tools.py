"""Episodes with tools: what the policy is told, what a call changes, and what the grader sees."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from fulmen.envs.tools import State, Tool, ToolEnv, ToolError
from fulmen.errors import ConfigError
from fulmen.rollout import Failure, Patience, sample_groups
from fulmen.types import (
    Attempt,
    Completion,
    Episode,
    Message,
    Request,
    Sampling,
    Score,
    Split,
    StopReason,
    Task,
    ToolCall,
)


def move(state: State, amount: int, to: str = "savings") -> dict[str, int]:
    """Moves an amount from the purse."""
    if amount > state["purse"]:
        raise ToolError(f"amount: {amount}; allowed: up to {state['purse']}")
    state["purse"] -= amount
    state[to] = state.get(to, 0) + amount
    return {"purse": state["purse"]}


def look(state: State, notes: list[str] | None = None, is_loud: bool = False) -> str:
    """Tells what there is."""
    return json.dumps(state) * (100 if is_loud else 1)


@dataclass(frozen=True, kw_only=True)
class Bank(ToolEnv):
    """Move 3 of 10 coins to savings, then say so."""

    name: str = "bank"
    tools: ClassVar[tuple[Tool, ...]] = (Tool(function=move), Tool(function=look))

    def task(self, split: Split, *, seed: int, index: int) -> Task:
        """Returns the only task."""
        prompt = (Message(role="user", content="Move 3."),)
        return Task(task_id=f"bank-{index}", env="bank", prompt=prompt, gold="", meta={"state": {"purse": 10}})

    def grade(self, task: Task, state: State, reply: Message) -> Score:
        """Returns 1 if savings hold 3 and the purse 7."""
        return Score(value=float(state == {"purse": 7, "savings": 3} and reply.content == "done"))


def calls(*pairs: tuple[str, str]) -> Message:
    return Message(role="assistant", content="", tool_calls=tuple(ToolCall(name=n, arguments=a) for n, a in pairs))


def play(
    *replies: Message, env: ToolEnv | None = None, stop_reason: StopReason = "stop"
) -> tuple[Episode, Score, list[Request]]:
    env = env or Bank()
    asked: list[Request] = []

    async def complete(request: Request) -> Completion:
        asked.append(request)
        message = replies[len(asked) - 1]
        return Completion(
            prompt_ids=np.array([0]), token_ids=np.array([1]), logprobs=np.zeros(1, np.float32),
            stop_reason=stop_reason, message=message,
        )  # fmt: skip

    async def both() -> tuple[Episode, Score]:
        task = env.task("train", seed=0, index=0)
        episode = await env.rollout(task, complete, Attempt(sampling=Sampling(), seed=0, index=0))
        return episode, await env.score(task, episode)

    return *asyncio.run(both()), asked


DONE = Message(role="assistant", content="done")


def test_tools_change_the_state_and_the_grader_sees_it() -> None:
    episode, score, asked = play(calls(("move", '{"amount": 1}'), ("move", '{"amount": 2}')), DONE)
    assert score.value == 1.0
    assert [m.role for m in episode.messages] == ["user", "assistant", "tool", "tool", "assistant"]
    assert [m.content for m in episode.messages if m.role == "tool"] == ['{"purse": 9}', '{"purse": 7}']
    assert episode.state == {"purse": 7, "savings": 3}
    assert [len(request.messages) for request in asked] == [1, 4]
    assert len({request.seed for request in asked}) == 2
    names = [tool["function"]["name"] for tool in asked[0].tools]
    assert names == ["move", "look"]
    assert [task.task_id for task, _ in zip(Bank().tasks("train", seed=0, start=2), range(2), strict=False)] == [
        "bank-2", "bank-3",
    ]  # fmt: skip
    # A second episode begins where the first one began.
    assert play(DONE)[0].state == {"purse": 10}
    assert play(DONE)[1].value == 0.0


def test_what_the_policy_is_told_of_a_tool() -> None:
    assert Tool(function=move).describe() == {
        "type": "function",
        "function": {
            "name": "move",
            "description": "Moves an amount from the purse.",
            "parameters": {
                "type": "object",
                "properties": {"amount": {"type": "integer"}, "to": {"type": "string"}},
                "required": ["amount"],
            },
        },
    }
    assert Tool(function=look).describe()["function"]["parameters"]["properties"]["notes"] == {"type": "array"}

    def odd(state: State, thing: complex) -> str:
        return ""

    with pytest.raises(ConfigError, match=r"odd.thing: type <class 'complex'>; allowed: str, int, float"):
        Tool(function=odd).describe()


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("fly", "{}", "no tool 'fly'; allowed: move, look"),
        ("move", "{", "arguments of move: not JSON; allowed: an object"),
        ("move", "[" * 100_000, "arguments of move: not JSON; allowed: an object"),
        ("move", "[3]", "arguments of move: list; allowed: an object"),
        ("move", "{}", "move: 'amount' is missing; allowed: all of amount"),
        ("move", '{"amount": "3"}', 'move.amount: "3"; allowed: integer'),
        ("move", '{"amount": true}', "move.amount: true; allowed: integer"),
        ("move", '{"amount": 3, "from": "x"}', "move: no argument 'from'; allowed: amount, to"),
        ("move", '{"amount": 30}', "amount: 30; allowed: up to 10"),
    ],
)
def test_a_wrong_call_is_answered_and_changes_nothing(name: str, arguments: str, said: str) -> None:
    episode, score, _ = play(calls((name, arguments)), DONE)
    assert episode.messages[2] == Message(role="tool", content=f"error: {said}", name=name)
    assert episode.state == {"purse": 10}
    assert score.value == 0.0


def test_episodes_end() -> None:
    endless = [calls(("look", "{}"))] * 9
    episode, score, asked = play(*endless, env=Bank(max_turns=3))
    assert len(asked) == len(episode.completions) == 3
    assert (score.value, score.status, score.info) == (0.0, "policy_error", "no answer within 3 turns")
    for stop_reason, status in (("length", "truncated"), ("repetition", "repetition")):
        episode, score, asked = play(*endless, stop_reason=stop_reason)  # type: ignore[arg-type]
        assert (len(asked), score.value, score.status) == (1, 0.0, status)


def test_a_long_answer_of_a_tool_is_cut() -> None:
    episode, _, _ = play(calls(("look", '{"is_loud": true}')), DONE, env=Bank(max_result_chars=20))
    assert episode.messages[2].content == '{"purse": 10}{"purse... (1300 characters in all)'
    with pytest.raises(ConfigError, match="max_turns: 0; allowed: 1 or more"):
        Bank(max_turns=0)


def test_a_bug_of_a_tool_is_a_failure_not_a_zero() -> None:
    def broken(state: State) -> str:
        raise KeyError("a bug")

    class Broken(Bank):
        tools: ClassVar[tuple[Tool, ...]] = (Tool(function=broken),)

    def generate(requests: Sequence[Request], *, on_finish: Any = None) -> list[Completion]:
        return [
            Completion(
                prompt_ids=np.array([0]), token_ids=np.array([1]), logprobs=np.zeros(1, np.float32),
                stop_reason="stop", message=calls(("broken", "{}")),
            )
            for _ in requests
        ]  # fmt: skip

    failures: list[Failure] = []
    env = Broken()
    (group,) = sample_groups(
        generate, env, [env.task("train", seed=0, index=0)], 2, Sampling(), seed=0, on_failure=failures.append,
        patience=Patience(retries=1, backoff_s=0.0),
    )  # fmt: skip
    assert (group.rollouts, group.num_lost) == ((), 2)
    assert [failure.status for failure in failures] == ["invalid_infra"] * 2
    assert "KeyError: 'a bug'" in failures[0].error
