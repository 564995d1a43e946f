"""Embed each cell by its neighbours."""

from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from scmpt_scverse import __version__
from scmpt_scverse._checks import check_key, check_positive, warn_user
from scmpt_scverse._slots import Slot, check_embedding_slot, provenance, write_embedding
from scmpt_scverse.modalities import finite_embedding
from scmpt_scverse.tl._graph import SPATIAL_GRAPH, stored_graph

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import FloatArray


def embed_niche(
    adata: "AnnData",
    embedding: str,
    *,
    graph: str = SPATIAL_GRAPH,
    n_hops: int = 1,
    key_added: str = "X_niche",
) -> None:
    """Embed the neighbourhood of every cell: the mean embedding of its neighbours, and how it differs from the cell.

    The result is a modality like any other: `SCMPT.setup_anndata(adata, ..., obsm_keys={"niche": "X_niche"})`. Run this
    on a query as well, with its own graph; a query without the niche is annotated without it, with a warning.

    Parameters
    ----------
    adata
        Cells with a graph of neighbours. The graph is read, never built.
    embedding
        Key of `.obsm`: an embedding by :func:`embed`, or another that means the same in every data set.
    graph
        Key of `.obsp` with connectivities (weights of neighbours), shape `(n_obs, n_obs)`, as
        `squidpy.gr.spatial_neighbors` and `scanpy.pp.neighbors` write them.
    n_hops
        Number of hops: 1 for the neighbours, 2 for their neighbours as well, and so on; each adds columns.
    key_added
        Key of `.obsm` to write.

    Returns
    -------
    Nothing; writes

    `adata.obsm[key_added]`
        float32, shape `(n_obs, 2 * n_hops * dim)`: for each hop the weighted mean over the neighbours (of the
        embeddings, then of the means of the hop before), and that mean minus the cell's own embedding. A cell without
        neighbours is its own neighbour, and a warning counts such cells. Neighbours without an embedding are ignored; a
        cell without an embedding gets NaN.
    `adata.uns["scmpt"]["embeddings"][key_added]`
        Embedding, graph and hops, and a fingerprint that a model compares with that of its training data.

    Raises
    ------
    TypeError
        `adata` is not an AnnData.
    KeyError
        The embedding or the graph does not exist.
    ValueError
        Weights that are negative or not finite, distances, a graph without neighbours, an embedding that is not finite,
        `n_hops` out of range, or a slot that cannot be written or that another program wrote.

    Warns
    -----
    UserWarning
        Cells without neighbours, or spatial neighbours that are no closer to each other than other cells.

    Examples
    --------
    >>> from sklearn.neighbors import kneighbors_graph
    >>> from scmpt_scverse import datasets, tl
    >>> adata = datasets.pbmc68k_reduced()
    >>> adata.obsp["nearest"] = kneighbors_graph(adata.obsm["X_pca"], 10)
    >>> tl.embed_niche(adata, "X_pca", graph="nearest")
    >>> adata.obsm["X_niche"].shape
    (700, 100)
    """
    weights = stored_graph(adata, graph)
    check_positive(n_hops, "n_hops")
    check_key(embedding, adata.obsm.keys(), "adata.obsm", hint=" Run `tl.embed` first.")
    check_embedding_slot(adata, key_added, reads=[Slot("obsm", embedding)])
    own = finite_embedding(adata, embedding)
    n_alone = int((np.diff(weights.indptr) == 0).sum())
    if n_alone:
        warn_user(
            f"{n_alone} of {adata.n_obs} cells have no neighbours in `adata.obsp[{graph!r}]`, and count as their own. "
            "If cells were removed after the graph was made, make it again."
        )
    source = provenance(adata, embedding) or {"encoder": embedding, "fingerprint": embedding}
    record = {
        "encoder": f"niche of {source['encoder']}",
        "fingerprint": sha256(f"{source['fingerprint']}, {n_hops} hops".encode()).hexdigest(),
        "embedding": embedding,
        "graph": graph,
        "n_hops": n_hops,
        "version": __version__,
    }
    write_embedding(adata, key_added, _niches(weights, own, n_hops), record)


def _niches(weights: sparse.csr_matrix, own: "FloatArray", n_hops: int) -> "FloatArray":
    """Mean of the neighbours and its difference from the cell, hop by hop, `(n_obs, 2 * n_hops * dim)`."""
    is_readable = np.asarray(np.isfinite(own).all(axis=1))
    filled = np.where(is_readable[:, None], own, 0)
    weights = weights @ sparse.diags(is_readable.astype(float))
    totals = np.asarray(weights.sum(axis=1)).ravel()
    step = sparse.diags(1 / np.where(totals > 0, totals, 1)) @ weights + sparse.diags((totals == 0).astype(float))
    parts, mean = [], filled
    for _ in range(n_hops):
        mean = step @ mean
        parts += [mean, mean - filled]
    niches = np.hstack(parts).astype(np.float32)
    niches[~is_readable] = np.nan
    return niches
