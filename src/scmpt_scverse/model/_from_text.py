"""Labels by text as the labels that another model learns: a column of `.obs`, blank for all but the surest cells."""

from typing import TYPE_CHECKING, Any

from scmpt_scverse._checks import check_key
from scmpt_scverse._labels import as_categorical
from scmpt_scverse._slots import Slot, check_writable, write_slots
from scmpt_scverse.modalities import AS_VAR_NAMES, IN_X
from scmpt_scverse.zero_shot import UNKNOWN, check_teaching_share, taught_labels

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse.model.text_labels._annotates import AnnotatesByTextMixin
    from scmpt_scverse.pp import Organism


def check_teaching(adata: "AnnData", key_added: str, batch_key: str | None, share: float) -> None:
    """Raise an error unless :func:`write_taught_labels` can write the column, and a `share` of cells can teach."""
    if adata.is_view:
        raise ValueError("Expected data that can be written to; found a view. Pass `adata.copy()`.")
    if batch_key is not None:
        check_key(batch_key, adata.obs.columns, "adata.obs")
    reads = [] if batch_key is None else [Slot("obs", batch_key)]
    check_writable(adata, key_added, [Slot("obs", key_added)], reads=reads)
    check_teaching_share(share)


def write_taught_labels(
    adata: "AnnData",
    key_added: str,
    text_model: "AnnotatesByTextMixin",
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
        Cells, checked by :func:`check_teaching`.
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
