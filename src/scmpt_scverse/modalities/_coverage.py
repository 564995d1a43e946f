"""What each modality can read of the genes of some data, before anything is embedded."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scmpt_scverse.modalities._compute import gene_overlap

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse.modalities._modalities import Modalities


def gene_coverage(modalities: "Modalities", adata: "AnnData") -> pd.DataFrame:
    """See :meth:`scmpt_scverse.SCMPT.gene_coverage`."""
    reader = modalities.source.reader(adata)
    rows = {}
    for name in modalities.names:
        if name in modalities.of_encoders:
            encoder = modalities.encoder(name)
            known, fewest, share = (
                encoder.known_genes(reader.genes),
                encoder.fewest_genes(len(reader.genes)),
                encoder.min_expression,
            )
        elif name in modalities.of_genes:
            features = modalities.expression  # chosen by training
            known = np.isin(reader.genes, reader.genes if features is None else features.genes)
            fewest, share = 1, 0.0
        else:
            continue
        overlap = gene_overlap(reader, known)
        rows[name] = {
            "n_genes": overlap.n_genes,
            "n_known": overlap.n_matched,
            "share_known": overlap.n_matched / overlap.n_genes,
            "n_needed": fewest,
            "genes_per_cell": overlap.n_expressed,
            "share_of_expression": overlap.expression_fraction,
            "n_empty_cells": overlap.n_empty_cells,
            "can_read": overlap.n_matched >= fewest and overlap.expression_fraction >= share,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("modality")
