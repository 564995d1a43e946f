"""Mouse genes as human ones: known traps, ids before symbols, and what is refused."""

import copy
import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from scmpt_scverse import pp
from scmpt_scverse.pp import ExpressionReader

OTHERS = ["Cd3d", "Cd3e", "Ms4a1", "Nkg7", "Cd8a", "Gzmb"]


def mouse(*genes: str, values: np.ndarray | None = None) -> AnnData:
    names = [*genes, *OTHERS]
    values = np.ones((3, len(names)), dtype=np.float32) if values is None else values
    return AnnData(sparse.csr_matrix(values), var=pd.DataFrame(index=names))


@pytest.mark.parametrize(
    ("gene", "human"),
    [
        ("Cd8b1", "CD8B"),
        ("Lyz1", "LYZ"),
        ("Lyz2", "LYZ"),
        ("Xcl1", "XCL1"),
        ("H2-Aa", "HLA-DQA1"),
        ("H2-Ab1", "HLA-DQB1"),
        ("Ins1", "INS"),
        ("Ins2", "INS"),
        ("Trp53", "TP53"),
        ("Cd1d1", "CD1D"),
        # Nothing, though letters or families suggest something.
        ("H2-K1", ""),
        ("H2-D1", ""),
        ("Cxcl15", ""),
        ("Ly6c2", ""),
        ("Gzmc", ""),
        ("Gm1", ""),
        ("Cd8b", ""),
    ],
)
def test_known_genes(gene: str, human: str) -> None:
    cells = mouse(gene)
    pp.map_orthologs(cells)
    assert cells.var.loc[gene, "human_symbol"] == human


def test_no_mouse_gene_becomes_a_human_gene_without_a_mouse_ortholog() -> None:
    humans = {human for several in pp.Orthologs.of("mouse").by_symbol.values() for human in several}
    assert humans.isdisjoint({"HLA-A", "CXCL8", "GNLY", "S100A12", "CD1C"})
    assert len(humans) > 17_000


def test_several_human_genes_are_a_choice() -> None:
    cells = mouse("Fcgr4")
    with pytest.warns(UserWarning, match="1 genes with several human genes are left out, such as 'Fcgr4'"):
        report = pp.map_orthologs(cells)
    assert cells.var.loc["Fcgr4", "human_symbol"] == ""
    assert (report["n_ambiguous"], report["n_mapped"]) == (1, 6)
    report = pp.map_orthologs(cells, pp.Orthologs.of("mouse", ambiguous="best"))
    assert cells.var.loc["Fcgr4", "human_symbol"] == "FCGR3A"
    assert report["n_mapped"] == 7


def test_genes_of_one_human_gene_are_summed_and_totals_stay() -> None:
    values = np.tile(np.arange(1, 10, dtype=np.float32), (3, 1))
    cells = mouse("Lyz1", "Lyz2", "Cxcl15", values=values)
    report = pp.map_orthologs(cells)
    assert report["n_summed"] == 2
    assert report["n_human_genes"] == 7
    assert report["share_of_expression"] == pytest.approx(1 - 3 / 45)
    read = ExpressionReader(cells, gene_symbols="human_symbol").rows(0, 3)
    assert read.matrix[0, list(read.genes).index("LYZ")] == 3
    assert read.without_symbol is not None
    assert read.matrix[0].sum() + read.without_symbol[0] == 45
    sentence = pp.cell_sentences(cells, gene_symbols="human_symbol").iloc[0]
    assert sentence.split()[0] == "GZMB"


def test_ids_are_looked_up_before_symbols() -> None:
    ids = {"Cd3d": "ENSMUSG00000032094.12", "Cd8a": "ENSMUSG00000053977"}
    cells = mouse("Wrong1", "Wrong2")
    cells.var["gene_ids"] = [ids["Cd3d"], ids["Cd8a"], *OTHERS]
    report = pp.map_orthologs(cells)
    assert cells.var["human_symbol"].tolist()[:2] == ["CD3D", "CD8A"]
    assert report["n_by_id"] == 2
    by_name = AnnData(np.ones((2, 2)), var=pd.DataFrame(index=list(ids.values())))
    pp.map_orthologs(by_name)
    assert by_name.var["human_symbol"].tolist() == ["CD3D", "CD8A"]


def test_a_table_of_another_species(tmp_path: Path) -> None:
    table = pd.DataFrame({"gene": ["cd3d", "il2", "il2", "odd"], "human_gene": ["CD3D", "IL2", "IL21", ""]})
    fish = AnnData(np.ones((2, 3)), var=pd.DataFrame(index=["cd3d", "il2", "odd"]))
    table.to_csv(tmp_path / "fish.tsv", sep="\t", index=False)
    for given in (table, tmp_path / "fish.tsv"):
        pp.map_orthologs(fish, pp.Orthologs.of("zebrafish", given, ambiguous="best"), key_added="human")
        assert fish.var["human"].tolist() == ["CD3D", "IL2", ""]
    with pytest.raises(ValueError, match="a table of orthologs, 'human', 'mouse'; found organism='zebrafish'"):
        pp.map_orthologs(fish, "zebrafish")
    with pytest.raises(KeyError, match="human_gene"):
        pp.Orthologs.of("zebrafish", table[["gene"]])


