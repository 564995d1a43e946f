"""Cells of two species, of another one than was said, or of an unknown one: refused by their names, before reading."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from scmpt_scverse import pp
from scmpt_scverse.pp import ExpressionReader, species_told

HUMAN = ["CD3D", "CD8B", "LYZ", "MS4A1", "NKG7", "TP53", "C1orf43", "HLA-DRA"]
MOUSE = ["Cd3d", "Cd8b1", "Lyz2", "Ms4a1", "Nkg7", "Trp53", "Gm1234", "H2-Aa"]
RAT = ["Cd3d", "Cd8b", "Lyz2", "Ms4a1", "Nkg7", "Tp53", "RT1-Da", "RT1-A2", "RGD1306195", "LOC100359479"]
MOUSE_IDS = ["ENSMUSG00000032094", "ENSMUSG00000053977.15", "ENSMUSG00000069516"]
HUMAN_IDS = ["ENSG00000167286", "ENSG00000172116", "ENSG00000090382"]
RAT_IDS = ["ENSRNOG00000010183", "ENSRNOG00000016945", "ENSRNOG00000007178"]


def cells(names: list[str], **columns: list[Any]) -> AnnData:
    """Cells that cannot be read: whoever tries raises an error."""
    values = sparse.csr_matrix(np.full((2, len(names)), np.nan, dtype=np.float32))
    return AnnData(values, var=pd.DataFrame(columns, index=names))


def symbols(names: list[str], organism: Any, **columns: list[Any]) -> list[str]:
    """What columns are read as."""
    return ExpressionReader(cells(names, **columns), organism=organism).names.symbols.tolist()


@pytest.mark.parametrize("organism", ["human", "mouse", "auto"])
@pytest.mark.parametrize(
    "names",
    [
        [*HUMAN, *MOUSE],
        [*HUMAN * 3, *MOUSE],
        [*(f"GRCh38_{name}" for name in HUMAN), *(f"mm10_{name}" for name in MOUSE)],
        [*(f"GRCh38_{name}" for name in HUMAN_IDS), *(f"mm10___{name}" for name in MOUSE_IDS)],
        [*HUMAN_IDS, *MOUSE_IDS],
        [*MOUSE, *HUMAN_IDS],
        [*HUMAN, *MOUSE_IDS, *MOUSE_IDS],
    ],
)
def test_two_species_in_one_object_are_refused(names: list[str], organism: str) -> None:
    names = pd.Index(names).drop_duplicates().tolist() if "GRCh38" not in names[0] else names
    with pytest.raises(ValueError, match="Expected genes of one species in `adata.var_names`"):
        symbols(names, organism)


@pytest.mark.parametrize(
    ("names", "organism", "words"),
    [
        (MOUSE, "human", r'found that 7 of 8 names are of mouse genes, such as \'Cd3d\'.*Pass `organism="mouse"`'),
        (MOUSE_IDS, "human", 'are of mouse genes.*Pass `organism="mouse"`'),
        ([f"mm10_{name}" for name in MOUSE], "human", "are of mouse genes, such as 'mm10_Cd3d'"),
        (HUMAN, "mouse", r"Expected mouse genes in `adata.var_names`; found that \d of 8 names are of human genes"),
        (HUMAN_IDS, "mouse", "are of human genes.*in upper case are no orthologs"),
        (RAT, "human", r'are of rat genes.*`organism=pp.Orthologs.of\("rat", table\)`'),
        (RAT, "mouse", "Expected mouse genes in .* are of rat genes"),
        (RAT, "auto", "Expected a species with a table of orthologs, 'human', 'mouse', for .* are of rat genes"),
        (RAT_IDS, "human", "are of rat genes"),
        (RAT_IDS, "mouse", "are of rat genes"),
        (["Gene1", "Gene2", "Gene3"], "auto", "tell of a species, for `organism='auto'`; found such as 'Gene1'"),
        (["Gene1", "Gene2", "Gene3"], "mouse", "found 0 of 3 in the table of orthologs, and names such as 'Gene1'"),
        (MOUSE, "rat", r"'human', 'mouse'; found organism='rat'.*pp.Orthologs.of\('rat', table\)"),
        (MOUSE, "Mouse", "found organism='Mouse'. Did you mean 'mouse'"),
    ],
)
def test_another_species_than_was_said_is_refused(names: list[str], organism: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        symbols(names, organism)


@pytest.mark.parametrize("organism", [None, 3, ["mouse"]])
def test_what_is_no_species(organism: Any) -> None:
    with pytest.raises(TypeError, match="Expected the name of a species, or `pp.Orthologs`, as `organism`; found"):
        symbols(MOUSE, organism)


@pytest.mark.parametrize("others", [["RT1-A1"], ["Gm123", "Gm124", "Gm125", "RT1-A1", "RT1-A2"]])
def test_a_few_symbols_of_rats_among_those_of_mice(others: list[str]) -> None:
    assert symbols([*MOUSE, *others], "mouse")[: len(MOUSE)] == symbols(MOUSE, "mouse")


def test_names_that_tell_of_no_species_are_human() -> None:
    toys = [f"Gene{number}" for number in range(40)]
    for names in (toys, ["yfg1", "yfg2"], HUMAN, [*HUMAN, "Cre", "Gfp"], [*toys, "Cd3d"]):
        assert symbols(names, "human") == names


def test_symbols_of_any_species_as_they_are() -> None:
    assert symbols(MOUSE, "native") == MOUSE
    one_cell = AnnData(np.ones((1, 2)), var=pd.DataFrame(index=MOUSE[:2]))
    assert pp.cell_sentences(one_cell, organism="native").tolist() == ["Cd3d Cd8b1"]
    assert pp.cell_sentences(one_cell, organism="mouse").tolist() == ["CD3D CD8B"]
    with pytest.raises(ValueError, match="genes of one species"):
        symbols(["GRCh38_CD3D", "mm10_Cd3d"], "native")


def test_auto_shows_three_of_the_names_that_tell_of_no_species() -> None:
    with pytest.raises(ValueError, match=r"found such as 'toy0', 'toy1', 'toy2', \.\.\. \(5 in all\)\. Pass"):
        symbols([f"toy{number}" for number in range(5)], "auto")


def test_auto_reports_what_it_took() -> None:
    with pytest.warns(UserWarning, match="took 'mouse': 7 of 8 names are of mouse genes, such as 'Cd3d', 'Cd8b1'"):
        assert symbols(MOUSE, "auto")[:3] == ["CD3D", "CD8B", "LYZ"]
    with pytest.warns(UserWarning, match="took 'human': 8 of 8 names are of human genes"):
        assert symbols(HUMAN, "auto") == HUMAN
    assert species_told(cells(MOUSE), None) == "mouse"
    assert species_told(cells([*HUMAN, *MOUSE]), None) in {"mouse and human", "human and mouse"}
    assert species_told(cells(["yfg1", "yfg2"]), None) == ""


def test_ids_and_symbols_may_be_mixed() -> None:
    """Names of a gene without symbol are its id, in files of 10x Genomics and CELLxGENE."""
    assert symbols(["Cd3d", "ENSMUSG00000053977", "Gm1", "ENSMUSG99999999999"], "mouse") == ["CD3D", "CD8A", "", ""]
    assert symbols(["CD3D", "ENSG00000172116", "LYZ"], "human") == ["CD3D", "", "LYZ"]
    both = cells(["Cd3d", "ENSMUSG00000032094", "Lyz2"])  # one gene twice is summed
    assert ExpressionReader(both, organism="mouse").n_merged == 1


def test_ids_of_another_species_than_the_symbols() -> None:
    with pytest.raises(ValueError, match=r"Expected mouse genes in `adata.var\['gene_ids'\]`.*are of human genes"):
        symbols(MOUSE[:3], "mouse", gene_ids=HUMAN_IDS)
    # Human symbols that somebody looked up beside ids of mice are what they are.
    mapped = cells(MOUSE_IDS, gene_ids=MOUSE_IDS, human_symbol=["CD3D", "CD8A", "LYZ"])
    assert ExpressionReader(mapped, gene_symbols="human_symbol").genes.tolist() == ["CD3D", "CD8A", "LYZ"]


def test_duplicated_orthologs() -> None:
    table = pd.DataFrame(
        {
            "gene_id": ["S1", "S1", "S2", "S3", "S4"],
            "gene": ["cd3d", "cd3d", "cd3d", "lyz1", "lyz2"],  # one twice, and one symbol of two ids
            "human_gene": ["CD3D", "CD3D", "CD3D", "LYZ", "LYZ"],
        }
    )
    pig = pp.Orthologs.of("pig", table)
    assert symbols(["cd3d", "lyz1", "lyz2"], pig) == ["CD3D", "LYZ", "LYZ"]
    assert symbols(["S2", "S1", "lyz2"], pig) == ["CD3D", "CD3D", "LYZ"]
    adata = AnnData(np.ones((1, 4)), var=pd.DataFrame(index=["cd3d", "S1", "lyz1", "odd"]))
    reader = ExpressionReader(adata, organism=pig)
    assert reader.rows(0, 1).matrix.toarray().tolist() == [[2.0, 1.0]]
    assert reader.organism.startswith("pig ")


@pytest.mark.parametrize(
    ("table", "error", "words"),
    [
        (pd.DataFrame({"gene": ["a"]}), KeyError, "No 'human_gene' in `table`; found 'gene'"),
        (pd.DataFrame({"human_gene": ["A"], "symbol": ["a"]}), KeyError, "No 'gene' in `table`"),
        (pd.DataFrame({"gene": [], "human_gene": []}), ValueError, "found no row with both"),
        (pd.DataFrame({"gene": ["a", None], "human_gene": [None, "A"]}), ValueError, "found no row with both"),
        (pd.DataFrame({"gene": ["a"], "human_gene": ["ENSG00000167286"]}), ValueError, "found identifiers such as"),
        ({"a": "A"}, TypeError, "Expected a DataFrame or a file as `table`; found dict"),
        ("absent.tsv", FileNotFoundError, "Expected a table of orthologs at absent.tsv"),
    ],
)
def test_tables_that_are_none(table: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        pp.Orthologs.of("pig", table)


def test_species_that_have_no_table() -> None:
    with pytest.raises(
        ValueError, match="Expected the name of another species beside `table=`; found organism='human'"
    ):
        pp.Orthologs.of("human", pd.DataFrame({"gene": ["a"], "human_gene": ["A"]}))
    with pytest.raises(ValueError, match="found organism='pig'"):
        pp.Orthologs.of("pig")
    with pytest.raises(ValueError, match="Expected another species than the human, 'mouse'"):
        pp.map_orthologs(cells(HUMAN), "human")


def test_a_table_survives_saving() -> None:
    table = pd.DataFrame({"gene": ["a", "b", "b"], "aliases": ["x|y", "", ""], "human_gene": ["A", "B", "C"]})
    for orthologs in (pp.Orthologs.of("pig", table, ambiguous="best"), pp.Orthologs.of("mouse")):
        assert pp.Orthologs.from_state(orthologs.state()) == orthologs
    labels = [pp.Orthologs.of(*each).label for each in (("mouse",), ("pig", table), ("pig", table[:1]))]
    assert labels[0] == "mouse"
    assert len(set(labels)) == 3
    assert pp.Orthologs.of("mouse", ambiguous="best").label == "mouse best"
