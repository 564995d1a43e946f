"""Splits and minibatches."""

import numpy as np
import pytest
import torch
from anndata import AnnData
from hypothesis import assume, given, settings, strategies as st
from scvi.dataloaders import DataSplitter
from scvi.model import SCVI

from scmpt_scverse.module._data_module import (
    CellSplit,
    EmbeddingDataModule,
    TensorBatches,
    checked_validation_size,
    split_cells,
)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=2, max_size=80), st.sampled_from([0.5, 0.8, 0.9, 1.0]), st.integers(0, 5))
def test_split_is_a_partition_and_every_label_trains(labels: list[int], train_size: float, seed: int) -> None:
    codes = np.array(labels)
    candidates = np.flatnonzero(codes < 4)  # code 4 stands for unlabelled
    assume(len(candidates) > 0)
    validation_size = (1 - train_size) / 2
    split = split_cells(
        codes, candidates, train_size=train_size, validation_size=validation_size, shuffle=True, seed=seed
    )
    parts = np.concatenate([split.train, split.validation, split.test])
    assert sorted(parts) == candidates.tolist()
    assert set(codes[split.train]) == set(codes[candidates])


def test_split_is_stratified_and_of_the_asked_size() -> None:
    codes = np.repeat([0, 1, 2], [600, 300, 100])
    split = split_cells(codes, np.arange(1000), train_size=0.8, validation_size=None, shuffle=True, seed=0)
    assert len(split.validation) == 200
    assert len(split.test) == 0
    assert np.abs(np.bincount(codes[split.validation]) - [120, 60, 20]).max() <= 1


def test_split_depends_on_the_seed_alone() -> None:
    codes = np.repeat([0, 1], 50)

    def split(seed: int) -> CellSplit:
        return split_cells(codes, np.arange(100), train_size=0.9, validation_size=None, shuffle=True, seed=seed)

    assert np.array_equal(split(1).validation, split(1).validation)
    assert not np.array_equal(split(1).validation, split(2).validation)