def test_orthologs_are_equal_and_of_one_hash_where_all_that_they_say_is_equal() -> None:
    table = pd.DataFrame({"gene": ["cd3d", "il2"], "human_gene": ["CD3D", "IL2"]})
    fish = pp.Orthologs.of("zebrafish", table)
    same = [pp.Orthologs.of("zebrafish", table.iloc[::-1]), copy.deepcopy(fish), pickle.loads(pickle.dumps(fish))]
    others = [
        pp.Orthologs.of("zebrafish", table, ambiguous="best"),
        pp.Orthologs.of("zebrafish", table.iloc[:1]),
        pp.Orthologs.of("medaka", table),
    ]
    assert {fish, *same} == {fish}
    assert len({fish, *others}) == 4


def test_a_copy_of_the_orthologs_of_this_package_is_theirs() -> None:
    mouse_genes = pp.Orthologs.of("mouse")
    for same in (copy.deepcopy(mouse_genes), pickle.loads(pickle.dumps(mouse_genes))):
        assert {same: 1}[mouse_genes] == 1
        assert same.label == "mouse"
        assert same.state() == mouse_genes.state() == {"organism": "mouse", "ambiguous": "drop"}
    changed = dataclasses.replace(mouse_genes, aliases={})
    assert changed != mouse_genes
    assert changed.label != "mouse"


def test_what_is_refused_before_anything_is_written() -> None:
    human = AnnData(np.ones((2, 3)), var=pd.DataFrame(index=["CD3D", "CD8A", "LYZ"]))
    with pytest.raises(ValueError, match="found that 3 of 3 names are of human genes, such as 'CD3D', 'CD8A', 'LYZ'"):
        pp.map_orthologs(human)
    assert list(human.var) == []
    for organism, whose in (("human", "Human"), ("native", "Such")):
        with pytest.raises(ValueError, match=f"{whose} cells are read without orthologs"):
            pp.map_orthologs(human, organism)
    both = AnnData(np.ones((2, 4)), var=pd.DataFrame(index=["mm10_Cd3d", "mm10_Cd8a", "GRCh38_CD3D", "GRCh38_LYZ"]))
    with pytest.raises(ValueError, match="genes of one species"):
        pp.map_orthologs(both)
    cells = mouse()
    with pytest.raises(ValueError, match="found a view"):
        pp.map_orthologs(cells[:2])
    with pytest.raises(KeyError, match="symbol"):
        pp.map_orthologs(cells, gene_symbols="symbol")
    with pytest.raises(KeyError, match=r"nope.*adata\.layers"):
        pp.map_orthologs(cells, layer="nope")
    with pytest.raises(ValueError, match="Expected the name of a species"):
        pp.Orthologs.of(" ")
    with pytest.raises(ValueError, match="ambiguous"):
        pp.Orthologs.of("mouse", ambiguous="first")  # type: ignore[arg-type]
    cells.var["symbol"] = cells.var_names
    with pytest.raises(ValueError, match="which is read"):
        pp.map_orthologs(cells, gene_symbols="symbol", key_added="symbol")
    assert list(cells.var) == ["symbol"]


@pytest.mark.parametrize(("former", "human"), [("Hprt", "HPRT1"), ("Gba", "GBA1"), ("Tdgf1", "CRIPTO")])
def test_former_symbols_of_the_mouse_are_known(former: str, human: str) -> None:
    cells = mouse(former)
    report = pp.map_orthologs(cells)
    assert cells.var.loc[former, "human_symbol"] == human
    assert report["n_by_alias"] == 1


def test_former_symbols_of_a_table_of_ones_own() -> None:
    table = pd.DataFrame(
        {
            "gene": ["cd3d", "il2", "lck", "zap70"],
            "aliases": ["t3d|old3", None, "old3 | il2", "syk2"],  # old3 was two genes, and il2 is one now
            "human_gene": ["CD3D", "IL2", "LCK", "ZAP70"],
        }
    )
    fish = AnnData(np.ones((2, 4)), var=pd.DataFrame(index=["t3d", "old3", "il2", "syk2"]))
    report = pp.map_orthologs(fish, pp.Orthologs.of("zebrafish", table))
    assert fish.var["human_symbol"].tolist() == ["CD3D", "", "IL2", "ZAP70"]
    assert report["n_by_alias"] == 2


def test_the_report_says_what_is_kept_of_genes_expression_and_markers() -> None:
    values = np.tile(np.arange(1, 9, dtype=np.float32), (3, 1))
    cells = mouse("Gm1", "H2-K1", values=values)
    report = pp.map_orthologs(cells, markers=["CD3D", "MS4A1", "GNLY", "CD3D", "HLA-A"])
    assert report["share_of_genes"] == 6 / 8
    assert report["share_of_expression"] == pytest.approx(1 - 3 / 36)
    assert report["share_of_markers"] == 2 / 4
    small = pp.map_orthologs(mouse("Gm1", "H2-K1", values=values * 1e-6))
    assert small["share_of_expression"] == pytest.approx(1 - 3 / 36)
    assert np.isnan(pp.map_orthologs(mouse("Gm1", "H2-K1", values=values * 0))["share_of_expression"])
    assert np.isnan(pp.map_orthologs(mouse())["share_of_markers"])
    with pytest.raises(ValueError, match="Expected gene symbols in `markers`; found Ensembl ids"):
        pp.map_orthologs(cells, markers=["ENSG00000167286"])


@pytest.mark.parametrize("argument", ["gene_symbols", "gene_ids"])
def test_a_column_that_is_missing_is_named(argument: str) -> None:
    mouse = AnnData(np.ones((2, 2), dtype=np.float32))
    mouse.var_names = ["Cd3d", "Lyz2"]
    with pytest.raises(KeyError, match=r"No 'nowhere' in `adata\.var`"):
        pp.map_orthologs(mouse, **{argument: "nowhere"})
