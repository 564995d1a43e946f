"""The cells to train on: any number of files, read in small runs of rows, their genes mapped to one vocabulary."""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import ceil
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scmpt_scverse._h5ad import read_cells
from scmpt_scverse.encoders.pretraining._expression_summary import (
    ExpressionSummary,
    GeneStatistics,
    scan_genes,
    summarise,
)
from scmpt_scverse.pp import ExpressionReader, Organism, nearest_cause, read_gene_list, vocabulary_ids

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import IntArray, StrPath

#: A file must share this many genes with the others, or a tenth of its genes if it has few.
_MIN_SHARED_GENES = 50
#: Cells with fewer known genes are left out: too few genes could be hidden and predicted.
_MIN_CELL_GENES = 20
#: A smaller standard deviation is rounding error.
_LEAST_STD = 1e-6
#: Neighbouring rows that are read together: fast on disk, and a batch has enough runs to mix a file sorted by type.
_RUN_ROWS = 16


@dataclass(frozen=True)
class Study:
    """One file of the corpus.

    Attributes
    ----------
    name
        Name of the file, for messages.
    reader
        Reads its expression.
    gene_ids
        Vocabulary id of each gene of `reader`, -1 where it has none.
    training_rows, heldout_rows
        Ascending row numbers; cells with too few known genes are in neither.
    summary
        Statistics of its genes, and components that summarise a cell's expression within the study.
    """

    name: str
    reader: ExpressionReader
    gene_ids: "IntArray"
    training_rows: "IntArray"
    heldout_rows: "IntArray"
    summary: ExpressionSummary

    def draw_genes(self, n_genes: int, rng: np.random.Generator) -> "IntArray":
        """Distinct known genes of the study, as columns of `reader`, at random; more variable ones are more likely."""
        likelihood = np.where(self.gene_ids >= 0, self.summary.genes.std, 0)
        n_genes = min(n_genes, int(np.count_nonzero(likelihood)))
        return rng.choice(len(likelihood), n_genes, replace=False, p=likelihood / likelihood.sum())

    def digest(self) -> str:
        """Hexadecimal sha256 by which a resumed run recognises the study."""
        content = hashlib.sha256(f"{self.reader.n_obs} cells ".encode())
        content.update(" ".join(self.reader.genes).encode())
        content.update(np.ascontiguousarray(self.summary.genes.n_cells).tobytes())
        content.update(np.ascontiguousarray(self.summary.genes.mean).tobytes())
        return content.hexdigest()


@dataclass(frozen=True)
class Corpus:
    """All studies and their vocabulary, token to id."""

    studies: list[Study]
    vocabulary: dict[str, int]

    def epoch(self, number: int, *, batch_size: int, seed: int) -> "list[tuple[int, IntArray]]":
        """The batches of one pass over the training cells: index of a study, and ascending rows of it.

        A batch mixes runs of neighbouring rows; cells left over at the end of a study are used in another epoch.
        """
        rng = np.random.default_rng([seed, number])
        batches = [
            (index, rows)
            for index, study in enumerate(self.studies)
            for rows in _shuffled_batches(study.training_rows, batch_size, rng)
        ]
        return [batches[i] for i in rng.permutation(len(batches))]

    def heldout(self, *, batch_size: int) -> "list[tuple[int, IntArray]]":
        """The held-out cells in batches of one study each."""
        return [
            (index, rows)
            for index, study in enumerate(self.studies)
            for rows in np.array_split(study.heldout_rows, max(1, ceil(len(study.heldout_rows) / batch_size)))
            if len(rows) > 1
        ]


@contextmanager
def open_corpus(
    data: "Sequence[StrPath | AnnData]",
    *,
    special_tokens: Sequence[str],
    layer: str | None,
    gene_symbols: str | None,
    organism: Organism,
    vocabulary: Collection[str] | None,
    initial_vocabulary: "dict[str, int] | None",
    min_cells: int,
    heldout_size: float,
    seed: int,
) -> Iterator[Corpus]:
    """Open all files, read each once from end to end to check its values and count its genes, and close them after use.

    Raises
    ------
    FileNotFoundError
        A file does not exist.
    KeyError
        `layer` or `gene_symbols` is not in a file.
    TypeError
        `vocabulary` is not a list.
    ValueError
        `vocabulary` is empty, or holds identifiers or missing names; a file cannot be read, has no cells or no usable
        values, or shares hardly any gene with the others or with the vocabulary.
    """
    vocabulary = None if vocabulary is None else read_gene_list(vocabulary, "vocabulary")
    with ExitStack() as files:
        names, readers = _open(data, files, layer=layer, gene_symbols=gene_symbols, organism=organism)
        _check_shared_genes(names, readers, initial_vocabulary if vocabulary is None else vocabulary)
        statistics = []
        for name, reader in zip(names, readers, strict=True):
            with _naming(name):
                statistics.append(scan_genes(reader))
        tokens = dict(initial_vocabulary or {})
        genes = _frequent_genes(readers, statistics, min_cells) if vocabulary is None else vocabulary
        for token in [*special_tokens, *sorted(genes)]:
            tokens.setdefault(token, len(tokens))
        studies = [
            _study(name, reader, genes, tokens, heldout_size, [seed, index])
            for index, (name, reader, genes) in enumerate(zip(names, readers, statistics, strict=True))
        ]
        corpus = Corpus(studies, tokens)
        if not corpus.heldout(batch_size=2):
            raise ValueError(
                f"Expected enough cells to hold some out; found {sum(len(study.training_rows) for study in studies)}. "
                f"Pass files with more than {_RUN_ROWS + 1} cells."
            )
        yield corpus


