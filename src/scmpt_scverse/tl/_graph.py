"""Read and check a stored graph of neighbouring cells; it is never built here."""

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from scmpt_scverse._checks import check_cells, list_some, warn_user

if TYPE_CHECKING:
    from anndata import AnnData

#: Key of `.obsp` under which squidpy writes the graph of spatial neighbours.
SPATIAL_GRAPH = "spatial_connectivities"
#: Key of `.obsm` with spatial coordinates.
COORDINATES = "spatial"
#: Neighbours are not spatial if their median distance is more than this share of that between random cells.
_FAR = 0.8
#: A graph with more than this share of all pairs of cells also connects distant ones.
_SPARSE = 0.1


def stored_graph(adata: "AnnData", key: str) -> sparse.csr_matrix:
    """`adata.obsp[key]` without self-loops, float64, shape `(n_obs, n_obs)`.

    Raises
    ------
    TypeError
        `adata` is not an AnnData.
    KeyError
        There is no such graph.
    ValueError
        It has negative or non-finite weights, holds distances by its name, or has no pair of neighbours.

    Warns
    -----
    UserWarning
        Spatial neighbours are no closer to each other than other cells.
    """
    check_cells(adata)
    if key not in adata.obsp:
        hint = (
            f" There are coordinates in {list_some([name for name in adata.obsm if 'spatial' in name.lower()])} of "
            "`adata.obsm`, but you have to define which cells are neighbours."
            if any("spatial" in name.lower() for name in adata.obsm)
            else ""
        )
        raise KeyError(
            f"No graph {key!r} in `adata.obsp`; found {list_some(adata.obsp.keys())}.{hint} Make one first, for "
            "instance with `squidpy.gr.spatial_neighbors` or `scanpy.pp.neighbors`, and pass its key as `graph=`."
        )
    graph = sparse.csr_matrix(adata.obsp[key], dtype=np.float64)
    if not np.isfinite(graph.data).all() or (graph.data < 0).any():
        raise ValueError(
            f"Expected weights of neighbours in `adata.obsp[{key!r}]`, finite and at least 0; found negative, infinite "
            "or missing ones. Pass connectivities."
        )
    if key.lower().endswith("distances"):  # as scanpy and squidpy call them
        raise ValueError(
            f"`graph={key!r}` names distances, in which far cells weigh more. Pass the key of connectivities."
        )
    graph.setdiag(0)
    graph.eliminate_zeros()
    if not graph.nnz:
        raise ValueError(f"No two cells are neighbours in `adata.obsp[{key!r}]`. Make the graph with these cells.")
    _warn_of_far_neighbours(adata, key, graph)
    return graph


def _warn_of_far_neighbours(adata: "AnnData", key: str, graph: sparse.csr_matrix) -> None:
    """Warn if neighbours are as far apart as random cells: the graph is of other cells, or in another order."""
    places = adata.obsm.get(COORDINATES)
    if key != SPATIAL_GRAPH or places is None:
        return
    places, pairs = np.asarray(places), graph.tocoo()
    if places.ndim != 2 or places.dtype.kind not in "fiu" or not np.isfinite(places).all():
        return  # not coordinates
    if pairs.nnz > _SPARSE * graph.shape[0] ** 2:
        return  # in a dense graph, distances between neighbours say nothing
    places = places.astype(np.float64)
    others = np.random.default_rng(0).permutation(graph.shape[0])[pairs.col]
    near, far = (
        float(np.median(np.linalg.norm(places[pairs.row] - places[columns], axis=1))) for columns in (pairs.col, others)
    )
    if near > _FAR * far:
        warn_user(
            f"Neighbours in `adata.obsp[{key!r}]` are no nearer to each other in `adata.obsm[{COORDINATES!r}]` than "
            "other cells are: the graph may be of other cells, or of these in another order. Make it again from the "
            "coordinates."
        )
