"""Measure what texts add to a stacked model when labelled cells are few: `make bench-few-shot`.

Models are trained on 1, 3, 5, 10 and 20 cells per label, and with `--sizes 0` on up to 400 cells, of one part of a
set, and predict the other part: other cells, another donor, or another study. Every model learns from the same cells.
Embeddings are computed once. Stores `results/few_shot.json`; `make numbers` fills it into the documentation.

Texts taught `scmmgpt-mini` with the labels of some studies. On these, the modality "knowledge" reads a model that was
trained without the study; such models are kept in `--cache`.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _accuracy_cells import LABELS_KEY, read
from _accuracy_sets import SETS, CellSet
from _few_shot_models import text_model_without
from _machine import machine_record
from anndata import AnnData
from scipy import sparse
from sklearn.metrics import f1_score

from scmpt_scverse import encoders, evaluation
from scmpt_scverse._folders import cache_folder
from scmpt_scverse._labels import labels_or
from scmpt_scverse._types import FloatArray, IntArray, StrArray
from scmpt_scverse.cli._group import quiet_libraries
from scmpt_scverse.modalities import ExpressionFeatures, GeneValues, compute_embedding
from scmpt_scverse.module._mixture import mix, mixture_weights
from scmpt_scverse.module._principal_axes import FeatureBlocks
from scmpt_scverse.module._stacking import fit_head, stratified_folds
from scmpt_scverse.module._standardiser import Standardiser
from scmpt_scverse.pp import ExpressionReader, Normalisation

RESULT = Path(__file__).parent / "results" / "few_shot.json"
DATA_VARIABLE = "SCMPT_BENCHMARK_DATA"
#: Labelled cells per label; 0 stands for all, up to `MAX_TRAIN`.
SIZES = (1, 3, 5, 10, 20)
MAX_TRAIN, MAX_TEST, MAX_CELLS = 400, 600, 2000
#: As in a model: genes of expression itself.
N_GENES = 4000
CHOSEN = (
    *("scanpy PBMC", "headneck", "pbmc3k", "pancreas wang", "zheng", "kang, by cell", "kang, donors", "pancreas xin"),
    "pancreas, other study",
)
#: Modalities of each model, by name; "counts" stands for expression itself.
EXPRESSION = ("scgpt-mini", "counts")
MODELS: dict[str, tuple[str, ...]] = {
    "counts": ("counts",),
    "counts + minilm": ("minilm", "counts"),
    "counts + knowledge": ("knowledge", "counts"),
    "counts + scgpt-mini": EXPRESSION,
    "counts + scgpt-mini + minilm": ("minilm", *EXPRESSION),
    "counts + scgpt-mini + knowledge": ("knowledge", *EXPRESSION),
    "counts + scgpt-mini + minilm-genes": ("minilm-genes", *EXPRESSION),
    "counts + scgpt-mini + minilm + knowledge": ("minilm", "knowledge", *EXPRESSION),
    "knowledge": ("knowledge",),
}
PEER = "logistic regression"


@dataclass(frozen=True)
class Cells:
    """A set, ready to be split.

    Attributes
    ----------
    adata
        Expression.
    labels, groups
        Of each cell; `groups` are donors or studies, `None` where cells are split.
    embeddings
        Encoder to `(n_obs, dim)`.
    """

    adata: AnnData
    labels: StrArray
    groups: StrArray | None
    embeddings: Mapping[str, FloatArray]

    @classmethod
    def of(cls, cell_set: CellSet, data: Path | None, cache: Path) -> "Cells | None":
        """Up to `MAX_CELLS` cells of a set, drawn at random, embedded by every encoder; `None` without its file."""
        adata = read(cell_set, data, is_embedded=False)
        if adata is None:
            return None
        if adata.n_obs > MAX_CELLS:
            adata = adata[np.sort(np.random.default_rng(0).permutation(adata.n_obs)[:MAX_CELLS])].copy()
        groups = None if cell_set.group_key is None else labels_or(adata.obs[cell_set.group_key], "")
        embeddings = {}
        for name in dict.fromkeys(name for names in MODELS.values() for name in names if name != "counts"):
            study = cell_set.study if name == "knowledge" else None
            options = {} if study is None else {"model": text_model_without(study, data, cache)}
            embeddings[name] = compute_embedding(adata, encoders.get(name, **options), progress=False)[0]
        return cls(adata, adata.obs[LABELS_KEY].to_numpy(dtype=object), groups, embeddings)

    def halves(self, seed: int) -> tuple[IntArray, IntArray]:
        """Rows to learn from, and rows to predict: a random half of each label, or one group against the others."""
        rng = np.random.default_rng(seed)
        if self.groups is None:
            order = rng.permutation(len(self.labels))
            rank = pd.Series(order).groupby(self.labels[order]).cumcount().to_numpy()
            size = pd.Series(order).groupby(self.labels[order]).transform("size").to_numpy()
            return order[rank < size // 2], order[rank >= size // 2]
        names = np.unique(self.groups)
        is_test = self.groups == names[seed % len(names)]
        return rng.permutation(np.flatnonzero(~is_test)), rng.permutation(np.flatnonzero(is_test))


def drawn(rows: IntArray, labels: StrArray, size: int) -> IntArray:
    """The first `size` rows of each label, in ascending order; all for 0, up to `MAX_TRAIN`."""
    if size == 0:
        return np.sort(rows[:MAX_TRAIN])
    return np.sort(rows[pd.Series(rows).groupby(labels[rows]).cumcount().to_numpy() < size])


def predictions(cells: Cells, train: IntArray, test: IntArray, seed: int) -> Iterator[tuple[str, StrArray]]:
    """Predicted labels of the test cells by every model.

    A stacked model is one head per modality and their weights. A head does not depend on the modalities beside it, so
    each is solved once, and the weights once per model.
    """
    known, codes = np.unique(cells.labels[train], return_inverse=True)
    labels, same = torch.from_numpy(codes), torch.ones(len(codes))
    folds = stratified_folds(codes, seed)
    both = np.concatenate([train, test])
    reader = ExpressionReader(cells.adata[both].copy())
    features = ExpressionFeatures.fit(reader, np.arange(len(train)), N_GENES)
    values = GeneValues(reader, features, len(features.genes)).read(reader, None)[np.arange(len(both))]
    heads, tested = {}, {}
    for name, rows in ({"counts": values} | {name: rows[both] for name, rows in cells.embeddings.items()}).items():
        standardiser = Standardiser(rows.shape[1], are_genes=name == "counts")
        tensor = torch.from_numpy(rows)
        standardiser.fit([tensor[: len(train)]])
        tensor = standardiser(tensor)
        head = heads[name] = fit_head(FeatureBlocks.of(tensor[: len(train)]), labels, same, folds)
        tested[name] = (tensor[len(train) :] @ head.weights[-1].T + head.biases[-1]).log_softmax(dim=-1)
    for name, modalities in MODELS.items():
        weights = mixture_weights({modality: heads[modality] for modality in modalities}, labels, same)
        logits = mix(torch.stack([tested[modality] for modality in modalities]).double(), torch.from_numpy(weights))
        yield name, known[logits.argmax(dim=1).numpy()]
    matrix = sparse.csr_matrix(cells.adata.X)
    matrix = Normalisation.of(matrix)(matrix)
    soft = evaluation.baseline_probabilities(
        "logistic_regression", matrix[train], pd.Series(cells.labels[train]), matrix[test], seed=seed
    )
    yield PEER, soft.idxmax(axis=1).to_numpy()


def measure(
    cell_set: CellSet, data: Path | None, cache: Path, n_seeds: int, sizes: Sequence[int] = SIZES
) -> list[dict]:
    """Macro F1 of every model, number of cells and seed on one set."""
    quiet_libraries()
    torch.set_num_threads(1)
    start = time.perf_counter()
    cells = Cells.of(cell_set, data, cache)
    if cells is None:
        print(f"{cell_set.name}: left out, its file was not found; pass --data", flush=True)
        return []
    rows = []
    for seed in range(n_seeds):
        learned, tested = cells.halves(seed)
        test = tested[np.isin(cells.labels[tested], cells.labels[learned])][:MAX_TEST]
        truth = cells.labels[test]
        for size in sizes:
            train = drawn(learned, cells.labels, size)
            for name, predicted in predictions(cells, train, test, seed):
                score = f1_score(truth, predicted, average="macro", labels=np.unique(truth), zero_division=0)
                row = {"set": cell_set.name, "seed": seed, "size": size, "predictor": name, "macro_f1": float(score)}
                rows.append(row | {"is_by_group": cell_set.group_key is not None})
    print(f"{cell_set.name}: {time.perf_counter() - start:.0f} s", flush=True)
    return rows


def main() -> None:
    """Measure and store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get(DATA_VARIABLE), help=f"folder, or ${DATA_VARIABLE}")
    parser.add_argument("--cache", type=Path, default=cache_folder() / "few_shot", help="folder of text models")
    parser.add_argument("--sets", nargs="+", choices=list(CHOSEN), default=list(CHOSEN))
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES, help="cells per label; 0 for all")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--result", type=Path, default=RESULT, help="file to store")
    arguments = parser.parse_args()
    quiet_libraries()
    start = time.perf_counter()
    chosen = [cell_set for cell_set in SETS if cell_set.name in arguments.sets]
    if arguments.data is not None:  # before processes could make the same one twice
        for study in dict.fromkeys(filter(None, (cell_set.study for cell_set in chosen))):
            text_model_without(study, arguments.data, arguments.cache)
    one = partial(measure, data=arguments.data, cache=arguments.cache, n_seeds=arguments.seeds, sizes=arguments.sizes)
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes to come
    rows: list[dict] = []
    with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn")) as pool:
        for found in pool.map(one, chosen):
            rows += found
            record = {"rows": rows, "seconds": time.perf_counter() - start}
            record |= machine_record(("scmpt-scverse", "torch"))
            arguments.result.write_text(json.dumps(record, indent=1) + "\n")
    table = pd.DataFrame(rows)
    print(table.pivot_table(index="predictor", columns="size", values="macro_f1", sort=False).round(3).to_string())


if __name__ == "__main__":
    main()