@pytest.mark.parametrize(
    ("train_size", "validation_size", "message"),
    [
        (0.0, None, "`train_size` must be in"),
        (1.5, None, "`train_size` must be in"),
        (0.9, 0.3, "`validation_size` must"),
    ],
)
def test_impossible_shares(train_size: float, validation_size: float | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        split_cells(
            np.array([0, 1]), np.arange(2), train_size=train_size, validation_size=validation_size, shuffle=True, seed=0
        )


def test_batches_hold_every_row_once_and_together() -> None:
    inputs = {"text": torch.arange(10.0)[:, None], "expression": torch.arange(10.0)[:, None] * 2}
    batches = TensorBatches(inputs, torch.arange(10), batch_size=4, generator=torch.Generator().manual_seed(0))
    epoch = list(batches)
    assert len(epoch) == len(batches) == 3
    for batch in epoch:
        assert torch.equal(batch["inputs"]["text"][:, 0], batch["labels"].float())
        assert torch.equal(batch["inputs"]["expression"][:, 0], batch["labels"] * 2.0)
    order = torch.cat([batch["labels"] for batch in epoch])
    assert sorted(order.tolist()) == list(range(10))
    assert not torch.equal(order, torch.cat([batch["labels"] for batch in batches]))  # another epoch, another order


def test_processes_share_the_rows_evenly() -> None:
    shares = [
        torch.cat(
            [
                batch["labels"]
                for batch in TensorBatches(
                    {},
                    torch.arange(11),
                    batch_size=2,
                    generator=torch.Generator().manual_seed(3),
                    rank=rank,
                    world_size=2,
                )
            ]
        )
        for rank in range(2)
    ]
    assert [len(share) for share in shares] == [5, 5]
    assert len(set(torch.cat(shares).tolist())) == 10


@pytest.mark.parametrize("n_obs", [10, 11, 57, 100, 700])
@pytest.mark.parametrize(("train_size", "validation_size"), [(0.9, None), (0.7, 0.1), (0.5, 0.25), (1.0, None)])
def test_in_order_the_split_is_that_of_scvi_tools(n_obs: int, train_size: float, validation_size: float | None) -> None:
    cells = AnnData(np.ones((n_obs, 2), dtype=np.float32))
    SCVI.setup_anndata(cells)
    manager = SCVI(cells).adata_manager
    theirs = DataSplitter(manager, train_size, validation_size, shuffle_set_split=False)
    theirs.setup()
    split = split_cells(
        np.zeros(n_obs, dtype=int),
        np.arange(n_obs),
        train_size=train_size,
        validation_size=validation_size,
        shuffle=False,
        seed=0,
    )
    assert split.train.tolist() == list(theirs.train_idx)
    assert split.validation.tolist() == list(theirs.val_idx)
    assert split.test.tolist() == list(theirs.test_idx)


@pytest.mark.parametrize("seed", range(5))
def test_the_only_cell_of_a_label_trains(seed: int) -> None:
    labels = np.array([0] * 20 + [1] + [2] * 2)
    split = split_cells(labels, np.arange(23), train_size=0.1, validation_size=None, shuffle=True, seed=seed)
    assert 20 in split.train
    assert set(labels[split.train]) == {0, 1, 2}
    assert len(split.validation) == 20


def test_shares_that_are_whole_numbers_stay_whole() -> None:
    """0.9 * 10 and 1 - 0.9 are not 9 and 0.1 in floating point."""
    for n, train_size, n_train in ((10, 0.9, 9), (100, 0.07, 7), (10, 0.7, 7), (100, 0.29, 29)):
        for shuffle in (True, False):
            split = split_cells(
                np.zeros(n, dtype=int),
                np.arange(n),
                train_size=train_size,
                validation_size=None,
                shuffle=shuffle,
                seed=0,
            )
            assert (len(split.train), len(split.validation), len(split.test)) == (n_train, n - n_train, 0)


@pytest.mark.parametrize(("n_obs", "n_batches"), [(8, 2), (9, 3), (7, 2), (4, 1), (1, 1), (0, 0)])
def test_the_number_of_batches_is_as_reported(n_obs: int, n_batches: int) -> None:
    batches = TensorBatches({"text": torch.zeros(n_obs, 2)}, torch.arange(n_obs), batch_size=4)
    assert len(batches) == n_batches
    assert sum(len(batch["labels"]) for batch in batches) == n_obs
    if n_obs:
        assert len(list(batches)) == n_batches


def test_training_batches_are_shuffled_by_the_seed_and_validation_is_in_order() -> None:
    values = {"text": np.arange(20.0, dtype=np.float32)[:, None]}
    labels = torch.arange(20)
    split = CellSplit(np.arange(3, 15), np.array([19, 0, 2]), np.array([1]))

    def module(seed: int, split: CellSplit = split) -> EmbeddingDataModule:
        return EmbeddingDataModule(values, labels, split, batch_size=5, seed=seed)

    def order(batches: TensorBatches) -> list[int]:
        assert all(torch.equal(batch["inputs"]["text"][:, 0].long(), batch["labels"]) for batch in batches)
        return torch.cat([batch["labels"] for batch in batches]).tolist()

    train = module(0).train_dataloader()
    assert [len(batch["labels"]) for batch in train] == [5, 5, 2]
    assert sorted(order(module(0).train_dataloader())) == list(range(3, 15))
    assert order(module(0).train_dataloader()) == order(module(0).train_dataloader())
    assert order(module(0).train_dataloader()) != order(module(1).train_dataloader())
    validation = module(0).val_dataloader()
    assert isinstance(validation, TensorBatches)
    assert order(validation) == [19, 0, 2]
    assert module(0, CellSplit(split.train, np.arange(0), split.test)).val_dataloader() == []
    assert module(0).val_idx.tolist() == [19, 0, 2]
    assert module(0).test_idx.tolist() == [1]


def test_shares_up_to_all_cells_are_possible() -> None:
    assert checked_validation_size(1.0, None) == 0
    assert checked_validation_size(0.9, 0.1) == 0.1  # 1 - 0.9 is a little less in floating point
    assert checked_validation_size(0.5, 0.0) == 0
    for wrong in (0.11, -0.01, 0.1 + 1e-6):
        with pytest.raises(ValueError, match="`validation_size` must be in"):
            checked_validation_size(0.9, wrong)
    with pytest.raises(ValueError, match="`train_size` must be in"):
        checked_validation_size(1.0000001, None)


def test_test_cells_are_what_the_other_shares_leave() -> None:
    codes = np.repeat([0, 1], [60, 40])
    split = split_cells(codes, np.arange(100), train_size=0.5, validation_size=0.3, shuffle=True, seed=0)
    assert [len(each) for each in (split.train, split.validation, split.test)] == [50, 30, 20]
    for part, share in ((split.validation, 0.3), (split.test, 0.2)):
        np.testing.assert_allclose(np.bincount(codes[part]), [60 * share, 40 * share], atol=1)
    assert all((np.diff(part) > 0).all() for part in (split.train, split.validation, split.test))
    in_order = split_cells(codes, np.arange(100), train_size=0.5, validation_size=0.3, shuffle=False, seed=0)
    assert in_order.validation.tolist() == list(range(30))
    assert in_order.train.tolist() == list(range(30, 80))
