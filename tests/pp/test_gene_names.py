"""Gene identifiers cannot fail silently."""

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from scmpt_scverse import pp
from scmpt_scverse.pp import looks_like_mouse
from scmpt_scverse.pp._column_symbols import gene_names_of, gene_symbols_of
from scmpt_scverse.pp._expression import ExpressionReader
from scmpt_scverse.pp._gene_names import read_gene_names
from scmpt_scverse.pp._gene_overlap import nearest_cause
from scmpt_scverse.pp._identifier_systems import ENSEMBL_GENES, certain_system
from scmpt_scverse.pp._panel import only_symbols


@pytest.mark.parametrize(
    "name", ["ENSG00000156738", "ENSG00000156738.17", "ENSMUSG00000026395.7", "ENSG00000182378.15_PAR_Y"]
)
def test_ensembl_ids(name: str) -> None:
    assert certain_system(name) is ENSEMBL_GENES


@pytest.mark.parametrize("name", ["ENSA", "ENSAP1", "ENSG0001", "CD3D", "AC012345.1", "ENST00000456328"])
def test_symbols_are_no_ensembl_ids(name: str) -> None:
    assert certain_system(name) is not ENSEMBL_GENES


def one_cell(genes: list[str], values: list[float] | None = None, **columns: list[Any]) -> AnnData:
    row = np.arange(len(genes), 0, -1) if values is None else np.array(values)
    return AnnData(row[None].astype(np.float32), var=pd.DataFrame(columns, index=genes))


def test_mixed_index_keeps_the_symbols() -> None:
    adata = one_cell(["CD3D", "ENSG00000156738.17", "ENSA"])
    assert gene_symbols_of(adata, None).tolist() == ["CD3D", "", "ENSA"]
    assert pp.cell_sentences(adata).tolist() == ["CD3D ENSA"]
    assert ExpressionReader(adata).n_without_symbol == 1


def test_ids_are_names_only_where_there_are_no_symbols() -> None:
    ids = ["ENSG00000156738.17", "ENSG00000167286"]
    for genes, expected in ((ids, ["ENSG00000156738", "ENSG00000167286"]), (["CD3D", ids[0]], ["CD3D", ""])):
        names = gene_names_of(one_cell(genes), None, ids_are_names=True)
        assert names.symbols.tolist() == expected


def test_a_panel_takes_names_as_they_are_or_else_their_symbols() -> None:
    names = read_gene_names(["GRCh38_CD3D", "LYZ", "GRCh38_NKG7", "MS4A1"])
    assert only_symbols(names, ["CD3D", "GRCh38_NKG7", "LYZ"]).tolist() == ["CD3D", "LYZ", "GRCh38_NKG7", ""]


def test_missing_symbols_are_left_out() -> None:
    adata = one_cell(["a", "b", "c"], symbol=["CD3D", None, float("nan")])
    assert pp.cell_sentences(adata, gene_symbols="symbol").tolist() == ["CD3D"]


def test_duplicates_are_summed() -> None:
    adata = one_cell(["a", "b", "c", "d"], values=[2, 3, 2, 1], symbol=["CD3D", "LYZ", "CD3D", "NKG7"])
    reader = ExpressionReader(adata, gene_symbols="symbol")
    assert reader.n_merged == 1
    assert dict(zip(reader.genes, reader.rows(0, 1).matrix.toarray()[0], strict=True)) == {
        "CD3D": 4,
        "LYZ": 3,
        "NKG7": 1,
    }


def test_reference_order_breaks_ties_as_in_the_reference() -> None:
    adata = one_cell(["C", "NEW", "A", "B"], values=[1, 1, 1, 1])
    reader = ExpressionReader(adata, reference_genes=np.array(["A", "B", "C", "GONE"], dtype=object))
    assert reader.genes.tolist() == ["A", "B", "C", "NEW"]


def test_only_ensembl_ids_name_the_column_with_symbols() -> None:
    adata = one_cell(["ENSG00000156738", "ENSG00000167286.2"], feature_name=["MS4A1", "CD3D"])
    with pytest.raises(
        ValueError, match=r"found Ensembl ids such as 'ENSG00000156738'.*Pass `gene_symbols='feature_name'`"
    ):
        pp.cell_sentences(adata)
    with pytest.raises(ValueError, match="column of `adata.var` that holds symbols; found 'ids'"):
        pp.cell_sentences(one_cell(["ENSG00000156738"], ids=["x"]))


def test_row_numbers_are_no_names() -> None:
    with pytest.raises(ValueError, match="found row numbers such as '0', '1', '2'. Pass `gene_symbols=`"):
        pp.cell_sentences(one_cell(["0", "1", "2"]))


def test_a_column_without_symbols_is_not_advised() -> None:
    adata = one_cell(["ENSG00000156738"], feature_name=["NM_000732"], gene_name=["MS4A1"])
    with pytest.raises(
        ValueError, match="found Ensembl ids such as 'ENSG00000156738'. Pass `gene_symbols='gene_name'`"
    ):
        pp.cell_sentences(adata)


def test_unknown_column() -> None:
    with pytest.raises(KeyError, match="No 'symbols' in `adata.var`; found 'symbol'. Did you mean 'symbol'"):
        pp.cell_sentences(one_cell(["a"], symbol=["CD3D"]), gene_symbols="symbols")


