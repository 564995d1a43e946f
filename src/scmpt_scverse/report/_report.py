"""Gather what the page shows, and write it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scmpt_scverse import __version__
from scmpt_scverse._checks import check_cells, check_positive, check_seed
from scmpt_scverse._folders import check_folder
from scmpt_scverse._h5ad import check_suffix, written_whole
from scmpt_scverse._labels import given_labels
from scmpt_scverse.pp import NATIVE
from scmpt_scverse.report._annotation import UNSURE_BELOW, Annotation, annotation_of, checked_labelling
from scmpt_scverse.report._cards import cards_of, mean_of
from scmpt_scverse.report._data import page_data
from scmpt_scverse.report._evidence import attributed_genes, descriptions_of
from scmpt_scverse.report._genes import N_EVIDENCE, GeneRequest, genes_of
from scmpt_scverse.report._missing import missing_parts
from scmpt_scverse.report._page import page_of
from scmpt_scverse.report._points import points_of, sampled_rows
from scmpt_scverse.report._provenance import records_of

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import FloatArray, StrPath
    from scmpt_scverse.pp import Organism

_N_BINS = 20


def report(
    adata: "AnnData",
    path: "StrPath",
    *,
    key: str | None = None,
    group_key: str | None = None,
    basis: str | None = None,
    genes: Sequence[str] = (),
    layer: str | None = None,
    gene_symbols: str | None = None,
    organism: "Organism" = NATIVE,
    title: str = "Annotated cells",
    max_points: int = 50_000,
    seed: int = 0,
) -> Path:
    """Write one web page about annotated cells, which opens in any browser and needs no network.

    It has an interactive embedding (coloured by label, confidence, novelty or a gene; filtered by label, to unsure
    cells, and to cells unlike the reference), a card per label with its evidence, and how everything was made. Nothing
    is predicted or embedded for it: if something is missing, the page says which method to call.

    Parameters
    ----------
    adata
        Cells that :meth:`scmpt_scverse.SCMPT.annotate` or :meth:`scmpt_scverse.SCMMGPT.annotate` labelled, in memory or
        backed. Not changed.
    path
        The file to write, which ends in `.html`; replaced if it exists.
    key
        Prefix of what the model wrote: `.obs["<key>_prediction"]` and the like. `None` takes `"scmpt"`, else
        `"scmmgpt"`, else the only column of this form.
    group_key
        Column of `.obs` with groups, such as clusters, which get the cards in place of the predicted labels.
    basis
        Embedding: `"umap"` for `.obsm["X_umap"]`, or a key of `.obsm`; its first two columns are drawn. `None` takes
        UMAP, t-SNE or PCA, else principal components of an embedding of this package.
    genes
        Genes to colour cells by, beside those of the cards and variable ones.
    layer
        Key of `.layers` with expression; `None` takes `.X`.
    gene_symbols
        Column of `.var` with gene symbols; `None` takes `var_names`.
    organism
        `"native"` shows genes under their own names; `"mouse"` or :class:`scmpt_scverse.pp.Orthologs` under those of
        their human orthologs, which models name as evidence.
    title
        Heading of the page.
    max_points
        Cells that are drawn at most, a few of each label and the others at random. Cards count all cells.
    seed
        Of this choice.

    Returns
    -------
    The path. A page of 50,000 points stays below 6 MB.

    Raises
    ------
    KeyError
        There are no predictions (unless `group_key` is given), or what is named by an argument is missing.
    ValueError
        There are no cells; the name does not end in `.html`; a confidence or novelty is not in [0, 1]; or expression
        that was asked for cannot be read.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from scmpt_scverse import datasets, pl
    >>> adata = datasets.pbmc68k_reduced()
    >>> adata.obs["mine_prediction"] = adata.obs["bulk_labels"]
    >>> with TemporaryDirectory() as folder:
    ...     page = pl.report(adata, Path(folder) / "report.html", key="mine")
    >>> page.name
    'report.html'
    """
    path = Path(path)
    check_suffix(path, ".html")
    check_folder(path.absolute().parent)
    check_cells(adata)
    check_positive(max_points, "max_points")
    check_seed(seed)
    if adata.n_obs == 0:
        raise ValueError("Expected at least one cell; found an AnnData with 0 observations. Pass annotated cells.")
    asked = list(dict.fromkeys(given_labels(genes, "genes"))) if len(genes) else []
    annotation = annotation_of(adata, key)
    labelling = checked_labelling(adata, annotation, key, group_key)
    rows = sampled_rows(labelling, max_points, seed)
    points = points_of(adata, basis, annotation.key, rows)
    attributed = attributed_genes(adata, annotation.key, labelling, N_EVIDENCE)
    descriptions = descriptions_of(adata, annotation.key, labelling.column)
    found = genes_of(
        adata, GeneRequest(asked, layer, gene_symbols, organism), labelling, rows, attributed, descriptions
    )
    data, n_coloured = page_data(adata, annotation, labelling, points, found, np.searchsorted(rows, points.rows))
    page = page_of(
        {
            "title": title,
            "n_cells": adata.n_obs,
            "n_genes": adata.n_vars,
            "labelling": labelling,
            "is_grouped": group_key is not None,
            "annotation": annotation,
            "points": points,
            "n_coloured": n_coloured,
            "sample": _sample_note(len(rows), adata.n_obs, seed),
            "cards": cards_of(annotation, labelling, found.evidence, descriptions),
            "trust": _trust(annotation),
            "missing": missing_parts(annotation, attributed, descriptions, found),
            "records": records_of(adata, annotation.key),
            "version": __version__,
            "data": data,
        }
    )
    with written_whole(path) as partial:
        partial.write_text(page, encoding="utf-8", errors="replace")
    return path


def _sample_note(n_read: int, n_cells: int, seed: int) -> str:
    if n_read == n_cells:
        return ""
    return (
        f"{n_read:,} of {n_cells:,} cells are drawn: some of every label, the others at random (seed {seed}). Cards "
        "and numbers count all cells."
    )


def _trust(annotation: Annotation) -> Mapping[str, Any]:
    """Means and histograms of the scores of all cells; `None` for what the model did not write."""
    values = {name: score.values for name, score in annotation.scores.items()}
    confidence, novelty = values.get("confidence", np.empty(0)), values.get("novelty", np.empty(0))
    histograms = {
        "confidence": _histogram(confidence, lambda middle: middle < UNSURE_BELOW),
        "novelty": _histogram(novelty, lambda middle: middle > annotation.novel_above),
    }
    return {
        "confidence": mean_of(confidence),
        "unsure": mean_of(confidence, confidence < UNSURE_BELOW),
        "novel": mean_of(novelty, novelty > annotation.novel_above),
        "disagreement": mean_of(values["disagreement"]) if "disagreement" in values else None,
        "unsure_below": UNSURE_BELOW,
        "novel_above": annotation.novel_above,
        "histograms": {name: bars for name, bars in histograms.items() if bars},
    }


def _histogram(values: "FloatArray", is_marked: Callable[[float], bool]) -> list[dict[str, Any]]:
    """Cells per bin, and whether the bin is one to look at; empty without values."""
    known = values[np.isfinite(values)]
    counts = np.histogram(known, _N_BINS, (0, 1))[0].tolist() if len(known) else []
    return [{"count": count, "is_marked": is_marked((place + 0.5) / _N_BINS)} for place, count in enumerate(counts)]
