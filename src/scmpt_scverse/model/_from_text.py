"""A model that learns labels by text: a column of `.obs`, blank for all but the surest cells, then training on it."""

from inspect import signature
from typing import TYPE_CHECKING, Any

import pandas as pd

from scmpt_scverse._checks import check_key, check_seed, list_some
from scmpt_scverse._labels import as_categorical
from scmpt_scverse._slots import Slot, check_column_is_ours, check_writable, write_slots
from scmpt_scverse.modalities import AS_VAR_NAMES, IN_X, check_anndata
from scmpt_scverse.model._scmmgpt import SCMMGPT
from scmpt_scverse.pp import HUMAN, organism_of
from scmpt_scverse.zero_shot import UNKNOWN, check_teaching_share, taught_labels

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import StrPath
    from scmpt_scverse.model._scmpt import SCMPT
    from scmpt_scverse.pp import Organism
    from scmpt_scverse.zero_shot import Labels, Refine


def model_from_text(
    cls: "type[SCMPT]",
    /,
    adata: "AnnData",
    labels: "Labels | None" = None,
    *,
    tissue: str | None = None,
    model: "StrPath | SCMMGPT" = "scmmgpt-mini",
    refine: "Refine" = "smooth",
    share: float = 0.5,
    key_added: str = "scmpt_text_label",
    layer: str | None = None,
    gene_symbols: str | None = None,
    organism: "Organism" = HUMAN,
    batch_key: str | None = None,
    seed: int | None = None,
    **options: Any,
) -> "SCMPT":
    """A model trained without labelled cells, on the surest labels that a text model gives to these cells.

    It can do what any other model can: annotate other data, explain, score novelty, and be saved.

    Parameters
    ----------
    adata
        Cells of several types, all of a study; not a view.
    labels, tissue
        Types to choose from, as for :meth:`scmpt_scverse.SCMMGPT.predict`.
    model
        Name or folder of a text model, or a :class:`scmpt_scverse.SCMMGPT`.
    refine
        How that model labels cells: see :meth:`scmpt_scverse.SCMMGPT.predict`.
    share
        Share of the cells of each predicted label to train on, the surest first; at least five cells are used.
        Above 0 and at most 1.
    key_added
        Column of `.obs` for the labels of the cells that are trained on.
    layer, gene_symbols, organism, batch_key
        As for :meth:`setup_anndata`.
    seed
        As for :meth:`train`.
    **options
        Of the model: `encoders`, `fusion`, `preset` and the others.

    Returns
    -------
    The trained model. Writes `adata.obs[key_added]`, categorical, `"Unknown"` for cells that are not trained on, and
    the embeddings of its encoders as :meth:`embed` does.

    Raises
    ------
    FileNotFoundError
        There is no such text model.
    ValueError
        Fewer than two types were found, a share is out of range, the column holds something else, or as
        :meth:`scmpt_scverse.SCMMGPT.predict`, :meth:`setup_anndata` and :meth:`train`.

    Notes
    -----
    Labels come from the text model and may be wrong. Confidence, label sets and rejection are calibrated on its
    surest cells: they say how well the model reproduces these labels, so more cells are wrong than they suggest. If
    the text model systematically confuses two types, this model does so with high confidence. Check labels with
    marker genes.

    Examples
    --------
    >>> from scmpt_scverse import SCMPT, datasets
    >>> adata = datasets.pbmc68k_reduced()
    >>> labels = ["B cell", "monocyte", "natural killer cell", "T cell"]
    >>> model = SCMPT.from_text(adata, labels, encoders={"expression": "scgpt-mini", "counts": "counts"})
    >>> model.annotate(adata)
    >>> sorted(adata.obs["scmpt_prediction"].unique())
    ['B cell', 'T cell', 'monocyte', 'natural killer cell']
    """
    check_anndata(adata)
    _check_teaching(adata, key_added, batch_key, share)
    if seed is not None:
        check_seed(seed)
    unknown = set(options) - set(signature(cls).parameters)
    if unknown:
        raise TypeError(
            f"Expected options of `{cls.__name__}`; found {list_some(sorted(unknown))}. See its parameters."
        )
    text_model = model if isinstance(model, SCMMGPT) else SCMMGPT.from_pretrained(model)
    organism = organism_of(adata, gene_symbols, organism)
    source: dict[str, Any] = {"layer": layer, "gene_symbols": gene_symbols, "organism": organism}
    _write_taught_labels(adata, key_added, text_model, share, labels=labels, tissue=tissue, refine=refine, **source)
    cls.setup_anndata(adata, key_added, unlabeled_category=UNKNOWN, batch_key=batch_key, **source)
    trained = cls(adata, **options)
    trained.train(seed=seed)
    return trained


def _check_teaching(adata: "AnnData", key_added: str, batch_key: str | None, share: float) -> None:
    """Raise an error unless :func:`_write_taught_labels` can write the column, and a `share` of cells can teach."""
    if adata.is_view:
        raise ValueError("Expected data that can be written to; found a view. Pass `adata.copy()`.")
    if batch_key is not None:
        check_key(batch_key, adata.obs.columns, "adata.obs")
    reads = [] if batch_key is None else [Slot("obs", batch_key)]
    slot = Slot("obs", key_added)
    check_writable(adata, key_added, [slot], reads=reads)
    before = adata.obs.get(key_added)
    is_taught = isinstance(getattr(before, "dtype", None), pd.CategoricalDtype) and UNKNOWN in before.cat.categories
    check_column_is_ours(adata, slot, is_ours=is_taught, what="column of labels that were taught")
    check_teaching_share(share)


def _write_taught_labels(
    adata: "AnnData",
    key_added: str,
    text_model: SCMMGPT,
    share: float,
    *,
    layer: str | None,
    gene_symbols: str | None,
    organism: "Organism",
    **choice: Any,
) -> None:
    """Write `adata.obs[key_added]`: categorical, the label of each cell that teaches, `"Unknown"` for the others.

    Parameters
    ----------
    adata
        Cells, checked by :func:`_check_teaching`.
    key_added
        The column.
    text_model
        Labels the cells.
    share
        Of the cells of each predicted label, the share that teaches, the surest first.
    layer, gene_symbols, organism
        Where expression is and of which species, as for `setup_anndata`: `None` for `.X` and `var_names`.
    **choice
        `labels`, `tissue` and `refine` of :meth:`scmpt_scverse.SCMMGPT.predict`.

    Raises
    ------
    ValueError
        Fewer than two labels were found, or as :meth:`scmpt_scverse.SCMMGPT.predict`.
    """
    # Where the expression of these cells is says the caller, not what the text model was trained on.
    here: dict[str, Any] = {
        "layer": layer or IN_X,
        "gene_symbols": gene_symbols or AS_VAR_NAMES,
        "organism": organism,
    }
    soft = text_model.predict(adata, soft=True, **here, **choice)
    slot = Slot("obs", key_added)
    taught = as_categorical(taught_labels(soft, share, UNKNOWN), [*soft.columns, UNKNOWN])
    write_slots(adata, [slot], {slot: taught})
