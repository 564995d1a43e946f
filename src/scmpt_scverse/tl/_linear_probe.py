"""Score an encoder by a linear classifier on its embedding, against random weights and principal components."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA

from scmpt_scverse import encoders, metrics
from scmpt_scverse._checks import check_cells, check_key, check_positive
from scmpt_scverse._labels import labels_or
from scmpt_scverse.encoders import ScGPTEncoder
from scmpt_scverse.metrics import mean_interval
from scmpt_scverse.modalities import compute_embedding
from scmpt_scverse.pp import HUMAN, ExpressionReader, Normalisation, Organism

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import FloatArray, StrPath
    from scmpt_scverse.encoders import Encoder

_N_COMPONENTS = 50


def linear_probe(
    adata: "AnnData",
    encoder: "StrPath | Encoder",
    labels_key: str,
    *,
    layer: str | None = None,
    gene_symbols: str | None = None,
    organism: Organism = HUMAN,
    n_splits: int = 5,
    n_seeds: int = 5,
    progress: bool = True,
) -> pd.DataFrame:
    """Macro F1 of a linear classifier on an encoder's embedding, and on baselines.

    Parameters
    ----------
    adata
        Labelled cells that the encoder was not trained on; nothing is written.
    encoder
        Registered name, hub id, folder, or an encoder.
    labels_key
        Column of `.obs` with labels. Cells without a label, with a label of fewer than `n_splits` cells, or without
        expression in genes that the encoder knows are left out.
    layer, gene_symbols, organism
        As in :func:`embed`.
    n_splits
        Number of cross-validation folds, at least 2.
    n_seeds
        Number of repetitions, each with different folds and random weights.
    progress
        Show progress bars while embedding.

    Returns
    -------
    One row for the encoder, one for the same network with random weights (scGPT encoders only), and one for up to 50
    principal components of the log-normalised expression; index `features`, columns `macro_f1` (mean over repetitions,
    in [0, 1]), `lower` and `upper` (its 95 % interval; NaN for one repetition), `n_cells` and `n_labels`.

    Raises
    ------
    TypeError
        `adata` is not an AnnData.
    KeyError
        `labels_key`, `layer` or `gene_symbols` does not exist.
    ValueError
        As for :func:`embed`; fewer than two labels have enough cells; `n_splits` is below 2; or `n_seeds` is below 1.

    Notes
    -----
    The components are computed without labels, but on all cells, including held-out ones, which favours them.
    """
    check_cells(adata)
    check_key(labels_key, adata.obs.columns, "adata.obs")
    check_positive(n_seeds, "n_seeds")
    encoder = encoders.get(encoder)
    labels = labels_or(adata.obs[labels_key], "")
    names, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    is_frequent = ((counts >= n_splits) & (names != ""))[codes]

    def embed(with_encoder: "Encoder") -> "FloatArray":
        return compute_embedding(
            adata, with_encoder, layer=layer, gene_symbols=gene_symbols, organism=organism, progress=progress
        )[0]

    own = embed(encoder)
    used = is_frequent & np.isfinite(own).all(axis=1)
    truth = labels[used]

    def score(embedding: "FloatArray", seed: int) -> float:
        return metrics.linear_probe(embedding[used], truth, n_splits=n_splits, seed=seed)

    seeds = range(n_seeds)
    components = _components(ExpressionReader(adata, layer=layer, gene_symbols=gene_symbols, organism=organism))
    rows = {encoder.name: [score(own, seed) for seed in seeds]}
    if isinstance(encoder, ScGPTEncoder):
        rows["random weights"] = [score(embed(encoder.with_random_weights(seed)), seed) for seed in seeds]
    rows[f"{components.shape[1]} principal components"] = [score(components, seed) for seed in seeds]
    intervals = {name: mean_interval(scores) for name, scores in rows.items()}
    table = pd.DataFrame.from_dict(intervals, orient="index", columns=["mean", "lower", "upper"])
    table = table.rename(columns={"mean": "macro_f1"})
    return table.assign(n_cells=int(used.sum()), n_labels=len(np.unique(truth))).rename_axis("features")


def _components(reader: ExpressionReader) -> "FloatArray":
    """Principal components of log-normalised expression, shape `(n_obs, n_components)`, at most 50 components."""
    matrix = reader.rows(0, reader.n_obs).matrix
    n_components = min(_N_COMPONENTS, min(matrix.shape) - 1)
    normalised = Normalisation.of(matrix)(matrix)
    components: FloatArray = PCA(n_components, svd_solver="arpack", random_state=0).fit_transform(normalised)
    return components
