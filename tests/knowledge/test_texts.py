"""Wordings of labels, and the genes that a text names."""

import time
import warnings

import pytest

from scmpt_scverse import knowledge

_GENES = """
AIF1 APC ARX CA1 CAT CCR7 CD14 CD19 CD1C CD3D CD3E CD3G CD4 CD40 CD40LG CD48 CD79A CD8A CD8B CDKN1C EPCAM FCGR3A FOXP3
GCG GNLY GZMB HAS2 HBB HLA-DRA HLA-DRB1 IFNG IL10 IL2RA IL7R INS KIT KRT14 KRT5 LYZ MICE MKI67 MS4A1 NCAM1 NKX2-1 NOV
PDC POU5F1 PTPRC PVALB REST RORC S100A8 S100A9 SELL SET SNAR-E TGFB1 TH TNF TP63 TRDC VIP WAS
"""
GENES = _GENES.split()


@pytest.fixture
def ontology() -> knowledge.CellOntology:
    terms = [
        knowledge.Term("CL:0000000", "cell"),
        knowledge.Term("CL:0000001", "leukocyte", parents=("CL:0000000",)),
        knowledge.Term("CL:0000002", "lymphocyte", parents=("CL:0000001",)),
        knowledge.Term("CL:0000003", "killer", parents=("CL:0000000",)),
        knowledge.Term(
            "CL:0000004", "natural killer cell", ("NK", "K cell"), "It kills.", ("CL:0000003", "CL:0000002")
        ),
    ]
    return knowledge.CellOntology("test", {term.id: term for term in terms})


def test_wordings_of_a_term(ontology: knowledge.CellOntology) -> None:
    texts = knowledge.label_texts(["NK cells", "CL:0000004", "cell", "my type"], ontology=ontology)
    assert texts["NK cells"] == [
        "natural killer cell",
        "natural killer cell: It kills.",
        "natural killer cell, also called NK cells, NK or K cell",
        "natural killer cell, a kind of lymphocyte, leukocyte",  # the more specific of two parents; without the root
    ]
    assert texts["CL:0000004"][2] == "natural killer cell, also called NK or K cell"
    assert texts["cell"] == ["cell"]
    assert texts["my type"] == ["my type"]


def test_own_words_take_the_place_of_the_definition(ontology: knowledge.CellOntology) -> None:
    labels = {"NK": "expresses GNLY", "my type": ["FOO", "BAR+", "BAZ", "A-", "B-"], "plain": "", "none": []}
    texts = knowledge.label_texts(labels, ontology=ontology)
    assert texts["NK"][1] == "natural killer cell: expresses GNLY"
    assert "It kills" not in " ".join(texts["NK"])
    assert texts["my type"] == ["my type", "my type: expresses FOO, BAR and BAZ, does not express A or B."]
    assert texts["plain"] == ["plain"]
    assert texts["none"] == ["none"]


