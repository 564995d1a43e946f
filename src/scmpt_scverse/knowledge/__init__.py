"""Prior knowledge about cell types: the Cell Ontology, labels mapped to it, their texts, and marker gene tables."""

from scmpt_scverse.knowledge._back_off import TermLevels as TermLevels, back_off as back_off
from scmpt_scverse.knowledge._cell_ontology import (
    ROOT as ROOT,
    CellOntology as CellOntology,
    Term as Term,
    cell_ontology,
)
from scmpt_scverse.knowledge._gene_finder import GeneFinder as GeneFinder
from scmpt_scverse.knowledge._genes_in_text import (
    genes_in_text as genes_in_text,
    named_genes as named_genes,
    says_only_genes as says_only_genes,
)
from scmpt_scverse.knowledge._label_texts import label_texts
from scmpt_scverse.knowledge._mapping import map_labels, term_of as term_of, written_id as written_id
from scmpt_scverse.knowledge._markers import marker_sets as marker_sets, panglaodb, read_markers
from scmpt_scverse.knowledge._match_genes import match_genes as match_genes
from scmpt_scverse.knowledge._merge_markers import merge_markers
from scmpt_scverse.knowledge._normal_form import normal_form as normal_form
from scmpt_scverse.knowledge._own_words import label_markers, own_words as own_words
from scmpt_scverse.knowledge._programmes import merged_programmes as merged_programmes, programmes
from scmpt_scverse.knowledge._scoring import ontology_metrics
from scmpt_scverse.knowledge._tissues import (
    tissue_form as tissue_form,
    tissues_meant as tissues_meant,
    tissues_named as tissues_named,
    types_in_tissue as types_in_tissue,
)
from scmpt_scverse.knowledge._types_in_text import types_in_text as types_in_text

__all__ = [
    "cell_ontology",
    "label_markers",
    "label_texts",
    "map_labels",
    "merge_markers",
    "ontology_metrics",
    "panglaodb",
    "programmes",
    "read_markers",
]
