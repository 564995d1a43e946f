"""Read the cells of a recipe, and join studies that measured different genes."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import anndata as ad
import numpy as np
from _claims import OPEN, OUTSIDE, types_of
from _recipe import Study
from scipy import sparse

from scmpt_scverse import datasets

#: Columns of `.obs` of all cells: id of the Cell Ontology, type that it counts as, and what is left out together.
TERM, TYPE, GROUP = "term", "type", "group"


def read_study(study: Study, data: Path) -> ad.AnnData:
    """The labelled cells of a study with `.obs["term"]`.

    Raises
    ------
    NotImplementedError
        They are a query of the CELLxGENE Census.
    FileNotFoundError
        The file is not there.
    KeyError
        The recipe does not say what a label is.
    """
    if study.census is not None:
        raise NotImplementedError(
            f"{study.name!r} is a query of the CELLxGENE Census, which is not read yet. `--dry-run` lists it."
        )
    if study.dataset is not None:
        cells = getattr(datasets, study.dataset)()
    else:
        path = data / str(study.file)
        if not path.is_file():
            raise FileNotFoundError(
                f"Expected {study.file} of the study {study.name!r} in {data}; found none. Pass `--data` with the "
                "folder of the files that the recipe names."
            )
        cells = ad.read_h5ad(path)
    labels = cells.obs[study.labels_key].astype(object).to_numpy()
    unknown = sorted({str(label) for label in labels} - set(study.labels))
    if unknown:
        raise KeyError(f"The recipe has no Cell Ontology id for {unknown} of {study.name!r}. Add them to its labels.")
    obs = {TERM: [study.labels[str(label)] for label in labels], GROUP: study.group}
    if study.report_by is not None:
        obs[study.report_by] = cells.obs[study.report_by].to_numpy()
    names = [f"{study.name} {name}" for name in cells.obs_names]
    matrix = sparse.csr_matrix(cells.X, dtype=np.float32)
    found = ad.AnnData(matrix, ad.AnnData(obs=None, shape=matrix.shape).obs.assign(**obs), cells.var[[]])
    found.obs_names = names
    return found[found.obs[TERM] != ""].copy()


def joined(studies: Iterable[ad.AnnData]) -> ad.AnnData:
    """All cells over all genes; a gene that a study did not measure is 0 there, as encoders read it."""
    return ad.concat(list(studies), join="outer", fill_value=0)


def with_types(cells: ad.AnnData, types: Sequence[str], *, hidden: str | None = None) -> ad.AnnData:
    """The cells that are of a claimed type, with `.obs["type"]`; those of the type `hidden` are left out."""
    found = types_of(cells.obs[TERM].to_numpy(dtype=object), types)
    is_known = (found != OPEN) & (found != OUTSIDE) & (found != (hidden or OPEN))
    known = cells[is_known].copy()
    known.obs[TYPE] = found[is_known]
    return known
