"""Free labels as terms of the Cell Ontology: mapped with a report, scored by kinship, backed off where unsure."""

from scmpt_scverse.ontology._back_off import back_off
from scmpt_scverse.ontology._cell_ontology import CellOntology, Term, cell_ontology
from scmpt_scverse.ontology._mapping import map_labels
from scmpt_scverse.ontology._scoring import ontology_metrics

__all__ = ["CellOntology", "Term", "back_off", "cell_ontology", "map_labels", "ontology_metrics"]
