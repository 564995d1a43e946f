"""What is written into AnnData: keys that no file can hold, slots of an earlier run, colours, values of `.uns`."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData, read_h5ad

from scmpt_scverse._slots import (
    AttributionKeys,
    PredictionKeys,
    Slot,
    check_ranking_is_ours,
    check_records,
    check_writable,
    provenance,
    write_embedding,
    write_slots,
)
from scmpt_scverse._storable import (
    MOST_COLUMNS,
    check_columns_fit,
    check_groups_fit,
    labels_of_names,
    storable,
    storable_names,
)

COLUMN = Slot("obs", "scmpt_prediction")
COLOURS = "scmpt_prediction_colors"


@pytest.fixture
def cells() -> AnnData:
    return AnnData(np.ones((4, 3), dtype=np.float32), obs=pd.DataFrame(index=list("abcd")))


def _write(cells: AnnData, labels: list[str] | None) -> None:
    write_slots(cells, [COLUMN], {COLUMN: None if labels is None else pd.Categorical(labels)})


def _colours(cells: AnnData) -> dict[str, str]:
    return dict(zip(cells.obs[COLUMN.key].cat.categories, cells.uns[COLOURS], strict=True))


@pytest.mark.parametrize("as_stored", [list, np.array])
def test_colours_follow_their_labels(cells: AnnData, as_stored: Any) -> None:
    _write(cells, ["B", "T", "T", "NK"])
    assert COLOURS not in cells.uns
    cells.uns[COLOURS] = as_stored(["#000001", "#000002", "#000003"])  # B, NK, T

    _write(cells, ["T", "T", "B", "Dendritic"])

    found = _colours(cells)
    assert (found["B"], found["T"]) == ("#000001", "#000003")
    assert found["Dendritic"] not in {"#000001", "#000002", "#000003"}
    _write(cells, ["T", "T", "T", "T"])
    assert _colours(cells) == {"T": "#000003"}


@pytest.mark.parametrize("labels", [["alpha", "beta", "beta", "beta"], None])
def test_colours_without_any_of_their_labels_go(cells: AnnData, labels: list[str] | None) -> None:
    _write(cells, ["B", "T", "T", "NK"])
    cells.uns[COLOURS] = ["#000001", "#000002", "#000003"]
    _write(cells, labels)
    assert COLOURS not in cells.uns


def test_colours_of_unknown_labels_go(cells: AnnData) -> None:
    cells.uns[COLOURS] = ["#000001", "#000002", "#000003"]  # of a column that is gone
    _write(cells, ["B", "T", "T", "NK"])
    assert COLOURS not in cells.uns


def test_colours_of_a_view_are_those_of_the_whole(pbmc: AnnData) -> None:
    before = dict(zip(pbmc.obs["louvain"].cat.categories, pbmc.uns["louvain_colors"], strict=True))
    view = pbmc[pbmc.obs["louvain"].isin(["3", "4"])]
    slot = Slot("obs", "louvain")
    with pytest.warns(UserWarning, match="view"):
        write_slots(view, [slot], {slot: pd.Categorical(view.obs["louvain"].astype(str), categories=["4", "3"])})
    assert list(view.uns["louvain_colors"]) == [before["4"], before["3"]]
    assert dict(zip(pbmc.obs["louvain"].cat.categories, pbmc.uns["louvain_colors"], strict=True)) == before


def test_slots_without_a_value_are_removed_and_others_stay(cells: AnnData) -> None:
    keys = PredictionKeys.from_prefix("mine")
    cells.obs["other"] = 1
    write_slots(cells, keys.slots, {slot: np.ones((4, 1)) if slot.container == "obsm" else 1.0 for slot in keys.slots})
    assert len(keys.slots) == len(vars(keys)) == len(cells.obs.columns) - 1 + len(cells.obsm)
    write_slots(cells, keys.slots, {Slot("obs", keys.novelty): 0.5})
    assert list(cells.obs) == ["other", "mine_novelty"]
    assert not cells.obsm


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("a/b", r"`adata.obs\['a/b_prediction'\]` cannot be written to a file: HDF5 does not allow slashes"),
        ("a\0b", "cannot be written to a file"),
        ("\ud800", "cannot be written to a file"),
        ("x" * 300, r"obs\['x{60}...'\]` cannot be written to a file: zarr makes names of folders .*; found 311"),
        ("", "`key_added` must be a text that is not empty; found ''"),
        ("  ", "`key_added` must be a text that is not empty"),
        (5, "`key_added` must be a text that is not empty; found 5"),
        (("a",), "`key_added` must be a text that is not empty; found"),
    ],
)
def test_keys_that_no_file_can_hold_are_refused_by_the_name_of_the_slot(cells: AnnData, key: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_writable(cells, key, PredictionKeys.from_prefix(key).slots)


@pytest.mark.parametrize("key", [".", "..", "_index", "scmpt"])
def test_names_with_another_meaning_are_refused(cells: AnnData, key: str) -> None:
    with pytest.raises(ValueError, match=rf"`adata.uns\['{key}'\]` (cannot be|is where)"):
        check_writable(cells, key, [Slot("uns", key)])


def test_what_is_read_and_the_index_are_not_overwritten(cells: AnnData) -> None:
    keys = PredictionKeys.from_prefix("mine")
    with pytest.raises(ValueError, match=r"another place to write to than `adata.obs\['mine_prediction'\]`, which is"):
        check_writable(cells, "mine", keys.slots, reads=[Slot("obs", "mine_prediction")])
    cells.obs.index.name = "mine_novelty"
    with pytest.raises(ValueError, match=r"Expected to write `adata.obs\['mine_novelty'\]`; found that the index"):
        check_writable(cells, "mine", keys.slots)


def test_data_that_cannot_be_written_to(cells: AnnData, tmp_path: Path) -> None:
    cells.write_h5ad(tmp_path / "cells.h5ad")
    backed = read_h5ad(tmp_path / "cells.h5ad", backed="r")
    with pytest.raises(ValueError, match=r"for `adata.obsm\['X_a'\]`; found a view of a backed file"):
        check_writable(backed[:2], "X_a", [Slot("obsm", "X_a")])
    backed.file.close()


@pytest.mark.parametrize(
    ("there", "words"),
    [
        ("text", r"found str instead of a mapping in `adata.uns\['scmpt'\]`"),
        (5, r"found int instead of a mapping in `adata.uns\['scmpt'\]`"),
        ({"embeddings": "text"}, r"found str instead of a mapping in `adata.uns\['scmpt'\]\['embeddings'\]`"),
        ({"embeddings": {"X_a": 1.5}}, r"found float instead of .*\['scmpt'\]\['embeddings'\]\['X_a'\]`. Rename or"),
        ({"llm": {"mine": [1]}}, r"found list instead of .*\['llm'\]\['mine'\]`"),
    ],
)
def test_records_that_are_not_ours(cells: AnnData, there: object, words: str) -> None:
    cells.uns["scmpt"] = there
    check_writable(cells, "mine", PredictionKeys.from_prefix("mine").slots)
    assert provenance(cells, "X_a") is None
    with pytest.raises(ValueError, match=f"`adata.uns\\['scmpt'\\]` is where this package records .*{words}"):
        check_records(cells)


@pytest.mark.parametrize("record", [{}, {"encoder": "a"}, {"encoder": "a", "fingerprint": 5}, {"fingerprint": "b"}])
def test_part_of_a_record_tells_no_origin(cells: AnnData, record: dict[str, object]) -> None:
    cells.uns["scmpt"] = {"embeddings": {"X_a": record}}
    assert provenance(cells, "X_a") is None
    check_records(cells)  # as `ad.concat` leaves them
    cells.uns["scmpt"]["embeddings"]["X_a"] = {"encoder": "a", "fingerprint": "b"}
    assert provenance(cells, "X_a") == {"encoder": "a", "fingerprint": "b"}


def test_rankings_and_layers_of_others_are_not_overwritten(cells: AnnData) -> None:
    cells.uns["neighbors"] = {"params": {}}
    with pytest.raises(ValueError, match=r"`adata.uns\['neighbors'\]` exists and is no ranking"):
        check_ranking_is_ours(cells, AttributionKeys.from_key("neighbors"))
    cells.layers["counts"] = cells.X
    with pytest.raises(ValueError, match=r"`adata.layers\['counts'\]` exists and was not written by"):
        check_ranking_is_ours(cells, AttributionKeys.from_key("counts"))
    ranking = np.array([("CD3D",)], dtype=[("T", object)])
    cells.uns["counts"] = {"names": ranking, "scores": ranking}  # of scanpy
    with pytest.raises(ValueError, match=r"`adata.layers\['counts'\]` exists and was not written by"):
        check_ranking_is_ours(cells, AttributionKeys.from_key("counts"))


@pytest.mark.parametrize(("n_groups", "n_letters"), [(700, 90), (500, 40), (100, 800), (900, 10), (3, 10)])
def test_groups_are_refused_exactly_where_hdf5_refuses_them(n_groups: int, n_letters: int, tmp_path: Path) -> None:
    groups = [f"{number:04}".ljust(n_letters, "x") for number in range(n_groups)]
    try:
        check_groups_fit(groups)
    except ValueError as error:
        assert f"found {n_groups} groups" in str(error)  # noqa: PT017 (either outcome is right, if HDF5 agrees)
        fits = False
    else:
        fits = True
    cells = AnnData(np.ones((1, 1), dtype=np.float32))
    cells.uns["ranking"] = {"names": np.zeros(2, dtype=[(group, "f4") for group in groups])}
    if fits:
        cells.write_h5ad(tmp_path / "cells.h5ad")
        assert read_h5ad(tmp_path / "cells.h5ad").uns["ranking"]["names"].dtype.names == tuple(groups)
    else:
        with pytest.raises(ValueError, match="header message is too large"):
            cells.write_h5ad(tmp_path / "cells.h5ad")
    assert fits == ((n_groups, n_letters) in {(500, 40), (900, 10), (3, 10)})


@pytest.mark.parametrize("n_letters", [5, 200])
def test_columns_are_refused_where_hdf5_refuses_them(n_letters: int) -> None:
    """Their number counts, not the length of their names; a few columns are kept in reserve."""

    def write(n_columns: int) -> None:
        names = [f"{number:05}".ljust(n_letters, "x") for number in range(n_columns)]
        with h5py.File("columns", "w", driver="core", backing_store=False) as file:
            group = file.create_group("obsm/scmpt_probabilities")
            group.attrs.update({"encoding-type": "dataframe", "encoding-version": "0.2.0", "_index": "_index"})
            group.attrs["column-order"] = np.array(names, dtype=object)

    write(MOST_COLUMNS)
    check_columns_fit(range(MOST_COLUMNS), "adata.obsm['x']")
    with pytest.raises(OSError, match="header message is too large"):
        write(MOST_COLUMNS + 2)
    with pytest.raises(ValueError, match=r"at most 4,090 labels, .*`adata.obsm\['x'\]`.* found 4,091. Merge"):
        check_columns_fit(range(MOST_COLUMNS + 1), "adata.obsm['x']")


def test_a_full_table_of_cells_is_refused(cells: AnnData) -> None:
    columns = {f"c{number}": np.zeros(cells.n_obs, dtype=bool) for number in range(MOST_COLUMNS - 4)}
    cells.obs = pd.DataFrame(columns, index=cells.obs_names)
    check_writable(cells, "mine", PredictionKeys.from_prefix("mine").slots)
    cells.obs["one more"] = 1
    with pytest.raises(ValueError, match=r"room in `adata.obs` for 4 columns, .* found 4,087 there. Remove some"):
        check_writable(cells, "mine", PredictionKeys.from_prefix("mine").slots)
    cells.obs["mine_prediction"] = cells.obs.pop("one more")  # is replaced
    check_writable(cells, "mine", PredictionKeys.from_prefix("mine").slots)


def test_names_of_columns() -> None:
    labels = ["T/NK cell", "T|NK cell", ".", "_index", "cell", "é" * 200, "é" * 201, "a\0b", "\ud800"]
    names = storable_names(labels, reserved="cell")
    assert names[:5] == ["T|NK cell", "T|NK cell_", "._", "_index_", "cell_"]
    assert len(set(names)) == len(labels)
    assert max(len(name.encode()) for name in names) <= 255
    with h5py.File("names", "w", driver="core", backing_store=False) as file:
        for name in names:
            file[name] = 1
    assert labels_of_names(names, labels, reserved="cell") == labels
    assert labels_of_names(names, [], reserved="cell") == names
    some = [labels[place] for place in (0, 1, 5)]  # of labels that do not all occur
    found = labels_of_names(names, some, reserved="cell")
    assert [found[place] for place in (0, 1, 5)] == some


def test_values_of_records(cells: AnnData, tmp_path: Path) -> None:
    record = {
        "encoder": "mine",
        "fingerprint": "0123",
        "plain": [None, True, 1, 1.5, "text"],
        "texts": ["a", "b"],
        "numbers": (1, 2),
        "mixed": [1, "a", None],
        "a/b": {"path": Path("there"), "kind": int, "array": np.arange(3), "objects": np.array(["a", 1], dtype=object)},
        "NUL": "a\0b",
        "empty": [],
        "none": None,
    }
    write_embedding(cells, "X_mine", np.ones((4, 2), dtype=np.float32), record)
    found = provenance(cells, "X_mine")
    assert found is not None
    assert found["mixed"] == ["1", "a", "None"]
    assert found["a|b"]["path"] == "there"
    assert storable(found) is not found
    cells.write_h5ad(tmp_path / "cells.h5ad")
    back = provenance(read_h5ad(tmp_path / "cells.h5ad"), "X_mine")
    assert back is not None
    assert (back["texts"].tolist(), back["numbers"].tolist(), back["NUL"], back["none"]) == (
        ["a", "b"],
        [1, 2],
        "ab",
        None,
    )