@pytest.mark.parametrize(
    ("names", "cause"),
    [
        (["Cd3d", "Ms4a1"], "match in upper case .*another species, or symbols in lower case"),
        (["CD3D.1", "MS4A1.2"], r"match without their `.N` suffix"),
        (["FOO", "BAR"], "'FOO', 'BAR' are not in the encoder's vocabulary"),
    ],
)
def test_nearest_cause(names: list[str], cause: str) -> None:
    symbols = np.array(names, dtype=object)
    text = nearest_cause(symbols, np.zeros(2, dtype=bool), frozenset({"CD3D", "MS4A1"}))
    assert re.search(cause, text)


def test_sums_of_small_integers_do_not_wrap_around() -> None:
    adata = one_cell(["a", "b", "c"], symbol=["CD3D", "MS4A1", "CD3D"])
    adata.X = np.array([[200, 150, 100]], dtype=np.uint8)
    assert pp.cell_sentences(adata, gene_symbols="symbol").tolist() == ["CD3D MS4A1"]


@pytest.mark.parametrize(
    ("symbols", "is_mouse"),
    [
        (["Cd3d", "Ms4a1", "CD3D"], True),
        (["Cd3d", "CD3D"], False),  # half is not most
        (["CD3D", "MS4A1", "Cd3d"], False),
        (["cd3d", "ms4a1"], False),
        (["A", "B", "C"], False),
        (["A1", "B2"], False),
        (["mt-Nd1", "cd3D"], False),
        (["CdX3d", "CdX3e"], False),
        ([], False),
    ],
)
def test_mouse_symbols_are_written_in_lower_case_but_for_the_first_letter(symbols: list[str], is_mouse: bool) -> None:
    assert looks_like_mouse(np.array(symbols, dtype=object)) is is_mouse


def test_names_are_stripped_and_numbers_are_none() -> None:
    adata = one_cell([" CD3D ", "MS4A1", "3", "nan"])
    assert gene_symbols_of(adata, None).tolist() == ["CD3D", "MS4A1", "", ""]
    with pytest.raises(ValueError, match="found row numbers such as '1', '', '2'"):
        gene_symbols_of(one_cell(["1", "", "2"]), None)


def test_the_column_that_failed_is_not_advised() -> None:
    adata = one_cell(["a", "b"], symbol=["ENSG00000156738", "nan"], gene_name=["CD3D", "LYZ"])
    with pytest.raises(ValueError, match=r"in `adata.var\['symbol'\]`; found Ensembl ids .*`gene_symbols='gene_name'`"):
        gene_symbols_of(adata, "symbol")
    with pytest.raises(
        ValueError, match=r"found missing names such as 'nan', '(None|nan)'. Pass `gene_symbols=` with the column"
    ):
        gene_symbols_of(one_cell(["a", "b"], symbol=["nan", None]), "symbol")


@pytest.mark.parametrize(
    ("names", "cause"),
    [
        (["cd3d", "foo", "ms4a1"], "2 of the 3 unmatched names match in upper case"),
        (["cd3d", "foo"], "are not in the encoder's vocabulary"),
        (["CD3D.1", "MS4A1.12", "foo"], r"2 of the 3 unmatched names match without their `.N` suffix"),
        (["CD3D.1", "foo"], "are not in the encoder's vocabulary"),
    ],
)
def test_a_cause_is_that_of_most_names(names: list[str], cause: str) -> None:
    symbols = np.array([*names, "known"], dtype=object)
    known = symbols == "known"
    assert re.search(cause, nearest_cause(symbols, known, frozenset({"CD3D", "MS4A1"})))


@pytest.mark.parametrize(("n_identifiers", "has_symbols"), [(9, True), (10, False)])
def test_a_few_spike_ins_among_identifiers_are_nothing_to_read_cells_by(n_identifiers: int, has_symbols: bool) -> None:
    names = [f"ENSG{number:011d}" for number in range(1, n_identifiers + 1)]
    assert read_gene_names([*names, "CD3D"]).has_symbols is has_symbols


def test_symbols_among_mostly_identifiers_are_read_with_a_warning() -> None:
    ids = [f"ENSG{number:011d}" for number in range(60)]
    adata = AnnData(
        np.ones((2, 100), dtype=np.float32), var=pd.DataFrame(index=[*ids, *map("GENE{}A".format, range(40))])
    )
    with pytest.warns(UserWarning, match="60 of 100 names in `adata.var_names` are no gene symbols but Ensembl ids"):
        assert len(pp.ExpressionReader(adata).genes) == 40
    few = AnnData(np.ones((2, 90), dtype=np.float32), var=adata.var.iloc[10:])
    few.var_names = [*ids[:40], *map("GENE{}A".format, range(50))]
    assert len(pp.ExpressionReader(few).genes) == 50


def test_names_are_shared_and_so_cannot_be_changed() -> None:
    names = read_gene_names(["CD3D", "GRCh38_CD8A"])
    assert read_gene_names(["CD3D", "GRCh38_CD8A"]).symbols is names.symbols
    for values in (names.given, names.symbols):
        with pytest.raises(ValueError, match="read-only"):
            values[0] = "other"
