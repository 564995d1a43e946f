"""From AnnData to what frozen encoders read: cell sentences and gene tokens."""

from scmpt_scverse._gene_spelling import looks_like_mouse as looks_like_mouse
from scmpt_scverse.pp._cell_sentence import (
    CellSentences as CellSentences,
    cell_sentences,
    cluster_sentences as cluster_sentences,
    rank_genes as rank_genes,
    sentences_of as sentences_of,
)
from scmpt_scverse.pp._column_symbols import (
    gene_names_of as gene_names_of,
    gene_symbols_of as gene_symbols_of,
    organism_of as organism_of,
    ortholog_columns as ortholog_columns,
    species_told as species_told,
)
from scmpt_scverse.pp._expression import (
    CHUNK_SIZE as CHUNK_SIZE,
    ExpressionReader as ExpressionReader,
    GeneExpression as GeneExpression,
)
from scmpt_scverse.pp._gene_lists import (
    check_known_genes as check_known_genes,
    read_gene_list as read_gene_list,
)
from scmpt_scverse.pp._gene_names import (
    GeneNames as GeneNames,
    read_gene_names as read_gene_names,
)
from scmpt_scverse.pp._gene_overlap import (
    GeneOverlap as GeneOverlap,
    nearest_cause as nearest_cause,
)
from scmpt_scverse.pp._gene_tokens import (
    SELECTIONS as SELECTIONS,
    GeneTokens as GeneTokens,
    Selection as Selection,
    tokenize_genes as tokenize_genes,
    vocabulary_ids as vocabulary_ids,
)
from scmpt_scverse.pp._map_orthologs import map_orthologs, ortholog_report as ortholog_report
from scmpt_scverse.pp._normalisation import (
    ExpressionScale as ExpressionScale,
    GeneWeights as GeneWeights,
    Normalisation as Normalisation,
    are_linear as are_linear,
    gene_weights_of as gene_weights_of,
    log_normalised as log_normalised,
    log_normalised_cells as log_normalised_cells,
)
from scmpt_scverse.pp._orthologs import (
    AUTO as AUTO,
    HUMAN as HUMAN,
    NATIVE as NATIVE,
    Organism as Organism,
    Orthologs,
    checked_organism as checked_organism,
    organism_label as organism_label,
    organisms as organisms,
)
from scmpt_scverse.pp._panel import (
    NOT_IN_REFERENCE as NOT_IN_REFERENCE,
    only_symbols as only_symbols,
    panel_symbols as panel_symbols,
)
from scmpt_scverse.pp._sentence_forms import (
    TABLE_OF as TABLE_OF,
    check_form as check_form,
    read_table as read_table,
    sentences_in_form as sentences_in_form,
)
from scmpt_scverse.pp._stored_matrix import (
    csr_block as csr_block,
    row_sliceable as row_sliceable,
)
from scmpt_scverse.pp._stored_scale import StoredScale as StoredScale

__all__ = ["Orthologs", "cell_sentences", "map_orthologs"]