def test_labels_that_are_none(ontology: knowledge.CellOntology) -> None:
    with pytest.raises(ValueError, match="at least one label"):
        knowledge.label_texts([], ontology=ontology)
    for label in (None, float("nan"), "  "):
        with pytest.raises(ValueError, match="missing or blank"):
            knowledge.label_texts(["B cell", label], ontology=ontology)
    assert list(knowledge.label_texts("B cell", ontology=ontology)) == ["B cell"]
    assert list(knowledge.label_texts(["B细胞", 7, 7.0], ontology=ontology)) == ["B细胞", "7"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("expresses LYZ and CD14", ["LYZ", "CD14"]),
        ("T cells that express CD3 and CD4 but not CD8", ["CD3D", "CD3E", "CD3G", "CD4"]),
        ("CD20+, CD45RA+", ["MS4A1"]),  # an isoform is not seen in counts
        ("pDC that are epcam", []),  # PDC is a gene, too
        ("EpCAM+ foxp3, CD62Llo, CD127low CD25hi", ["EPCAM", "FOXP3", "IL2RA"]),
        ("HLA-DR+ NKX2.1+ IL-10", ["HLA-DRA", "HLA-DRB1", "NKX2-1", "IL10"]),
        ("TNF-α, IFN-γ, TGF-β1, RORγt", ["TNF", "IFNG", "TGFB1", "RORC"]),
        ("OCT3/4, Ki-67, Iba1, p63 and c-Kit", ["POU5F1", "MKI67", "AIF1", "TP63", "KIT"]),
        ("S100A8/A9, KRT5/14, CD3D/E", ["S100A8", "S100A9", "KRT5", "KRT14", "CD3D", "CD3E"]),
        ("CD4/8", ["CD4", "CD8A", "CD8B"]),  # and not CD48
        ("granzyme B", ["GZMB"]),
        ("LYZ, LYZ and CD68", ["LYZ"]),
    ],
)
def test_names_of_genes_and_proteins(text: str, expected: list[str]) -> None:
    assert knowledge.genes_in_text(text, GENES) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the cat was set to rest with mice", []),
        ("expresses CAT, REST, SET and MICE", ["CAT", "REST", "SET", "MICE"]),
        ("Set of cells. Rest follows. Was found.", []),
        ("A SET OF CELLS THAT EXPRESS CD14 AND LYZ", ["CD14", "LYZ"]),
        ("APCs and APC cells", []),
        ("expresses APC", ["APC"]),
        ("pyramidal cells of hippocampal CA1", []),
        ("TH neurons", []),
        ("TH+ neurons", ["TH"]),
        ("VIP and PVALB interneurons", ["VIP", "PVALB"]),
        ("SNARE proteins", []),
        ("a cell that secretes insulin", ["INS"]),
        ("insulin-secreting", ["INS"]),
        ("has an insulin receptor", []),
        ("responds to insulin", []),
        ("binds CD40 ligand", []),
    ],
)
def test_words_that_are_spelled_as_genes(text: str, expected: list[str]) -> None:
    assert knowledge.genes_in_text(text, GENES) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("negative for CD8", []),
        ("CD4+CD8- T cell", ["CD4"]),
        ("CD4-CD8- double negative", []),
        ("CD3⁻CD20⁺", ["MS4A1"]),
        ("CD8-negative, CD4-positive", ["CD4"]),
        ("lacking CD3, CD20 and CD56, expresses CD16", ["FCGR3A"]),
        ("negative for the lineage markers CD3, CD19, and CD20; CD14", ["CD14"]),
        ("does not express CD4, CD8", []),
        ("without detectable expression of CD4", []),
        ("not only CD4 but also CD8A", ["CD4", "CD8A"]),
        ("CD4 and CD8 are absent", []),
        ("CD4 is not expressed, CD14 is", ["CD14"]),
        ("without a nucleus, HBB", ["HBB"]),
        ("lacks CD4 on the surface, CD14, LYZ", ["CD14", "LYZ"]),
        ("non-classical monocyte, CDKN1C, CD14low", ["CDKN1C"]),
        ("low CD14, high FCGR3A", ["FCGR3A"]),
        ("Unlike T cells that express CD3, these have LYZ", ["LYZ"]),
        ("negative markers: CD4, CD8A. Markers: CD14", ["CD14"]),
        ("negative for HAS2 and CD4", []),
        ("INS but not GCG nor ARX", ["INS"]),
        ("no CD3 or CD19", []),
        ("GCG+ARX+INS-", ["GCG", "ARX"]),
    ],
)
def test_genes_that_are_not_expressed(text: str, expected: list[str]) -> None:
    assert knowledge.genes_in_text(text, GENES) == expected


def test_mouse_symbols() -> None:
    genes = ["Ms4a1", "Cd3e", "Ptprc", "Rest", "Set", "Cat"]
    assert knowledge.genes_in_text("Set of cells with Cd3e and Ptprc. Rest of it: CD20, REST", genes) == [
        "Cd3e",
        "Ptprc",
        "Ms4a1",
        "Rest",
    ]


def test_markers_of_labels() -> None:
    labels = {"a": "expresses CD20, negative for CD8", "b": ["CD3+", "CD8-", "cd14", "GNLY "], "c": "no gene", "d": ""}
    table = knowledge.label_markers(labels, GENES)
    assert list(table.columns) == ["type", "gene", "weight", "source", "organism", "tissue"]
    found = {name: dict(zip(rows["gene"], rows["weight"], strict=True)) for name, rows in table.groupby("type")}
    assert found == {
        "a": {"MS4A1": 1, "CD8A": -1, "CD8B": -1},
        "b": {"CD3D": 1, "CD3E": 1, "CD3G": 1, "CD8A": -1, "CD8B": -1, "CD14": 1, "GNLY": 1},
    }
    assert set(table["source"]) == {"own words"}
    with pytest.warns(UserWarning, match="not among the 2 genes are left out: 'FOO'"):
        empty = knowledge.label_markers({"a": ["FOO"]}, ["CD4", "CD14"])
    assert empty.empty
    assert list(empty.columns) == list(table.columns)


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("expresses CD3D, FOXP9 and BLAH", ["FOXP9", "BLAH"]),
        ("EPCAM+ PDZK9+, negative for CD68", ["PDZK9", "CD68"]),  # of a known protein, too
        ("cells that secrete IL17A and IL-22", ["IL17A", "IL-22"]),
        ("express ENSG00000167286", ["ENSG00000167286"]),
        ("NK cells that express MHC class II, TCR and RNA in the CNS", []),
        ("Th17 cells of layer L2/3 from donor D1", []),
        ("A SET OF CELLS THAT EXPRESS CD14", []),
        ("a cell that secretes insulin and antibodies", []),
    ],
)
def test_genes_that_are_named_in_vain_are_warned_of(text: str, unknown: list[str]) -> None:
    if not unknown:
        knowledge.label_markers({"a": text}, GENES)  # warnings are errors
        return
    with pytest.warns(UserWarning, match=f"are left out: {', '.join(map(repr, unknown))}[.]"):
        knowledge.label_markers({"a": text}, GENES)


