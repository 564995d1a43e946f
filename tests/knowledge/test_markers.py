"""Tables of marker genes in the forms in which they are published; all tables are written here."""

import gzip
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from scmpt_scverse import knowledge

COLUMNS = ["type", "gene", "weight", "source", "organism", "tissue"]
PANGLAODB = """species\tofficial gene symbol\tcell type\tnicknames\torgan
Mm Hs\tCTRB1\tAcinar cells\tCTRB\tPancreas
Mm\tREG3A\tAcinar cells\t\tPancreas
Hs\tGCG\tAlpha cells\t\tPancreas
"""
CELLMARKER2 = """tissue_class\ttissue_type\tcell_type\tcell_name\tcellontology_id\tmarker\tSymbol
Pancreas\tPancreatic islet\tNormal cell\tAlpha cell (α cell)\tCL_0000236\tGCG\tGCG
Blood\tBlood\tCancer cell\tB cell\tCL_0000236\tCD20\tMS4A1
Blood\tBlood\tNormal cell\tB cell\tCL_0000236\tCD20\tMS4A1
"""
SCTYPE = """tissueType\tcellName\tgeneSymbolmore1\tgeneSymbolmore2\tshortName
Immune system\tClassical Monocytes\tCD14,LYZ\tCD56\tMono
Immune system\tB  cells\tMS4A1, CD79A\t\tB
"""
CELLTYPIST = """High-hierarchy cell types,Low-hierarchy cell types,Description,Cell Ontology ID,Curated markers
B cells,Memory B cells,"long-lived, quiescent",CL:0000787,"CD27, TNFRSF13B"
"""


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def pairs(table: pd.DataFrame) -> set[tuple[str, str]]:
    return set(zip(table["type"], table["gene"], strict=True))


def test_panglaodb(tmp_path: Path) -> None:
    table = knowledge.read_markers(write(tmp_path, "panglao.tsv", PANGLAODB))
    assert list(table.columns) == COLUMNS
    assert table["gene"].tolist() == ["CTRB1", "REG3A", "GCG"]
    assert table["organism"].tolist() == ["human", "mouse", "human"]  # symbols of both are human
    assert table["weight"].tolist() == [1, 1, 1]
    assert set(table["source"]) == {"panglao"}
    assert set(table["tissue"]) == {"Pancreas"}


def test_cellmarker_2(tmp_path: Path) -> None:
    table = knowledge.read_markers(write(tmp_path, "cm.tsv", CELLMARKER2))
    assert list(table.columns) == COLUMNS  # its ids are often those of another type
    assert table["type"].tolist() == ["Alpha cell (α cell)", "B cell", "B cell"]  # not `Normal cell`
    assert table["gene"].tolist() == ["GCG", "CD20", "CD20"]  # aliases untouched, mentions not merged
    assert table["tissue"].tolist() == ["Pancreas; Pancreatic islet", "Blood", "Blood"]


def test_cellmarker_1_lists_genes_in_brackets() -> None:
    table = pd.DataFrame(
        {
            "speciesType": ["Mouse"],
            "tissueType": ["Lung"],
            "cellType": ["Normal cell"],
            "cellName": ["T cell"],
            "cellMarker": ["CD3"],
            "geneSymbol": ["Cd4, [Cd3d, Cd3e], NA"],
        }
    )
    read = knowledge.read_markers(table)
    assert read["gene"].tolist() == ["Cd4", "Cd3d", "Cd3e"]
    assert set(read["organism"]) == {"mouse"}
    assert set(read["source"]) == {"table"}


def test_sctype(tmp_path: Path) -> None:
    table = knowledge.read_markers(write(tmp_path, "ScType.txt", SCTYPE))
    assert table[["type", "gene", "weight"]].to_numpy().tolist() == [
        ["Classical Monocytes", "CD14", 1],
        ["Classical Monocytes", "LYZ", 1],
        ["Classical Monocytes", "CD56", -1],
        ["B cells", "MS4A1", 1],
        ["B cells", "CD79A", 1],
    ]


def test_celltypist(tmp_path: Path) -> None:
    table = knowledge.read_markers(write(tmp_path, "encyclopedia.csv", CELLTYPIST))
    assert pairs(table) == {("Memory B cells", "CD27"), ("Memory B cells", "TNFRSF13B")}
    assert set(table["term"]) == {"CL:0000787"}


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame({"source": ["B", "T"], "target": ["MS4A1", "CD3D"], "weight": [0.5, -1]}),  # decoupler's networks
        pd.DataFrame({"group": ["B", "T"], "names": ["MS4A1", "CD3D"], "scores": [0.5, -1], "pvals": [0, 0]}),  # scanpy
        pd.DataFrame({"p_val": [0, 0], "avg_log2FC": [0.5, -1], "cluster": ["B", "T"], "gene": ["MS4A1", "CD3D"]}),
    ],
)
def test_forms_with_weights(table: pd.DataFrame) -> None:
    read = knowledge.read_markers(table)
    assert pairs(read) == {("B", "MS4A1"), ("T", "CD3D")}
    assert read["weight"].tolist() == [0.5, -1]
    again = knowledge.read_markers(read)  # the tidy form is a form, too
    pd.testing.assert_frame_equal(again, read, check_dtype=False)


