import pytest
from docs.developer.examples.toy_writer import Telegram

from scmpt_scverse.description import Evidence, StatedGene
from scmpt_scverse.description._written import writer_of, written
from scmpt_scverse.knowledge import GeneFinder, cell_ontology

pytest.importorskip("cellxgene_ontology_guide", reason="needs the extra `ontology`")


def test_it_writes_what_the_evidence_has() -> None:
    genes = (StatedGene("CD79A", "for", True, 1.0), StatedGene("MS4A1", "for", True, 0.5))
    sure = Evidence(
        "a", False, 9, (("B cell", 0.98),), "B cell", "CL:0000236", True, 0.98, ("lymphocyte", "B cell"), genes=genes
    )
    unsure = Evidence("b", False, 9, (("B cell", 0.5), ("T cell", 0.5)), "cell", "CL:0000000")
    writer = writer_of(Telegram)
    with pytest.warns(UserWarning, match="Of 2 texts, 0 say more than the evidence, and 1 are missing"):
        texts, is_own = written(writer, [sure, unsure], GeneFinder(["CD79A", "MS4A1"]), cell_ontology())
    assert texts[0] == "B cell 98%, CD79A"
    assert texts[1].startswith("No type is sure; the most likely one is B cell")
    assert is_own == [True, False]
