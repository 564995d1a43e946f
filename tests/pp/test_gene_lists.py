"""Lists of genes that users give: read as the names of data are, and what cannot be meant is named."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from scmpt_scverse import ablation, encoders, knowledge
from scmpt_scverse._gene_spelling import is_date
from scmpt_scverse.pp import GeneExpression, check_known_genes, read_gene_list

GENES = ["CD3D", "MS4A1", "NKX2-1", "HLA-DRA", "P2RY12", "AC012345.1"]
LISTS: dict[str, Callable[[Any], Any]] = {
    "read_gene_list": lambda genes: read_gene_list(genes, "genes"),
    "DropGenes": ablation.DropGenes,
    "pretrain": lambda genes: encoders.pretrain([AnnData(np.ones((2, 2)))], "/tmp/no-such-model", vocabulary=genes),
}


def expression(genes: list[str]) -> GeneExpression:
    matrix = sparse.csr_matrix(np.arange(1.0, 2 * len(genes) + 1).reshape(2, -1))
    return GeneExpression(matrix, np.array(genes, dtype=object))


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize(
    ("genes", "error", "found"),
    [
        (b"CD3D", TypeError, "Expected a list of gene symbols as `.*`; found bytes"),
        (3, TypeError, "Expected a list of gene symbols as `.*`; found int"),
        ([], ValueError, "Expected at least one gene in `.*`; found none"),
        (["CD3D", "ENSG00000167286"], ValueError, "found Ensembl ids such as 'ENSG00000167286'. Map them"),
        (["ENSMUSG00000032094.5"], ValueError, "found Ensembl ids such as 'ENSMUSG00000032094.5'"),
        ([915, 916.0], ValueError, "found Entrez gene ids such as '915'"),
        (["CD3D", None, np.nan], ValueError, "found missing names such as 'None', 'nan'. Leave them out"),
        (["1-Mar"], ValueError, "found dates that a spreadsheet made of symbols such as '1-Mar'. Take the symbols"),
        (AnnData(np.ones((2, 2))), TypeError, "an array or a column as `.*`; found anndata"),
    ],
)
def test_what_is_no_list_of_symbols(name: str, genes: Any, error: type[Exception], found: str) -> None:
    with pytest.raises(error, match=found):
        LISTS[name](genes)


@pytest.mark.parametrize(
    "form", ["{}", "GRCh38_{}", "{}_ENSG00000167286", "ENSG00000167286.5|{}", "hg19-{}", " {}\r", "'{}'"]
)
def test_what_is_attached_is_left_out(form: str) -> None:
    """Of each name alone: few genes tell nothing of the others."""
    assert read_gene_list([form.format(gene) for gene in GENES], "genes") == GENES
    assert read_gene_list([form.format("CD3D").encode(), "CD3D"], "genes") == ["CD3D"]
    change = ablation.DropGenes([form.format("CD3D"), form.format("NKX2-1")])
    assert change.name == "without 2 genes"
    changed = change.expression(expression(GENES), np.random.default_rng(0)).matrix.toarray()
    assert (changed[:, [0, 2]] == 0).all()
    assert (changed[:, [1, 3, 4, 5]] > 0).all()


@pytest.mark.parametrize(
    "genes", [pd.Index(GENES), pd.Series(GENES), np.array(GENES), tuple(GENES), dict.fromkeys(GENES)]
)
def test_lists_of_any_kind(genes: Any) -> None:
    assert read_gene_list(genes, "genes") == GENES


def test_symbols_of_another_species_and_typing_errors_get_a_suggestion() -> None:
    for gene, suggestion in (("Cd3d", "CD3D"), ("nkx2-1", "NKX2-1"), ("MS4A", "MS4A1")):
        with pytest.raises(
            ValueError, match=f"genes of the data in `genes`; found '{gene}', .* Did you mean '{suggestion}'"
        ):
            ablation.DropGenes(["HLA-DRA", gene]).expression(expression(GENES), np.random.default_rng(0))
    check_known_genes(GENES, GENES, "genes", "the data")


def test_groups_of_genes_are_found_in_mouse_data() -> None:
    cells = expression(["Rpl3", "mt-Nd1", "Actb", "C1orf43", "Cd3d"])
    dropped = {"ribosomal": [0], "mitochondrial": [1], "housekeeping": [2, 3]}
    for kind, columns in dropped.items():
        changed = ablation.DropGenes(kind).expression(cells, np.random.default_rng(0)).matrix.toarray()
        assert np.flatnonzero((changed == 0).all(axis=0)).tolist() == columns


def test_dates_and_mouse_symbols_mean_the_same_everywhere() -> None:
    for date in ("1-Mar", "2-Sept", "Dec-1", "2020-03-01", "2020-03-01 00:00:00"):
        assert is_date(date)
        with pytest.raises(ValueError, match="dates"):
            read_gene_list([date], "genes")
        with pytest.warns(UserWarning, match=f"'{date}' are dates"):
            knowledge.read_markers(pd.DataFrame({"cell_type": ["B", "T"], "gene": ["MS4A1", date]}))
    for symbol in ("MARCH1", "SEPT7", "DEC1", "SEP15"):
        assert not is_date(symbol)