def test_the_resource_of_decoupler() -> None:
    table = pd.DataFrame(
        {
            "cell_type": ["B cells", "Acinar cells", "Acinar cells"],
            "genesymbol": ["CD79A", "CTRB1", "REG3A"],
            "human": ["True", True, "False"],
            "mouse": ["True", False, "True"],
        }
    )
    assert knowledge.read_markers(table)["organism"].tolist() == ["human", "human", "mouse"]


def test_panglaodb_through_decoupler(monkeypatch: pytest.MonkeyPatch) -> None:
    table = pd.DataFrame({"cell_type": ["B cells"] * 2, "genesymbol": ["CD79A", "X"], "human": [1, 0], "mouse": [1, 1]})
    fetched = SimpleNamespace(
        op=SimpleNamespace(resource=lambda name, organism: table if name == "PanglaoDB" else None)
    )
    monkeypatch.setitem(sys.modules, "decoupler", fetched)  # which asks OmniPath
    assert set(knowledge.panglaodb()["source"]) == {"PanglaoDB"}
    assert knowledge.marker_sets("panglaodb") == {"B cells": {"CD79A"}}
    monkeypatch.setitem(sys.modules, "decoupler", None)
    with pytest.raises(ImportError, match=r"Fetching PanglaoDB needs.*scmpt-scverse\[markers\]"):
        knowledge.panglaodb()


def test_gene_sets(tmp_path: Path) -> None:
    text = "B cell\thttp://x\tMS4A1\tCD79A,0.5\t\r\nT cell\tna\tCD3D\r\n\r\n"
    path = tmp_path / "sets.gmt.gz"
    path.write_bytes(gzip.compress(text.encode()))
    table = knowledge.read_markers(path)
    assert knowledge.marker_sets(path) == {"B cell": {"MS4A1", "CD79A"}, "T cell": {"CD3D"}}
    assert table[["type", "gene", "weight", "source"]].to_numpy().tolist() == [
        ["B cell", "MS4A1", 1, "sets"],
        ["B cell", "CD79A", 0.5, "sets"],
        ["T cell", "CD3D", 1, "sets"],
    ]


def test_a_spreadsheet(tmp_path: Path) -> None:
    pytest.importorskip("openpyxl", reason="pandas reads spreadsheets with it")
    path = tmp_path / "book.xlsx"
    pd.DataFrame({"cell_name": ["B cell"], "marker": ["MS4A1"], "species": ["Human"]}).to_excel(path, index=False)
    assert pairs(knowledge.read_markers(path)) == {("B cell", "MS4A1")}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators_and_encodings(tmp_path: Path, encoding: str, separator: str) -> None:
    path = tmp_path / "table.csv"
    lines = ["cell type", "gene"], ["Müller cell", "GLUL"]
    path.write_bytes("\r\n".join(separator.join(line) for line in lines).encode(encoding))
    assert pairs(knowledge.read_markers(path)) == {("Müller cell", "GLUL")}


def test_columns_can_be_named() -> None:
    table = pd.DataFrame({"what": ["B"], "which": ["MS4A1"], "not": ["CD3D"], "label": ["x"]})
    read = knowledge.read_markers(table, columns={"type": "what", "gene": "which", "negative": "not"})
    assert read["weight"].tolist() == [1, -1]
    assert pairs(read) == {("B", "MS4A1"), ("B", "CD3D")}
    with pytest.raises(KeyError, match="No 'wat' in `the table of markers`.*Did you mean 'what'"):
        knowledge.read_markers(table, columns={"type": "wat"})
    with pytest.raises(ValueError, match="Unknown `columns='typ'`.*Did you mean 'type'"):
        knowledge.read_markers(table, columns={"typ": "what"})


def test_odd_cells() -> None:
    table = pd.DataFrame(
        {
            "type": ["B cell", "B cell", " B  cell", None, "T cell", 1, "B cell", ""],
            "gene": [" MS4A1 ", "MS4A1", "CD79A", "CD3D", np.nan, "GNLY", "nan", "X"],
            "weight": [2, np.nan, 1, 1, 1, 1, 1, 1],
        }
    )
    with pytest.warns(UserWarning, match="'T cell' have no gene"):
        read = knowledge.read_markers(table)
    assert read["type"].tolist() == ["B cell"] * 3 + ["1"]
    assert read["gene"].tolist() == ["MS4A1", "MS4A1", "CD79A", "GNLY"]  # duplicates stay: they are counted
    assert read["weight"].tolist() == [2, 1, 1, 1]