def _open(
    data: "Sequence[StrPath | AnnData]", files: ExitStack, **where: Any
) -> tuple[list[str], list[ExpressionReader]]:
    names, readers = [], []
    for number, item in enumerate(data):
        if isinstance(item, str | PathLike):
            name, adata = str(item), read_cells(Path(item), backed=True)
            files.callback(adata.file.close)
        else:
            name, adata = f"data[{number}]", item
        names.append(name)
        with _naming(name):
            readers.append(ExpressionReader(adata, **where))
    return names, readers


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Name the file in errors that are raised inside."""
    try:
        yield
    except (KeyError, ValueError) as error:
        raise type(error)(f"{name}: {error.args[0]}") from error


def _check_shared_genes(names: list[str], readers: list[ExpressionReader], known: Collection[str] | None) -> None:
    """Raise `ValueError` for a file that shares hardly any gene with `known` or, without it, with the other files."""
    what = "the vocabulary"
    for name, reader in zip(names, readers, strict=True):
        if known is not None:
            others = frozenset(known)
        elif len(readers) > 1:
            others, what = frozenset().union(*(other.genes for other in readers if other is not reader)), "the others"
        else:
            return
        is_shared = np.fromiter((gene in others for gene in reader.genes), dtype=bool, count=len(reader.genes))
        if is_shared.sum() < min(_MIN_SHARED_GENES, len(is_shared) / 10):
            raise ValueError(
                f"Expected {name} to share genes with {what}; found {is_shared.sum()} of {len(is_shared)}. Nearest "
                f"cause: {nearest_cause(reader.genes, is_shared, others)}. Pass files of one species with gene "
                "symbols, or `gene_symbols=` with the column that holds them."
            )


def _frequent_genes(readers: list[ExpressionReader], statistics: list[GeneStatistics], min_cells: int) -> list[str]:
    """Genes expressed in at least `min_cells` cells of all files together."""
    counts: Counter[str] = Counter()
    for reader, genes in zip(readers, statistics, strict=True):
        counts.update(dict(zip(reader.genes, genes.n_cells.tolist(), strict=True)))
    return [gene for gene, count in counts.items() if count >= min_cells]


def _study(
    name: str,
    reader: ExpressionReader,
    genes: GeneStatistics,
    tokens: dict[str, int],
    heldout_size: float,
    seed: list[int],
) -> Study:
    gene_ids = vocabulary_ids(reader.genes, tokens)
    known = (gene_ids >= 0).astype(np.int64)
    n_known = np.concatenate([(chunk.matrix > 0) @ known for chunk in reader.chunks()])
    usable = np.flatnonzero(n_known >= _MIN_CELL_GENES)
    if len(usable) < 2:
        raise ValueError(
            f"{name}: expected cells with at least {_MIN_CELL_GENES} expressed genes of the vocabulary; found "
            f"{len(usable)} of {reader.n_obs}. Leave this file out, or lower `min_cells`."
        )
    if genes.std[gene_ids >= 0].max() < _LEAST_STD:
        raise ValueError(
            f"{name}: expected cells that differ; found the same expression in all {reader.n_obs}. Leave this file out."
        )
    # Whole runs are held out, so that the other cells are still read in runs.
    run = usable // _RUN_ROWS
    runs, n_cells = np.unique(run, return_counts=True)
    # A batch has at least two cells, so a run of one cell is never all that is held out, or all that trains.
    candidates = runs[n_cells > 1]
    n_heldout = max(0, min(ceil(heldout_size * len(runs)), len(candidates) - 1))
    heldout = np.isin(run, np.random.default_rng(seed).choice(candidates, n_heldout, replace=False))
    return Study(name, reader, gene_ids, usable[~heldout], usable[heldout], summarise(reader, genes))


def _shuffled_batches(rows: "IntArray", batch_size: int, rng: np.random.Generator) -> "list[IntArray]":
    if len(rows) <= batch_size:
        return [rows]
    # Runs start at other rows in every epoch, so that the same neighbours are not always together.
    runs = np.split(rows, np.arange(rng.integers(_RUN_ROWS), len(rows), _RUN_ROWS)[1:])
    mixed = np.concatenate([runs[i] for i in rng.permutation(len(runs))])
    return [np.sort(batch) for batch in mixed[: len(rows) // batch_size * batch_size].reshape(-1, batch_size)]
