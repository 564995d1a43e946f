"""Pseudo-cells as AnnData, marked as synthetic."""

from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from scmpt_scverse._checks import check_choice, check_positive, check_seed, list_some, warn_user
from scmpt_scverse._labels import as_categorical
from scmpt_scverse._slots import SYNTHETIC_KEYS, mark_synthetic, synthetic_name
from scmpt_scverse.pp import read_gene_list

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import FloatArray, StrArray
    from scmpt_scverse.generation._text_generator import Recognised, TextGenerator
    from scmpt_scverse.generation._texts import TextReader, Texts

#: No cell has more counts, and counts of one gene stay far below the limit of 32-bit integers.
_LARGEST_LIBRARY = 10**8


def generated_cells(
    generator: "TextGenerator",
    reader: "TextReader",
    texts: "str | Iterable[str] | Mapping[str, str | Sequence[str]]",
    n_cells: "int | Sequence[int]",
    *,
    genes: "Iterable[str] | None",
    library_size: "float | Sequence[float] | None",
    batch: str | None,
    seed: int,
    record: Mapping[str, Any],
) -> "AnnData":
    """See :meth:`scmpt_scverse.SCMMGPT.generate`; `record` says which model it was."""
    from anndata import AnnData

    check_seed(seed)
    columns = _columns(genes, generator.genes)
    given = _listed(texts)
    numbers = _numbers(n_cells, len(given))
    sizes = _library_sizes(library_size, numbers)
    _check_batch(batch, generator.batches)
    read = reader.read(given, generator.genes)
    if len(read.names) < len(given):
        raise ValueError(
            f"Expected different texts; found {len(given)}, of which {len(read.names)} differ. Pass each once, with a "
            "larger `n_cells=`."
        )
    found = generator.recognised(read, batch)
    if any(found.is_far):
        far = [
            f"{name!r} (nearest: {nearest!r})"
            for name, is_far, nearest in zip(read.names, found.is_far, found.nearest, strict=True)
            if is_far
        ]
        warn_user(
            f"Low confidence: {', '.join(far[:8])}{', ...' if len(far) > 8 else ''}. The generator was not trained on "
            "such cells; these are those of the nearest types, shifted towards the markers of the text. Do not take "
            "them for cells of the type."
        )
    blocks, batches = [], []
    for row, (name, wordings) in enumerate(zip(read.names, read.wordings, strict=True)):
        key = "\n".join([name, *wordings])
        drawn = generator.cells.draw(
            found.conditions[row], numbers[row], key=key, seed=seed, library_size=None if sizes is None else sizes[row]
        )
        blocks.append(drawn.counts)
        batches.append(drawn.batches)
    counts = sparse.vstack(blocks, format="csr")[:, columns]
    obs = _described(read, found, numbers)
    if generator.batches != ("",):
        names = np.array(generator.batches, dtype=object)
        obs[SYNTHETIC_KEYS.batch] = as_categorical(names[np.concatenate(batches)], generator.batches)
    cells = AnnData(counts, obs=obs, var=pd.DataFrame(index=pd.Index(generator.genes[columns].astype(str))))
    trained_on = list(generator.texts.names)
    mark_synthetic(cells, {**record, "trained_on": trained_on, "seed": seed, "n_texts": len(read.names)})
    return cells


def _described(texts: "Texts", found: "Recognised", numbers: Sequence[int]) -> pd.DataFrame:
    """`.obs` of the pseudo-cells."""
    places, keys = np.repeat(np.arange(len(numbers)), numbers), SYNTHETIC_KEYS
    columns = {
        keys.label: texts.names,
        keys.text: ["; ".join(each) for each in texts.wordings],
        keys.nearest: found.nearest,
    }
    obs = pd.DataFrame(
        {name: as_categorical(np.array(values, dtype=object)[places], values) for name, values in columns.items()},
        index=[
            synthetic_name(name, number) for name, n in zip(texts.names, numbers, strict=True) for number in range(n)
        ],
    )
    obs[keys.distance] = found.distances[places]
    obs[keys.is_low_confidence] = np.array(found.is_far)[places]
    return obs


def _listed(
    texts: "str | Iterable[str] | Mapping[str, str | Sequence[str]]",
) -> "list[str] | Mapping[str, str | Sequence[str]]":
    if isinstance(texts, Mapping):
        return texts
    given = [texts] if isinstance(texts, str) else texts
    if not isinstance(given, Iterable):
        raise TypeError(f"Expected a text, several texts, or a mapping of names to texts; found {given!r}.")
    return list(given)


def _columns(genes: "Iterable[str] | None", known: "StrArray") -> "np.ndarray[Any, Any]":
    """Columns of the genes that the user wants, in their order."""
    if genes is None:
        return np.arange(len(known))
    wanted = read_gene_list(genes, "genes")
    columns = pd.Index(known).get_indexer(wanted)
    absent = [gene for gene, column in zip(wanted, columns, strict=True) if column < 0]
    if len(absent) == len(wanted):
        raise ValueError(
            f"Expected some of the {len(known)} genes that the generator writes in `genes`; found none among "
            f"{list_some(wanted)}. It writes {list_some(known, 5)}. Pass human gene symbols, or train with a larger "
            "`GeneratorOptions(n_genes=...)`."
        )
    if absent:
        warn_user(
            f"The generator does not write {len(absent)} of {len(wanted)} `genes`, which are left out: "
            f"{list_some(absent)}."
        )
    return columns[columns >= 0]


def _numbers(n_cells: "int | Sequence[int]", n_texts: int) -> list[int]:
    """Cells of each text."""
    several = [n_cells] * n_texts if isinstance(n_cells, Integral) or not isinstance(n_cells, Iterable) else n_cells
    numbers = list(several)
    for each in numbers:
        check_positive(each, "n_cells")
    if len(numbers) != n_texts:
        raise ValueError(
            f"Expected one number of cells, or one per text, in `n_cells`; found {len(numbers)} for {n_texts} texts."
        )
    return [int(each) for each in numbers]


def _library_sizes(library_size: object, numbers: Sequence[int]) -> "list[FloatArray] | None":
    """Expected counts of the cells of each text."""
    if library_size is None:
        return None
    advice = f"Pass one number, or one per cell, from 1 to {_LARGEST_LIBRARY:,}; or leave it out to draw it."
    if isinstance(library_size, str) or not isinstance(library_size, Real | Iterable):
        raise TypeError(f"Expected numbers of counts as `library_size`; found {library_size!r}. {advice}")
    try:
        values = np.asarray(library_size if isinstance(library_size, Real) else list(library_size), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"Expected numbers of counts as `library_size`; found {library_size!r}. {advice}") from error
    total = sum(numbers)
    if values.ndim > 1 or (values.ndim == 1 and len(values) != total):
        raise ValueError(
            f"Expected one library size, or one for each of {total} cells; found shape {values.shape}. {advice}"
        )
    wrong = values[~((values >= 1) & (values <= _LARGEST_LIBRARY))]
    if wrong.size:
        raise ValueError(f"Expected possible counts of a cell as `library_size`; found {wrong.flat[0]:g}. {advice}")
    return np.split(np.broadcast_to(values, total), np.cumsum(numbers)[:-1])


def _check_batch(batch: str | None, known: Sequence[str]) -> None:
    if batch is None:
        return
    if tuple(known) == ("",):
        raise ValueError(
            f"Expected no `batch`, since the generator was trained without batches; found {batch!r}. Leave it out, or "
            "register cells with `batch_key=` and train again."
        )
    check_choice(batch, known, "batch")