@pytest.mark.parametrize("gene", ["1-Mar", "Sep-02", "2026-03-01 00:00:00", "2-sep"])
def test_dates_are_no_genes(gene: str) -> None:
    with pytest.warns(UserWarning, match=f"{gene}.*are dates"):
        read = knowledge.read_markers({"B cell": [gene, "MS4A1"]})
    assert read["gene"].tolist() == ["MS4A1"]


def test_tables_without_markers(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="found none in 0 rows"):
        knowledge.read_markers(pd.DataFrame({"type": [], "gene": []}))
    with pytest.raises(ValueError, match="found none in 1 rows"):
        knowledge.read_markers({"B cell": []})
    with pytest.raises(ValueError, match="found an empty file, 'empty.csv'"):
        knowledge.read_markers(write(tmp_path, "empty.csv", " \n"))
    with pytest.raises(FileNotFoundError, match="No table of markers at nowhere"):
        knowledge.read_markers("nowhere.tsv")
    with pytest.raises(ValueError, match="formats '.csv'.*found 'a.pdf'"):
        knowledge.read_markers(write(tmp_path, "a.pdf", "x"))
    with pytest.raises(ValueError, match="column called one of.*found 'a', 'gene'. Pass `columns=.*'type'"):
        knowledge.read_markers(pd.DataFrame({"a": ["B"], "gene": ["X"]}))
    for weight in ("much", np.inf):
        table = pd.DataFrame({"type": ["B"], "gene": ["X"], "weight": [weight]})
        with pytest.raises(ValueError, match=f"finite numbers as weights.*found '{weight}'"):
            knowledge.read_markers(table)


def test_types_merge_by_term_and_by_name() -> None:
    pytest.importorskip("cellxgene_ontology_guide", reason="needs the extra `ontology`")
    tables = [{"NK cells": ["GNLY"], "odd types": ["X"]}, {"natural killer cell": ["GNLY", "NKG7"], "Odd type": ["X"]}]
    merged = knowledge.merge_markers(tables)
    assert list(merged.columns) == [*COLUMNS, "term"]
    assert merged["type"].tolist() == ["Odd type", "natural killer cell", "natural killer cell"]
    assert merged["gene"].tolist() == ["X", "GNLY", "NKG7"]
    assert merged["weight"].tolist() == pytest.approx(np.log1p([2, 2, 1]))
    assert merged["term"].tolist() == [None, "CL:0000623", "CL:0000623"]
    by_name = knowledge.merge_markers(tables, by="name")
    assert set(by_name["type"]) == {"natural killer cell", "Odd type"}  # the more frequent spelling; of two, the first
    assert by_name["term"].isna().all()


def test_merged_weights_count_rows_and_keep_the_sign() -> None:
    rows = [("B", "A", 3.0)] * 3 + [("B", "Y", -1.0)] * 2 + [("B", "Y", 5.0)] + [("B", "Z", 1.0), ("B", "Z", -1.0)]
    merged = knowledge.merge_markers(pd.DataFrame(rows, columns=["type", "gene", "weight"]), by="name")
    assert merged.set_index("gene")["weight"].to_dict() == pytest.approx({"A": np.log1p(3), "Y": -np.log1p(1)})


def test_merging_keeps_organisms_apart_and_lists_sources_and_tissues() -> None:
    human = pd.DataFrame({"type": ["B", "B"], "gene": ["CD79A"] * 2, "tissue": ["Blood", "Lung"], "source": ["a", "b"]})
    mouse = pd.DataFrame({"type": ["B"], "gene": ["Cd79a"], "organism": ["Mus musculus"], "tissue": [None]})
    merged = knowledge.merge_markers([human, mouse], by="name")
    assert merged["organism"].tolist() == ["human", "mouse"]
    assert merged["source"].tolist() == ["a; b", "table"]
    assert merged["tissue"].tolist() == ["Blood; Lung", None]


def test_what_cannot_be_merged() -> None:
    with pytest.raises(ValueError, match="at least one table"):
        knowledge.merge_markers([])
    with pytest.raises(ValueError, match="Unknown `by='id'`"):
        knowledge.merge_markers([{"B": ["X"]}], by="id")  # type: ignore[arg-type]


def test_a_tissue_decides_what_a_name_means() -> None:
    pytest.importorskip("cellxgene_ontology_guide", reason="needs the extra `ontology`")
    table = pd.DataFrame({"type": "Alpha cells", "gene": ["GCG", "ARX"], "tissue": "Pancreas"})
    assert set(knowledge.merge_markers(table)["type"]) == {"pancreatic A cell"}
    spread = pd.concat([table, table.assign(tissue="Eye", gene=["A", "B"])])
    assert "pancreatic A cell" not in set(knowledge.merge_markers(spread)["type"])


