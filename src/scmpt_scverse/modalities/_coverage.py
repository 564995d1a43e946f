"""What each modality can read of the genes of some data, before anything is embedded."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scmpt_scverse.modalities._compute import NoCountsError, gene_overlap, too_few_known, too_little_expressed
from scmpt_scverse.modalities._expression import ExpressionFeatures, GeneValues

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import BoolArray
    from scmpt_scverse.encoders import Encoder
    from scmpt_scverse.modalities._modalities import Modalities
    from scmpt_scverse.pp import ExpressionReader, GeneOverlap


def gene_coverage(modalities: "Modalities", adata: "AnnData") -> pd.DataFrame:
    """See :meth:`scmpt_scverse.SCMPT.gene_coverage`."""
    of_cells = modalities.source.reader(adata)
    rows = {}
    for name in modalities.names:
        is_array = name in modalities.genes.of_arrays
        if is_array and name not in modalities.genes.present(adata):
            continue
        reader = modalities.genes.reader(adata, name, modalities.source) if is_array else of_cells
        if name in modalities.of_encoders:
            encoder = modalities.encoder(name)
            known, fewest = encoder.known_genes(reader.genes), encoder.fewest_genes(len(reader.genes))
            overlap, reason = _read_by(encoder, reader, known)
        elif name in modalities.of_genes or is_array:
            features = modalities.genes.features.get(name)  # chosen by training
            read = reader.genes if features is None else features.genes
            known = np.asarray(pd.Index(reader.genes).isin(read))
            overlap, fewest = gene_overlap(reader, known), 1
            reason = "" if features is None else _refused_values(features, reader)
        else:
            continue
        rows[name] = {
            "n_genes": overlap.n_genes,
            "n_known": overlap.n_matched,
            "share_known": overlap.n_matched / overlap.n_genes,
            "n_needed": fewest,
            "genes_per_cell": overlap.n_expressed,
            "share_of_expression": overlap.expression_fraction,
            "n_empty_cells": overlap.n_empty_cells,
            "can_read": not reason,
            "reason": reason,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("modality")


def _read_by(encoder: "Encoder", reader: "ExpressionReader", known: "BoolArray") -> "tuple[GeneOverlap, str]":
    """How much an encoder can read, and why it refuses the data, in the words in which it does; blank where not."""
    no_counts = ""
    try:
        overlap = gene_overlap(reader, known, of_counts=encoder.name if encoder.needs_counts else None)
    except NoCountsError as error:
        overlap, no_counts = gene_overlap(reader, known), str(error)
    few = too_few_known(reader, encoder, known)
    return overlap, few or no_counts or too_little_expressed(reader, encoder, known, overlap)


def _refused_values(features: ExpressionFeatures, reader: "ExpressionReader") -> str:
    """Why expression itself cannot be read of the data; blank where it can."""
    try:
        GeneValues(reader, features, len(features.genes))
    except ValueError as error:
        return str(error)
    return ""
