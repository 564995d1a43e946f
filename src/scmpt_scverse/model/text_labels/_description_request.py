"""What is to be described, and by whom: checked before anything slow."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scmpt_scverse._checks import check_key, check_seed, list_some, warn_user
from scmpt_scverse._labels import distinct_labels, labels_or
from scmpt_scverse._slots import Slot
from scmpt_scverse._storable import storable_text
from scmpt_scverse.description import (
    TAUGHT,
    LanguageModelWriter,
    Subjects,
    TaughtWriter,
    Writer,
    is_description_table,
    is_language_model,
    writer_of,
)
from scmpt_scverse.llm import LanguageModel

if TYPE_CHECKING:
    from anndata import AnnData

#: More groups, with fewer cells each, are no clusters.
_MANY_GROUPS, _SMALL_GROUP = 200, 5


def writer_for(given: Any, taught: TaughtWriter | None, seed: int | None) -> Writer:
    """The writer that a user means; a language model only if it is the one that was taught."""
    if seed is not None:
        check_seed(seed)
    if is_language_model(given, taught):
        if taught is None:
            raise RuntimeError(
                "The model was not taught to describe cells by a language model. Register labelled cells and call "
                '`train(stage="describe", language_model=...)`, or leave out `writer=`.'
            )
        language = LanguageModel.open(taught.source if given == TAUGHT else given)
        taught.check(language)
        return LanguageModelWriter(taught.cells, taught.terms, language, seed=seed)
    if seed is not None:
        raise ValueError(
            f"`seed={seed!r}` is for language models of transformers; found `writer={given!r}`. Leave it out, or "
            f"pass `writer={TAUGHT!r}`."
        )
    return writer_of(given)


def check_no_other_table(cells: "AnnData", slots: Sequence[Slot]) -> None:
    """Refuse to overwrite something in `.uns` that is no table of descriptions."""
    slot = slots[0]
    if slot.container == "uns" and slot.key in cells.uns and not is_description_table(cells.uns[slot.key]):
        raise ValueError(f"`{slot}` exists and holds no descriptions. Pass another `key_added=`, or rename it.")


def subjects_of(cells: "AnnData", groupby: str | None) -> Subjects:
    """The groups of a column, or all cells."""
    if cells.n_obs < 2:
        raise ValueError(
            f"Expected at least two cells, since a description says how cells differ; found {cells.n_obs}. Pass all "
            "cells of the study."
        )
    if groupby is None:
        return Subjects(cells.obs_names.to_numpy(), np.arange(cells.n_obs), are_cells=True)
    check_key(groupby, cells.obs.columns, "adata.obs")
    column = labels_or(cells.obs[groupby], "")
    names = distinct_labels(cells.obs[groupby])
    if not names:
        raise ValueError(
            f"Expected groups of cells in `adata.obs[{groupby!r}]`; found missing values only. Pass another "
            "`groupby=`, or leave it out to describe each cell."
        )
    codes = pd.Index(names).get_indexer(column)
    sizes = np.bincount(codes[codes >= 0])
    if len(names) == 1 and sizes[0] == cells.n_obs:
        warn_user(
            f"Expected several groups in `adata.obs[{groupby!r}]`; found {list_some(names)} only, so that there are no "
            "other cells to compare with: no gene is stated. Pass all cells of the study, or a column of clusters."
        )
    if len(names) > _MANY_GROUPS and np.median(sizes) < _SMALL_GROUP:
        warn_user(
            f"Expected groups of cells in `adata.obs[{groupby!r}]`; found {len(names):,} of {np.median(sizes):.0f} "
            f"cell(s), such as {list_some(names, limit=3)}. Pass a column of clusters, or leave `groupby` out to "
            "describe each cell."
        )
    # As a file can hold them, and still distinct.
    stored = [storable_text(name) for name in names]
    return Subjects(
        np.array(stored if len(set(stored)) == len(stored) else names, dtype=object), codes, are_cells=False
    )