@pytest.mark.parametrize(
    ("text", "says_only_genes"),
    [
        ("expresses CD3D and CD3E", True),
        ("cells positive for MS4A1, lacking CD3E", True),
        ("CD3+CD8- cells", True),
        ("my type: expresses FOXP9 and CD14", True),
        ("type 2: expresses insulin", True),
        ("T cells that express CD3E", False),
        ("B cells of the spleen", False),
        ("expresses nothing", False),
        ("", False),
    ],
)
def test_texts_that_say_nothing_beside_genes(text: str, says_only_genes: bool) -> None:
    assert knowledge.says_only_genes(text, GENES) == says_only_genes


@pytest.mark.parametrize("text", ["no " * 20_000, "CD4 no " * 3_000, "no CD4, " * 3_000, "CD4-" * 3_000, "a-" * 20_000])
def test_long_texts(text: str) -> None:
    start = time.perf_counter()
    knowledge.genes_in_text(text, GENES)
    assert time.perf_counter() - start < 10  # under a second on an idle core; quadratic in length, it takes minutes


def signs(text: "str | list[str]", genes: list[str] = GENES) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are no genes here
        table = knowledge.label_markers({"x": text}, genes)
    return dict(zip(table["gene"], table["weight"], strict=True))


@pytest.mark.parametrize(
    "text",
    [
        "does not express {}, CD4 or CD14",
        "does not express CD4, {} or CD14",
        "negative for {}, CD4 and CD14",
        "negative for CD4, {} and CD14",
        "lacks CD4/{}/CD14",
        "CD4, {} and CD14 are absent",
    ],
)
@pytest.mark.parametrize("other", ["IL5", "TRAC", "CD45RA", "TCR", "Lyz2", "HLA-X", "CD3"])
def test_a_negation_reaches_all_names_of_a_list_whatever_is_among_the_genes(text: str, other: str) -> None:
    found = signs(text.format(other))
    assert {gene: found[gene] for gene in ("CD4", "CD14")} == {"CD4": -1, "CD14": -1}
    assert signs(text.format(other), ["CD14", "CD4"]) == {"CD4": -1, "CD14": -1}


@pytest.mark.parametrize(
    "text",
    [
        "don’t express CD4",
        "don't express CD4",
        "isn’t CD4 positive",
        "not CD4 positive",
        "CD4 isn't expressed",
        "CD4 (not expressed)",
        "cells with absent CD4 expression",
        "excludes CD4",
        "lineage-negative (CD14, CD4) cells",
        "negative in CD4",
        "non-CD4 T cells",
        "CD14: positive, CD4: negative",
        ["CD14", "CD4−"],
        ["CD14", "CD4⁻"],
        ["CD14", "CD4–"],
        ["CD14", "-CD4"],
        ["CD14", "CD4 -"],
    ],
)
def test_what_says_that_a_gene_is_not_expressed(text: "str | list[str]") -> None:
    assert signs(text)["CD4"] == -1


@pytest.mark.parametrize(
    "text",
    [
        "not only CD4+ but also CD14+",
        "cells without infection, expressing CD4",
        "excludes debris, CD4 positive",
        "non-classical monocytes, CD4",
        "T cells that aren't B cells, CD4+",
        "CD4: positive; CD14: negative",
        ["CD4+", "CD14-"],
        ["CD4", "HLA-DRA"],
    ],
)
def test_what_says_that_a_gene_is_expressed(text: "str | list[str]") -> None:
    assert signs(text)["CD4"] == 1


def test_a_list_is_written_without_signs_of_any_kind() -> None:
    (text,) = knowledge.label_texts({"a": ["CD3E", "CD8A−", "-CD4"]})["a"][1:]
    assert text == "a: expresses CD3E, does not express CD8A or CD4."


def test_labels_that_read_alike_do_not_replace_each_other() -> None:
    for labels in ({"T cell": ["CD4"], "T cell ": ["CD14"]}, {1: ["CD4"], "1": ["CD14"]}):
        with pytest.raises(ValueError, match=r"found '(T cell|1)' twice, with different words"):
            knowledge.label_markers(labels, GENES)  # type: ignore[arg-type]
    assert list(knowledge.label_texts({"odd": "x", "odd ": "x"})) == ["odd"]
