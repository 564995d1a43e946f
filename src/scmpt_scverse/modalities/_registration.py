"""Data registered for a model: what `setup_anndata` and `setup_mudata` check, and what scvi-tools is told."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from scvi.data import AnnDataManager

from scmpt_scverse._checks import check_key, check_name
from scmpt_scverse._labels import checked_unlabeled, labels_or, warn_of_doubtful_labels
from scmpt_scverse._slots import check_measured
from scmpt_scverse.modalities._fields import registered_fields
from scmpt_scverse.modalities._mudata import EXPRESSION, JoinedField, MuDataCells, checked_modalities
from scmpt_scverse.pp import HUMAN, Organism, Orthologs, organism_of

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


def register_anndata(adata: "AnnData", method_args: dict[str, Any], **transfer: Any) -> AnnDataManager:
    """Check cells and register them.

    Parameters
    ----------
    adata
        Cells.
    method_args
        What scvi-tools saves of a call of `setup_anndata`. Its `setup_args` are the arguments of that method; where
        users may pass several types, they are plain values afterwards.
    **transfer
        `source_registry` and other options by which :meth:`load` registers data as those of a saved model.

    Returns
    -------
    The manager for `register_manager` of the model class.
    """
    setup, is_query = method_args["setup_args"], "source_registry" in transfer
    check_measured(adata, allow_synthetic=setup["allow_synthetic"] or is_query)
    _check_labels_key(setup["labels_key"])
    for name in setup.get("obsm_keys") or {}:
        check_name(name, "modality")
    unlabeled = checked_unlabeled(setup["unlabeled_category"])
    if adata.is_view:
        raise ValueError("Expected data that can be written to; found a view. Pass `adata.copy()`.")
    if setup["batch_key"] is not None and not is_query:  # a query needs no batches
        check_key(setup["batch_key"], adata.obs.columns, "adata.obs")
    organism = HUMAN if is_query else _resolved(adata, setup)
    manager = AnnDataManager(fields=_fields(setup, unlabeled, organism), setup_method_args=method_args)
    manager.register_fields(adata, **transfer)
    if not is_query:
        _warn(adata, "adata", setup["labels_key"], unlabeled)
    return manager


def register_mudata(mdata: "MuData", method_args: dict[str, Any], **transfer: Any) -> AnnDataManager:
    """Check the cells of a MuData and register them; as :func:`register_anndata`.

    Modalities beside expression join `obsm_keys` of the `setup_args`: each is read as an array of the cells.
    """
    setup, is_query = method_args["setup_args"], "source_registry" in transfer
    labels_key, batch_key = setup["labels_key"], setup["batch_key"]
    _check_labels_key(labels_key)
    modalities = checked_modalities(mdata, setup["modalities"])
    unlabeled = checked_unlabeled(setup["unlabeled_category"])
    beside = {name: key for name, key in modalities.items() if name != EXPRESSION}
    if not is_query:
        if modalities[EXPRESSION] in mdata.mod:
            check_measured(mdata.mod[modalities[EXPRESSION]], allow_synthetic=setup["allow_synthetic"])
        for key in beside.values():
            check_key(key, mdata.mod, "mdata.mod")
    obsm_keys = {**(setup["obsm_keys"] or {}), **beside}
    for name in obsm_keys:
        check_name(name, "modality")
    setup.update(modalities=modalities, obsm_keys=obsm_keys)
    organism: Organism = HUMAN
    if not is_query:
        cells = cast("AnnData", MuDataCells(mdata, modalities))
        for column in (labels_key, *([] if batch_key is None else [batch_key])):
            check_key(column, cells.obs.columns, "mdata.obs")
            cells.obs[column]  # which more than one modality may have
        organism = _resolved(cells, setup)
    fields = [JoinedField(field, modalities) for field in _fields(setup, unlabeled, organism)]
    manager = AnnDataManager(fields=fields, setup_method_args=method_args)
    manager.register_fields(mdata, **transfer)
    if not is_query:
        _warn(cells, "mdata", labels_key, unlabeled)
    return manager


def one_or_all(unlabeled_category: str | Sequence[str]) -> str | list[str]:
    """What is saved of one label that stands for none, or of several; scvi-tools knows models with one."""
    names = checked_unlabeled(unlabeled_category)
    return names if len(names) > 1 else names[0]


def _check_labels_key(labels_key: object) -> None:
    if not isinstance(labels_key, str):
        raise TypeError(f"`labels_key` must be the name of a column, a text; found {labels_key!r}.")


def _fields(setup: dict[str, Any], unlabeled: list[str], organism: Organism) -> "list[Any]":
    named = {name: setup[name] for name in ("labels_key", "layer", "gene_symbols", "batch_key")}
    return registered_fields(unlabeled=unlabeled, organism=organism, obsm_keys=setup.get("obsm_keys"), **named)


def _resolved(adata: "AnnData", setup: dict[str, Any]) -> Organism:
    """The species that cells are read as; `setup` then has its name, which is what is saved."""
    organism = organism_of(adata, setup["gene_symbols"], setup["organism"])
    setup["organism"] = organism.organism if isinstance(organism, Orthologs) else organism
    return organism


def _warn(data: "AnnData", argument: str, labels_key: str, unlabeled: list[str]) -> None:
    where = f"{argument}.obs[{labels_key!r}]"
    warn_of_doubtful_labels(labels_or(data.obs[labels_key], ""), where, unlabeled=unlabeled)