def test_ids_of_a_table_come_first() -> None:
    pytest.importorskip("cellxgene_ontology_guide", reason="needs the extra `ontology`")
    table = pd.DataFrame({"type": ["B cell", "mine"], "gene": ["X", "Y"], "Cell Ontology ID": ["CL:0000084", "CL:9"]})
    assert set(knowledge.merge_markers(table)["type"]) == {"T cell", "mine"}


def test_types_in_tissue() -> None:
    table = knowledge.read_markers(
        pd.DataFrame(
            {
                "type": ["alpha"] * 2 + ["beta"] * 3 + ["B"] * 2,
                "gene": ["GCG", "ARX", "INS", "IAPP", "MAFA", "MS4A1", "CD19"],
                "tissue": ["Pancreas; Pancreatic islet"] * 4 + ["Pancreas"] + ["Immune system", "Lungs"],
            }
        )
    )
    assert knowledge.types_in_tissue(table, "pancreas", min_genes=2) == ["beta", "alpha"]
    assert knowledge.types_in_tissue(table, "Islets", min_genes=3) == ["beta"]
    assert knowledge.types_in_tissue(table, "blood", min_genes=1) == ["B"]
    assert knowledge.types_in_tissue(table, "lung", min_genes=1) == ["B"]
    unknown = table.assign(tissue=["Undefined", "Undefined; Lung", "unknown", "N/A", "Not specified", "nan", "Lung"])
    assert knowledge.types_in_tissue(unknown, "lung", min_genes=1) == ["B", "alpha"]
    for none in ("undefined", "Unknown", "n/a", "not specified"):
        with pytest.raises(ValueError, match="Choose one of 'lung'[.]"):
            knowledge.types_in_tissue(unknown, none, min_genes=1)
    with pytest.raises(ValueError, match="found 'pancrea'. Did you mean 'pancreas'"):
        knowledge.types_in_tissue(table, "pancrea")
    with pytest.raises(ValueError, match="at least 5 genes from 'pancreas'; the most that a type has is 3"):
        knowledge.types_in_tissue(table, "pancreas")


def test_matching_to_the_genes_of_a_data_set() -> None:
    table = knowledge.read_markers({"B": ["CD20", "MS4A1", "CD45RA", "nothing"], "T": ["CD3"]})
    matched = knowledge.match_genes(table, ["MS4A1", "CD3D", "CD3E", "PTPRC"])
    assert matched[["type", "gene"]].to_numpy().tolist() == [
        ["B", "MS4A1"],
        ["B", "MS4A1"],
        ["T", "CD3D"],
        ["T", "CD3E"],
    ]
    with pytest.raises(ValueError, match="Expected markers of mouse genes.*found 'CD20', .* of 'human'"):
        knowledge.match_genes(table, ["Ms4a1", "Cd3d"])


def test_merging_for_the_genes_of_a_data_set() -> None:
    human = {"B": ["CD20", "MS4A1", "nothing"], "T": ["cd3e", "CD3"]}
    mouse = pd.DataFrame({"type": ["B"], "gene": ["CD20"], "organism": ["mouse"]})
    merged = knowledge.merge_markers([human, mouse], by="name", genes=["MS4A1", "CD3E", "CD3D"])
    rows = merged[["type", "gene", "organism"]].to_numpy().tolist()
    assert rows == [
        ["B", "MS4A1", "human"],
        ["B", "nothing", "human"],
        ["B", "CD20", "mouse"],
        ["T", "CD3E", "human"],
        ["T", "CD3D", "human"],
    ]
    assert merged["weight"].to_numpy() == pytest.approx(np.log1p([2, 1, 1, 2, 1]))
    for genes in (["ENSG00000156738", "ENSG00000167286"], ["hg38_MS4A1", "hg38_CD3D"], []):
        with pytest.raises(ValueError, match="Expected symbols of human genes that the tables name, such as 'CD20'"):
            knowledge.merge_markers(human, by="name", genes=genes)


def test_large_tables() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "cell_type": rng.choice([f"type {i}" for i in range(1000)], 200_000),
            "gene": rng.choice([f"G{i}" for i in range(5000)], 200_000),
        }
    )
    start = time.perf_counter()
    merged = knowledge.merge_markers([table], by="name")
    assert len(merged) == len(table.drop_duplicates())
    assert np.expm1(merged["weight"]).sum() == pytest.approx(len(table))
    assert time.perf_counter() - start < 20  # 1 s on an idle core; row by row, it takes minutes
