"""Steps that cannot be taken: numbers that are not finite, and batches that do not fit into memory."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from fulmen.errors import ConfigError, RunError
from fulmen.model.transformer import Hidden
from fulmen.rl.losses import cispo
from fulmen.text import Tokenizer
from fulmen.train import AdamW, LossOutput, Trainer
from fulmen.train.packing import pack
from fulmen.train.state import load_training, save_training
from tests.train.examples import parameters_of, random_documents, tiny_model

LENGTHS = (7, 3, 12, 2, 9, 5)
LR = 1e-3


def make_trainer(**settings: int) -> Trainer:
    model = tiny_model()
    return Trainer(model, AdamW(model.parameters(), lr=LR), **settings)


def state_of(trainer: Trainer) -> Tensor:
    """Returns a copy of weights and optimizer in one row."""
    moments = [v.flatten().double() for state in trainer.optimizer.state.values() for v in state.values()]
    return torch.cat([parameters_of(trainer.model), *moments])


class Poisoned:
    """CISPO that is not finite in its first `times` calls: in value, or in the gradient alone."""

    def __init__(self, *, times: int, in_value: bool) -> None:
        self.left, self.in_value = times, in_value

    def __call__(
        self,
        logprobs_B_T: Tensor,
        old_logprobs_B_T: Tensor,
        advantages_B_T: Tensor,
        mask_B_T: Tensor,
        *,
        token_weights_B_T: Tensor,
        document_ids_B_T: Tensor | None = None,
        ref_logprobs_B_T: Tensor | None = None,
    ) -> LossOutput:
        """Returns the loss."""
        output = cispo(logprobs_B_T, old_logprobs_B_T, advantages_B_T, mask_B_T, token_weights_B_T=token_weights_B_T)
        if self.left == 0:
            return output
        self.left -= 1
        if self.in_value:
            return LossOutput(loss=output.loss * float("nan"), tokens=output.tokens)
        # Zero in value; its derivative at zero is infinite.
        zero = logprobs_B_T.sum() * 0
        return LossOutput(loss=output.loss + zero.abs().sqrt(), tokens=output.tokens)


@pytest.mark.parametrize("in_value", [True, False])
def test_a_step_that_is_not_finite_changes_nothing_and_the_next_one_is_as_if_it_had_not_been(in_value: bool) -> None:
    batch = pack(random_documents(LENGTHS))
    trainer, undisturbed = make_trainer(), make_trainer()
    for each in (trainer, undisturbed):
        each.step(batch, cispo)
    before = state_of(trainer)
    result = trainer.step(batch, Poisoned(times=1, in_value=in_value))
    assert (result.is_skipped, result.metrics["skipped"], trainer.num_skipped) == (True, 1.0, 1)
    assert torch.equal(state_of(trainer), before)
    result = trainer.step(batch, cispo)
    undisturbed.step(batch, cispo)
    assert (result.is_skipped, result.metrics["skipped"], trainer.num_skipped) == (False, 0.0, 0)
    assert torch.equal(state_of(trainer), state_of(undisturbed))


def test_after_max_skipped_in_a_row_no_further_step_is_begun() -> None:
    batch = pack(random_documents(LENGTHS))
    trainer = make_trainer(max_skipped=2, micro_batch_tokens=1000)
    before = state_of(trainer)
    poisoned = Poisoned(times=1, in_value=True)
    for loss in (poisoned, cispo, Poisoned(times=1, in_value=True), Poisoned(times=1, in_value=False)):
        trainer.step(batch, loss)
    after = state_of(trainer)
    assert not torch.equal(after[: len(before)], before)
    with pytest.raises(RunError, match=r"2 optimizer steps in a row .* not finite; .*allowed: another --run"):
        trainer.step(batch, cispo)
    assert torch.equal(state_of(trainer), after)
    with pytest.raises(ConfigError, match="max_skipped=0; allowed: at least 1"):
        make_trainer(max_skipped=0)


class Narrow(Trainer):
    """A trainer on a device that holds so many tokens at a time; it fails in the forward or the backward pass."""

    max_tokens: int = 1 << 30

    def _encode(self, inputs: dict[str, Tensor], *, longest: int) -> Hidden:
        encoded = super()._encode(inputs, longest=longest)
        num_tokens = encoded.hidden.shape[1]

        def fail(_: Tensor) -> None:
            if num_tokens > self.max_tokens:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

        if num_tokens % 2:
            fail(encoded.hidden)
        if encoded.hidden.requires_grad:
            encoded.hidden.register_hook(fail)
        return encoded


def make_narrow(max_tokens: int, *, micro_batch_tokens: int) -> Narrow:
    model = tiny_model()
    trainer = Narrow(model, AdamW(model.parameters(), lr=LR), micro_batch_tokens=micro_batch_tokens)
    trainer.max_tokens = max_tokens
    return trainer


def test_out_of_memory_halves_the_micro_batch_once_and_the_step_is_the_same() -> None:
    batch = pack(random_documents(LENGTHS))
    whole = make_trainer(micro_batch_tokens=1000)
    expected = [whole.step(batch, cispo) for _ in range(2)]
    narrow = make_narrow(17, micro_batch_tokens=1000)
    # 32 tokens do not fit, of its halves one does: 16.
    with pytest.warns(UserWarning, match="32 tokens at a time do not fit into memory; .*micro_batch_tokens=16"):
        results = [narrow.step(batch, cispo) for _ in range(2)]
    assert narrow.micro_batch_tokens == 16
    assert [result.metrics["micro_batch_tokens"] for result in results] == [16.0, 16.0]
    for result, whole_result in zip(results, expected, strict=True):
        assert result.metrics["loss"] == pytest.approx(whole_result.metrics["loss"], rel=1e-10)
        assert result.metrics["grad_norm"] == pytest.approx(whole_result.metrics["grad_norm"], rel=1e-10)
        np.testing.assert_allclose(result.tokens["logprobs"], whole_result.tokens["logprobs"], rtol=1e-10)
        np.testing.assert_array_equal(result.tokens["target_ids"], whole_result.tokens["target_ids"])
    torch.testing.assert_close(parameters_of(narrow.model), parameters_of(whole.model), rtol=0.0, atol=1e-10)


def test_log_probabilities_alone_find_room_too() -> None:
    batch = pack(random_documents(LENGTHS))
    narrow = make_narrow(11, micro_batch_tokens=19)
    with pytest.warns(UserWarning, match="19 tokens .*micro_batch_tokens=9"):
        found = narrow.logprobs(batch)
    np.testing.assert_allclose(found, make_trainer().logprobs(batch), rtol=1e-10)


def test_one_document_that_does_not_fit_is_named_and_nothing_moves() -> None:
    batch = pack(random_documents(LENGTHS))
    narrow = make_narrow(10, micro_batch_tokens=11)
    before = state_of(narrow)
    with pytest.raises(
        RunError, match=r"one document of 11 tokens does not fit into memory .*allowed: a shorter window"
    ):
        narrow.step(batch, cispo)
    assert torch.equal(state_of(narrow), before)


def test_a_checkpoint_keeps_the_smaller_micro_batch(tmp_path: Path) -> None:
    tokenizer = Tokenizer.train(["1 2"], vocab_size=270)
    trainer = make_trainer(micro_batch_tokens=1000)
    trainer.micro_batch_tokens = 16
    save_training(tmp_path / "rl-000001", trainer, tokenizer=tokenizer, cursor={"step": 1})
    resumed = make_trainer(micro_batch_tokens=1000)
    assert load_training(tmp_path / "rl-000001", resumed) == {"step": 1}
    assert resumed.micro_batch_tokens == 16
