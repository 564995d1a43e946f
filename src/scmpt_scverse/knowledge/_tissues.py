"""Tissues: the cell types that marker tables list for them, and the words for them in names of cell types."""

import pandas as pd

from scmpt_scverse._checks import check_positive, did_you_mean, list_some
from scmpt_scverse._labels import reads_missing

#: Words for a tissue in names of cell types, where they differ from its own name.
_ADJECTIVES = {
    "adrenal gland": ("adrenal",),
    "bladder": ("urinary bladder",),
    "brain": ("cerebral",),
    "breast": ("mammary",),
    "eye": ("retinal", "corneal"),
    "heart": ("cardiac",),
    "intestine": ("intestinal",),
    "kidney": ("renal",),
    "liver": ("hepatic",),
    "lung": ("pulmonary",),
    "ovary": ("ovarian",),
    "pancreas": ("pancreatic",),
    "pancreatic islet": ("pancreatic",),
    "placenta": ("placental",),
    "retina": ("retinal",),
    "spleen": ("splenic",),
    "stomach": ("gastric",),
    "testis": ("testicular",),
    "thymus": ("thymic",),
}
#: Other names under which tables list what is found in a tissue.
_ALSO = {
    "blood": ("peripheral blood", "immune system"),
    "brain": ("cerebral cortex", "hippocampus"),
    "gut": ("intestine", "gi tract"),
    "heart": ("myocardium",),
    "intestine": ("gi tract", "small intestine", "large intestine", "colon"),
    "islet": ("pancreas", "pancreatic islet"),
    "muscle": ("skeletal muscle",),
    "pancreatic islet": ("pancreas",),
    "pbmc": ("blood", "peripheral blood", "immune system"),
    "retina": ("eye",),
}


def types_in_tissue(markers: pd.DataFrame, tissue: str, *, min_genes: int = 5) -> list[str]:
    """Cell types for which a marker table has genes from a tissue: candidate types for cells of that tissue.

    Parameters
    ----------
    markers
        From :func:`read_markers` or :func:`merge_markers`.
    tissue
        Such as `"pancreas"`; case and plural do not matter. `"blood"` covers what tables list under the immune
        system, `"gut"` the GI tract, and so on.
    min_genes
        Types with fewer genes from the tissue are left out as incidental.

    Returns
    -------
    Types in decreasing order of the number of their genes from the tissue.

    Raises
    ------
    ValueError
        No row has the tissue, or no type has enough genes.
    """
    check_positive(min_genes, "min_genes")
    parts = {value: set(tissues_named(str(value))) for value in markers["tissue"].dropna().unique()}
    wanted = tissues_meant(tissue)
    chosen = [value for value, forms in parts.items() if forms & wanted]
    rows = markers[markers["tissue"].isin(chosen) & ~(markers["weight"] < 0)]
    known = sorted(set().union(*parts.values()))
    if rows.empty:
        raise ValueError(
            f"Expected a tissue of the table of markers; found {tissue!r}.{did_you_mean(tissue_form(tissue), known)} "
            f"Choose one of {list_some(known, limit=40)}."
        )
    n_genes = rows.groupby("type")["gene"].nunique().sort_index().sort_values(ascending=False, kind="stable")
    types = [str(name) for name, n in n_genes.items() if n >= min_genes]
    if not types:
        raise ValueError(
            f"Expected a cell type with at least {min_genes} genes from {tissue!r}; the most that a type has is "
            f"{n_genes.max()}. Lower `min_genes`."
        )
    return types


def tissues_meant(tissue: str) -> set[str]:
    """All names, in the form of :func:`tissue_form`, under which tables list what is found in a tissue."""
    return {tissue_form(tissue), *_ALSO.get(tissue_form(tissue), ())}


def tissues_named(names: str) -> list[str]:
    """The tissues in a table entry, where semicolons separate them, each once, in the form of :func:`tissue_form`.

    Words such as `undefined`, which tables use where the tissue is not known, do not count.
    """
    forms = dict.fromkeys(tissue_form(part) for part in names.split(";"))
    return [form for form in forms if form and not reads_missing(form.removesuffix("tissue"))]


def tissue_form(tissue: str) -> str:
    """The normal form that variants of a tissue's name share: `lung` for `Lungs`."""
    return " ".join(
        word[:-1] if len(word) > 4 and word.endswith("s") and not word.endswith(("as", "is", "us")) else word
        for word in tissue.casefold().split()
    )


def tissue_words(tissue: str | None) -> tuple[str, ...]:
    """The words for a tissue in names of cell types; of several tissues separated by semicolons, the first counts."""
    named = tissues_named((tissue or "").split(";")[0])
    return (*_ADJECTIVES.get(named[0], ()), named[0]) if named else ()
