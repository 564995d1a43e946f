"""Real cells that need no download."""

from typing import TYPE_CHECKING

from scipy import sparse

if TYPE_CHECKING:
    from anndata import AnnData


def pbmc68k_reduced() -> "AnnData":
    """700 peripheral blood mononuclear cells of ten types, the ones that ship with scanpy, arranged for annotation.

    Returns
    -------
    AnnData of shape `(700, 765)` with

    - `.X`: log-normalised expression, CSR float32. The normalisation was over all genes, of which 765 are left.
    - `.obs["bulk_labels"]`: ten cell types, from 240 dendritic cells down to 8 naive CD4+ T cells; each cell was given
      the sorted bulk population that it resembles most. Further columns as scanpy ships them.
    - `.obsm["X_pca"]` (50 components) and `.obsm["X_umap"]`, both computed by scanpy on all 700 cells. They use no
      label, but a held-out cell took part in computing them: a score that rests on them is transductive.

    Notes
    -----
    The cells are a sample of the 68,000 PBMC of :cite:p:`zheng2017pbmc`. :func:`scanpy.datasets.pbmc68k_reduced` has
    scaled values in `.X`, which have no zeros and so no cell sentence; here `.X` is what it keeps in `.raw`.

    Examples
    --------
    >>> from scmpt_scverse import datasets
    >>> datasets.pbmc68k_reduced().shape
    (700, 765)
    """
    import scanpy as sc
    from anndata import AnnData

    shipped = sc.datasets.pbmc68k_reduced()
    expression = sparse.csr_matrix(shipped.raw.X, dtype="float32", copy=True)
    expression.sort_indices()
    return AnnData(
        expression,
        obs=shipped.obs.copy(),
        var=shipped.raw.var.copy(),
        obsm={key: shipped.obsm[key] for key in ("X_pca", "X_umap")},
        # The rest of `.uns` describes neighbours and components that are not here, and other values of `.X`.
        uns={key: shipped.uns[key] for key in ("bulk_labels_colors", "louvain_colors")},
    )
