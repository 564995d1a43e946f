"""Cell types that texts name, paths in the ontology, and programmes of genes."""

import itertools

import pytest

from scmpt_scverse import knowledge
from scmpt_scverse.description._definitions import stated_definition
from scmpt_scverse.knowledge import ROOT, GeneFinder, named_genes, types_in_text

pytest.importorskip("cellxgene_ontology_guide", reason="needs the extra `ontology`")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("These are B cells, not CD4-positive, alpha-beta T cells.", ["B cells", "CD4-positive, alpha-beta T cells"]),
        ("A natural killer cell of the cells", ["natural killer cell"]),
        ("regulatory T cells and T cells", ["regulatory T cells", "T cells"]),
        ("A LYMPHOCYTE (monocyte)", ["LYMPHOCYTE", "monocyte"]),
        ("Its cells express genes more than the others.", []),
        ("", []),
    ],
)
def test_types_are_found(text: str, expected: list[str]) -> None:
    found = types_in_text(text, knowledge.cell_ontology())
    assert list(found) == expected
    assert all(ids and ROOT not in ids for ids in found.values())


def test_every_name_of_the_ontology_is_found() -> None:
    ontology = knowledge.cell_ontology()
    terms = [term for term in ontology.terms.values() if term.id != ROOT and "(" not in term.name][::40]
    missed = [
        term.name
        for term in terms
        if term.id not in set().union(*types_in_text(f"It is a {term.name}.", ontology).values())
    ]
    assert len(missed) <= 0.05 * len(terms), missed


def test_genes_are_found_whatever_is_said_of_them() -> None:
    finder = GeneFinder(["CD3D", "CD3E", "MS4A1", "INS"])
    mentions = named_genes("Lacks CD20, has CD3E; FOXP9 is not known, insulin neither.", finder)
    assert [each.symbols for each in mentions if each.symbols][:2] == [("MS4A1",), ("CD3E",)]
    assert () in [each.symbols for each in mentions]


def test_a_path_goes_from_the_widest_kind_to_the_term() -> None:
    ontology = knowledge.cell_ontology()
    path = ontology.path("CL:0000236")
    assert [ontology.terms[each].name for each in path][-3:] == ["lymphocyte", "lymphocyte of B lineage", "B cell"]
    assert all(one in ontology.ancestors(other) for one, other in itertools.pairwise(path))
    assert ontology.path(ROOT) == ()
    with pytest.raises(KeyError, match="Expected the id of a term"):
        ontology.path("CL:1")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("B cell", "a lymphocyte of B lineage that is capable of B cell mediated immunity"),
        ("CD14-positive monocyte", "a kind of monocyte"),  # its definition is all markers
        ("mature alpha-beta T cell", "an alpha-beta T cell that has a mature phenotype"),
        ("cell", ""),
    ],
)
def test_definitions_end_before_genes(name: str, expected: str) -> None:
    ontology = knowledge.cell_ontology()
    finder = GeneFinder(["CD14", "CD3E", "CD19", "MS4A1"])
    if name == "cell":
        assert "cell" in stated_definition(ROOT, ontology, finder)
        return
    assert stated_definition(ontology.ids_by_name[name], ontology, finder) == expected


def test_no_definition_names_a_gene() -> None:
    ontology = knowledge.cell_ontology()
    finder = GeneFinder(["CD4", "CD8A", "CD14", "CD19", "IL2RA", "PTPRC", "CCR7", "FOXP3", "SST", "VIP"])
    for identifier, term in list(ontology.terms.items())[::25]:
        text = stated_definition(identifier, ontology, finder)
        names = [term.name, *term.synonyms, *(ontology.terms[each].name for each in ontology.path(identifier))]
        for name in sorted(names, key=len, reverse=True):
            text = text.replace(name, " ")
        assert [text[each.start : each.end] for each in named_genes(text, finder)] == [], term.name


def test_programmes_are_tidy_and_name_their_source() -> None:
    table = knowledge.programmes()
    assert set(table) >= {"type", "gene", "weight", "source", "organism"}
    assert (table["organism"] == "human").all()
    assert (table["weight"] == 1).all()
    assert not table.duplicated(["type", "gene"]).any()
    assert table.groupby("type")["gene"].size().between(10, 60).all()
    assert table["source"].str.contains(r"CC BY 4.0|MIT|cite").all()
