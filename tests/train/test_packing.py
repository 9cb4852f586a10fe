"""Packing shifts targets by one, keeps borders, and refuses what would land on the wrong token."""

import dataclasses

import numpy as np
import pytest

from fulmen.errors import DataError
from fulmen.train.packing import Document, pack


def document(length: int, **changes: object) -> Document:
    plain = Document(
        token_ids=np.arange(10, 10 + length), mask=np.arange(length) >= 1, token_weight=0.25,
    )  # fmt: skip
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def test_each_position_predicts_the_next_token_of_its_own_document() -> None:
    first = Document(token_ids=np.array([1, 2, 3]), mask=np.array([False, False, True]), token_weight=0.5)
    second = Document(token_ids=np.array([7, 8]), mask=np.array([False, True]), token_weight=0.125)
    batch = pack([first, second])
    assert batch.token_ids_T.tolist() == [1, 2, 7]
    assert batch.target_ids_T.tolist() == [2, 3, 8]
    assert batch.mask_T.tolist() == [False, True, True]
    assert batch.cu_seqlens.tolist() == [0, 2, 3]
    assert batch.token_weights_T.tolist() == [0.5, 0.5, 0.125]
    assert batch.old_logprobs_T is batch.advantages_T is batch.expert_ids_T_LK is None


def test_recorded_numbers_keep_their_token() -> None:
    batch = pack(
        [
            document(3, old_logprobs=np.array([9.0, -1.0, -2.0]), advantage=2.0, expert_ids=np.array([[0], [1]])),
            document(2, old_logprobs=np.array([9.0, -3.0]), advantage=-1.0, expert_ids=np.array([[2]])),
        ]
    )
    assert batch.old_logprobs_T is not None
    assert batch.advantages_T is not None
    assert batch.expert_ids_T_LK is not None
    assert batch.old_logprobs_T.tolist() == [-1.0, -2.0, -3.0]
    assert batch.advantages_T.tolist() == [2.0, 2.0, -1.0]
    assert batch.expert_ids_T_LK.tolist() == [[0], [1], [2]]
    assert batch.expert_ids_T_LK.dtype == np.int8


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"mask": np.array([False, True])}, "mask: 2 of them for 3 tokens; allowed: 3"),
        ({"old_logprobs": np.zeros(2)}, "old_logprobs: 2 of them for 3 tokens; allowed: 3"),
        ({"expert_ids": np.zeros((3, 1))}, "expert_ids: 3 of them for 3 tokens; allowed: 2"),
        ({"mask": np.array([True, True, True])}, r"mask\[0\]=True"),
    ],
)
def test_arrays_that_are_not_aligned_are_refused(changes: dict[str, np.ndarray], named: str) -> None:
    with pytest.raises(DataError, match=named):
        pack([document(3, **changes)])


@pytest.mark.parametrize("name", ["old_logprobs", "advantage", "expert_ids"])
def test_a_field_in_some_documents_only_is_refused(name: str) -> None:
    value = {"old_logprobs": np.zeros(3), "advantage": 1.0, "expert_ids": np.zeros((2, 1))}[name]
    for documents in ([document(3, **{name: value}), document(3)], [document(3), document(3, **{name: value})]):
        with pytest.raises(DataError, match=f"{name}: None in some documents only"):
            pack(documents)


def test_empty_lists_and_single_tokens_are_refused() -> None:
    for documents in ([], [document(3), document(1)]):
        with pytest.raises(DataError, match="at least two tokens"):
            pack(documents)
