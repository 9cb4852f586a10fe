"""The token table against the documents it was made from."""

import numpy as np
import pytest

from fulmen.rl import cispo
from fulmen.rl.batch import rl_batch
from fulmen.rl.monitors.table import decile_means, deciles, token_table
from fulmen.train import AdamW, StepResult, Trainer
from fulmen.train.packing import pack
from fulmen.types import Batch
from tests.rl.examples import make_group
from tests.train.examples import random_documents, tiny_model


def fake_step(batch: Batch, *, offset: int = 0) -> StepResult:
    """Returns a step whose tokens are counted."""
    count = int(batch.mask_T.sum())
    return StepResult(
        metrics={}, tokens={"target_ids": batch.target_ids_T[batch.mask_T], "order": offset + np.arange(count)}
    )


def test_rows_know_their_document_place_and_step() -> None:
    documents = [random_documents([3, 9, 2], seed=0), random_documents([6, 7], seed=1)]
    # Forced tokens inside a completion do not count.
    documents[0][1].mask[5] = False
    batches = [pack(own) for own in documents]
    table = token_table(batches, [fake_step(batches[0]), fake_step(batches[1], offset=100)])
    row = 0
    for step, own in enumerate(documents):
        for document in own:
            trained = np.flatnonzero(document.mask)
            for position, token in enumerate(trained):
                assert table["step"][row] == step
                assert table["position"][row] == position
                assert table["length"][row] == len(trained)
                assert table["target_ids"][row] == document.token_ids[token]
                assert table["token_weight"][row] == np.float32(document.token_weight)
                assert document.old_logprobs is not None
                assert table["old_logprobs"][row] == np.float32(document.old_logprobs[token])
                assert table["advantage"][row] == np.float32(document.advantage)
                row += 1
    assert {len(values) for values in table.values()} == {row}
    sizes = [int(document.mask.sum()) for own in documents for document in own]
    np.testing.assert_array_equal(table["document"], np.repeat(np.arange(5), sizes))
    np.testing.assert_array_equal(table["order"], [*range(sum(sizes[:3])), *(100 + i for i in range(sum(sizes[3:])))])


def test_documents_without_a_trained_token_keep_their_number() -> None:
    documents = random_documents([4, 5, 4])
    documents[1].mask[:] = False
    batch = pack(documents)
    table = token_table([batch], [fake_step(batch)])
    assert sorted(set(table["document"].tolist())) == [0, 2]
    assert table["position"].max() == documents[2].mask.sum() - 1


def test_tokens_of_another_batch_are_an_error() -> None:
    one, other = pack(random_documents([4, 5])), pack(random_documents([4, 9]))
    with pytest.raises(AssertionError, match="tokens of another batch"):
        token_table([one], [fake_step(other)])
    with pytest.raises(ValueError, match="zip"):
        token_table([one, other], [fake_step(one)])


def test_rows_are_in_the_order_of_a_trainer_that_splits_its_batch() -> None:
    model = tiny_model()
    trainer = Trainer(model, AdamW(model.parameters(), lr=1e-3), micro_batch_tokens=7)
    batches = [
        rl_batch([make_group([1.0, 0.0], lengths=[5, 3])], [[1.0, -1.0]]),
        rl_batch([make_group([0.0, 1.0], lengths=[2, 6])], [[-1.0, 1.0]]),
    ]
    table = token_table(batches, [trainer.step(batch, cispo) for batch in batches])
    np.testing.assert_array_equal(table["length"], np.repeat([5, 3, 2, 6], [5, 3, 2, 6]))
    np.testing.assert_array_equal(table["target_ids"], np.concatenate([10 + np.arange(n) for n in (5, 3, 2, 6)]))
    np.testing.assert_array_equal(table["advantage"], np.repeat([1, -1, -1, 1], [5, 3, 2, 6]))
    np.testing.assert_allclose(table["log_ratio"], table["logprobs"] - table["old_logprobs"], rtol=1e-6, atol=1e-6)


def test_deciles_cut_each_completion_into_tenths() -> None:
    tokens = {"position": np.array([0, 1, 2, 0, 9, 10, 99]), "length": np.array([3, 3, 3, 100, 100, 100, 100])}
    assert deciles(tokens).tolist() == [0, 3, 6, 0, 0, 1, 9]
    means = decile_means(np.array([1.0, 2.0, 4.0, 3.0, 5.0, 6.0, 7.0]), deciles(tokens))
    np.testing.assert_array_equal(means, [3.0, 6.0, np.nan, 2.0, np.nan, np.nan, 4.0, np.nan, np.nan, 7.0])
