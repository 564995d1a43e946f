"""What is known of cell types: the Cell Ontology, labels mapped to it, and tables of marker genes."""

from scmpt_scverse.knowledge._back_off import back_off
from scmpt_scverse.knowledge._cell_ontology import CellOntology, Term, cell_ontology
from scmpt_scverse.knowledge._mapping import map_labels
from scmpt_scverse.knowledge._markers import marker_sets as marker_sets
from scmpt_scverse.knowledge._scoring import ontology_metrics

__all__ = ["CellOntology", "Term", "back_off", "cell_ontology", "map_labels", "ontology_metrics"]
