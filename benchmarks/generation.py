"""Measure pseudo-cells against real ones, and what they are good for: `make bench-generation`.

Seen types: the generator learns from some cells and is compared with others (zheng and xin split by cell, kang from
one donor to the other). Unseen types: labels are left out of training, and generated from their text alone. Use: few
labelled cells of rare types, with and without pseudo-cells; and a reference made from text alone, beside annotation by
text.

Towers are trained without the study in question and kept in `--cache`. With `--development` the training cells are
split once more, and nothing is stored: choices are made there.
"""

import argparse
import json
import os
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _few_shot_models import text_model_without
from _machine import machine_record
from anndata import AnnData, concat
from scipy import sparse
from sklearn.metrics import f1_score
from zero_shot import DATA_VARIABLE, RememberedTexts, read_study

from scmpt_scverse import SCMMGPT, SCMPT, encoders, metrics
from scmpt_scverse._folders import cache_folder
from scmpt_scverse._saved_files import read_model
from scmpt_scverse.module import GeneratorOptions, Scale, TextAlignment
from scmpt_scverse.pp import ExpressionReader, log_normalised_cells
from scmpt_scverse.zero_shot import RegisteredTypes

RESULT = Path(__file__).parent / "results" / "generation.json"
#: Labels that are left out of training together, by study.
HOLD_OUTS = {
    "zheng": [["CL:0000623"]],
    "kang": [["CL:0000236"], ["CL:0002396"]],
    "xin": [["CL:0000169"]],
}
KS = (5, 10, 25, 50)
#: Share of the cells that train where no donor is left out.
TRAIN_SHARE = 0.75
#: Cells of a rare label, draws of them, and pseudo-cells that are added to each.
SIZES, N_SEEDS, N_ADDED = (3, 5, 10), 3, 100


@dataclass(frozen=True)
class Split:
    """One study: cells that train, and cells to compare with; labels are terms in `.obs["term"]`."""

    name: str
    train: AnnData
    test: AnnData
    batch_key: str | None

    def without(self, labels: list[str]) -> "Split":
        """The same without some labels in training."""
        return replace(self, train=self.train[~self.train.obs["term"].isin(labels)].copy())


def read_split(name: str, folder: Path, development: bool) -> Split:
    """Training and test cells of a study over gene symbols, as counts."""
    names = pd.read_csv(folder / "labels_cl.tsv", sep="\t")
    study = read_study(name, folder, names)
    reader = ExpressionReader(study.cells)
    counts = sparse.vstack([chunk.matrix for chunk in reader.chunks()], format="csr").astype(np.float64)
    if np.any(counts.data != np.rint(counts.data)):  # logarithms: cells are brought to a total of 10,000
        counts.data = np.expm1(counts.data)
        counts = sparse.diags(1e4 / np.asarray(counts.sum(axis=1)).ravel()) @ counts
        counts.data = np.rint(counts.data)
    counts.eliminate_zeros()
    cells = AnnData(
        counts.tocsr().astype(np.float32), obs=study.cells.obs, var=pd.DataFrame(index=reader.genes.astype(str))
    )
    cells.obs["term"] = study.terms
    rng = np.random.default_rng(0)
    is_train = (
        (cells.obs["donor"].astype(str) == "101").to_numpy()
        if name == "kang"
        else np.isin(np.arange(cells.n_obs), rng.permutation(cells.n_obs)[: int(TRAIN_SHARE * cells.n_obs)])
    )
    if development:
        inside = rng.permutation(np.flatnonzero(is_train))
        cells, is_train = cells[inside].copy(), np.arange(len(inside)) < 2 / 3 * len(inside)
    train, test = cells[is_train].copy(), cells[~is_train].copy()
    test = test[test.obs["term"].isin(train.obs["term"])].copy()
    return Split(name, train, test, "sample_id" if name == "kang" else None)


class Towers:
    """Models whose tower has not seen a study."""

    def __init__(self, data: Path, cache: Path) -> None:
        self._data, self._cache = data, cache
        self._encoder = RememberedTexts(encoders.get("minilm"))

    def model(self, cells: AnnData, study: str, batch_key: str | None = None) -> SCMMGPT:
        """With some cells to learn from."""
        folder = text_model_without(study, self._data, self._cache)
        content, arrays = read_model(folder, "", ["genes", "types"], class_name="SCMMGPT")
        SCMMGPT.setup_anndata(cells, "term", batch_key=batch_key)
        model = SCMMGPT(cells, text_encoder=self._encoder)
        scale = {f"scale.{name}": np.float64(value) for name, value in asdict(Scale()).items()}  # parts weigh alike
        model.alignment = TextAlignment.from_arrays(scale | arrays)
        model.types, model.genes = RegisteredTypes.from_state(content["types"]), content["genes"]
        model._become_trained()
        return model


def log_expression(cells: AnnData, genes: pd.Index) -> np.ndarray:
    """Log-normalised over the genes of the generator, dense."""
    return log_normalised_cells(sparse.csr_matrix(cells[:, genes].X)).toarray()


def baselines(
    split: Split, genes: pd.Index, numbers: dict[str, int], seed: int
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name, expression and labels of what needs no model: labels as often as in the test cells."""
    rng = np.random.default_rng(seed)
    train, labels = log_expression(split.train, genes), split.train.obs["term"].to_numpy(dtype=object)
    wanted = np.repeat(list(numbers), list(numbers.values()))
    rows = np.concatenate([rng.choice(np.flatnonzero(labels == name), n) for name, n in numbers.items()])
    yield "resampling", train[rows], wanted
    groups = [train[labels == name] for name in numbers]
    noise = [rng.normal(size=(n, train.shape[1])) for n in numbers.values()]
    values = np.vstack([each.mean(axis=0) + each.std(axis=0) * of for each, of in zip(groups, noise, strict=True)])
    yield "mean + Gaussian", np.maximum(values, 0), wanted
    yield "mean + Gaussian, negative values kept", values, wanted
    yield "random cells", train[rng.choice(len(train), len(wanted))], wanted


def seen_rows(split: Split, towers: Towers, options: GeneratorOptions) -> list[dict]:
    """Metrics of types that were trained on."""
    model = towers.model(split.train.copy(), split.name, split.batch_key)
    start = time.process_time()
    model.train("generate", options=options, accelerator="cpu", progress=False)
    seconds = time.process_time() - start
    labels = split.test.obs["term"].to_numpy(dtype=object)
    numbers = split.test.obs["term"].value_counts().to_dict()
    made = model.generate(list(numbers), list(numbers.values()), seed=options.seed)
    genes = made.var_names
    train, test = log_expression(split.train, genes), log_expression(split.test, genes)
    half = np.random.default_rng(options.seed).random(len(test)) < 0.5
    rows = [("real cells", test[half], test[~half], labels[half], labels[~half])]
    name = f"generator, {options.decoder}"
    rows.append((name, test, log_expression(made, genes), labels, made.obs["label"].to_numpy(dtype=object)))
    rows += [(each, test, values, labels, of) for each, values, of in baselines(split, genes, numbers, options.seed)]
    found = []
    for predictor, real, values, real_labels, of in rows:
        table = metrics.generation_metrics(real, values, (real_labels, of), fitted_on=train, ks=KS, n_permutations=50)
        row = {"set": split.name, "predictor": predictor, "seconds": seconds, "steps": options.n_steps}
        found.append({**row, **table.loc["mean"].to_dict()})
    return found


def unseen_rows(split: Split, hold_out: list[str], towers: Towers, options: GeneratorOptions) -> list[dict]:
    """Metrics of types that were left out, among the test cells of all types."""
    part = split.without(hold_out)
    model = towers.model(part.train.copy(), split.name, split.batch_key)
    model.train("generate", options=options, accelerator="cpu", progress=False)
    labels = split.test.obs["term"].to_numpy(dtype=object)
    wanted = {name: int((labels == name).sum()) for name in hold_out}
    made = model.generate(hold_out, list(wanted.values()), seed=options.seed)
    genes = made.var_names
    train, test = log_expression(part.train, genes), log_expression(split.test, genes)
    of = made.obs["label"].to_numpy(dtype=object)
    rng = np.random.default_rng(options.seed)
    known = part.train.obs["term"].to_numpy(dtype=object)
    nearest = dict(zip(of, made.obs["nearest_type"].astype(str), strict=True))
    rows = np.concatenate([rng.choice(np.flatnonzero(known == nearest[name]), n) for name, n in wanted.items()])
    whole = split.train.obs["term"].to_numpy(dtype=object)
    own = np.concatenate([rng.choice(np.flatnonzero(whole == name), n) for name, n in wanted.items()])
    candidates = [
        ("real cells of training", log_expression(split.train, genes)[own]),
        (f"generator, {options.decoder}", log_expression(made, genes)),
        ("nearest text", train[rows]),
        ("random cells", train[rng.choice(len(train), len(rows))]),
    ]
    found = []
    for predictor, values in candidates:
        table = metrics.generation_metrics(test, values, (labels, of), fitted_on=train, ks=KS, n_permutations=50)
        row = {
            "set": split.name,
            "hold_out": ", ".join(hold_out),
            "predictor": predictor,
            "nearest": nearest[hold_out[0]],
            "steps": options.n_steps,
        }
        found.append({**row, **table.loc["mean"].to_dict()})
    return found


def macro_f1(reference: AnnData, test: AnnData) -> float:
    """Of a model of expression itself."""
    cells = AnnData(
        sparse.csr_matrix(reference.X, dtype=np.float32), obs=reference.obs[["term"]].astype(str), var=reference.var[[]]
    )
    cells.obs_names = [str(number) for number in range(cells.n_obs)]
    SCMPT.setup_anndata(cells, "term")
    model = SCMPT(cells, encoders={"counts": "counts"})
    model.train(enable_progress_bar=False)
    return float(f1_score(test.obs["term"].astype(str), model.predict(test), average="macro", zero_division=0))


def few_shot_rows(split: Split, towers: Towers, options: GeneratorOptions) -> list[dict]:
    """The rarer half of the labels has a few cells, and pseudo-cells or not."""
    numbers = split.train.obs["term"].value_counts()
    rare = list(numbers.index[len(numbers) // 2 :])
    rows = []
    for size in SIZES:
        rng = np.random.default_rng(options.seed)
        labels = split.train.obs["term"].to_numpy(dtype=object)
        few = [rng.choice(np.flatnonzero(labels == name), size, replace=False) for name in rare]
        chosen = np.sort(np.concatenate([np.flatnonzero(~np.isin(labels, rare)), *few]))
        train = split.train[chosen].copy()
        model = towers.model(train.copy(), split.name, split.batch_key)
        model.train("generate", options=options, accelerator="cpu", progress=False)
        made = model.generate(rare, N_ADDED, seed=options.seed)
        made.obs["term"] = made.obs["label"].astype(str)
        few_genes, test = train[:, made.var_names].copy(), split.test[:, made.var_names].copy()
        repeated = few_genes[
            np.r_[
                np.arange(few_genes.n_obs),
                np.concatenate(
                    [rng.choice(np.flatnonzero((train.obs["term"] == name).to_numpy()), N_ADDED) for name in rare]
                ),
            ]
        ].copy()
        references = {
            "real cells": few_genes,
            "real cells, rare ones repeated": repeated,
            "real and pseudo-cells": concat([few_genes, made], join="inner"),
        }
        for predictor, reference in references.items():
            score = macro_f1(reference, test)
            row = {"set": split.name, "size": size, "seed": options.seed, "predictor": predictor}
            rows.append({**row, "macro_f1": score})
    return rows


def reference_rows(learned: Split, asked: Split, towers: Towers, options: GeneratorOptions) -> list[dict]:
    """A reference for one study, from a generator of another one, beside annotation by text."""
    model = towers.model(learned.train.copy(), asked.name, learned.batch_key)
    model.train("generate", options=options, accelerator="cpu", progress=False)
    terms = sorted(set(asked.test.obs["term"]))
    made = model.generate(terms, N_ADDED, seed=options.seed)
    made.obs["term"] = made.obs["label"].astype(str)
    shared = made.var_names[made.var_names.isin(asked.test.var_names)]
    truth = asked.test.obs["term"].astype(str)
    scores = {"reference from text": macro_f1(made[:, shared].copy(), asked.test[:, shared].copy())}
    for refine in ("none", "self-train"):
        predicted = model.predict(asked.test, labels=terms, refine=refine)
        scores[f"annotation by text, {refine}"] = f1_score(truth, predicted, average="macro", zero_division=0)
    n_far = int(made.obs.groupby("label", observed=True)["is_low_confidence"].first().sum())
    return [
        {"learned": learned.name, "asked": asked.name, "predictor": name, "macro_f1": float(score), "n_far": n_far}
        for name, score in scores.items()
    ]


def main() -> None:
    """Measure, store and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get(DATA_VARIABLE), help=f"folder, or ${DATA_VARIABLE}")
    parser.add_argument("--cache", type=Path, default=cache_folder() / "few_shot", help="folder of towers")
    parser.add_argument("--parts", nargs="+", default=["seen", "unseen", "few_shot", "reference"])
    parser.add_argument("--sets", nargs="+", choices=list(HOLD_OUTS), default=list(HOLD_OUTS))
    parser.add_argument("--decoders", nargs="+", default=["dense", "attention"], help="of seen types")
    parser.add_argument("--steps", type=int, default=GeneratorOptions.n_steps)
    parser.add_argument("--development", action="store_true", help="split the training cells, and store nothing")
    parser.add_argument("--result", type=Path, default=RESULT, help="file to store")
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error(f"pass --data or set {DATA_VARIABLE}")
    warnings.simplefilter("ignore")  # of low confidence, and of counts from logarithms
    torch.set_num_threads(1)
    folder, start = Path(arguments.data), time.perf_counter()
    towers = Towers(folder, arguments.cache)
    options = GeneratorOptions(n_steps=arguments.steps)
    record = json.loads(arguments.result.read_text()) if arguments.result.is_file() else {}
    splits = {name: read_split(name, folder, arguments.development) for name in arguments.sets}

    def store(part: str, rows: list[dict]) -> None:
        """After each study, so that nothing is lost."""
        keys = ("set", "hold_out", "predictor", "size", "learned", "asked")
        new = {tuple(row.get(key) for key in keys) for row in rows}
        kept = [row for row in record.get(part, []) if tuple(row.get(key) for key in keys) not in new]
        record[part] = kept + rows
        print(pd.DataFrame(rows).round(3).to_string(), flush=True)
        if not arguments.development:
            machine = machine_record(("scmpt-scverse", "torch", "scvi-tools"))
            arguments.result.write_text(json.dumps({**record, **machine}, indent=1) + "\n")

    for split in splits.values() if "seen" in arguments.parts else ():
        for decoder in arguments.decoders:
            store("seen", seen_rows(split, towers, replace(options, decoder=decoder)))
    for split in splits.values() if "unseen" in arguments.parts else ():
        for hold_out in HOLD_OUTS[split.name]:
            store("unseen", unseen_rows(split, hold_out, towers, options))
    for split in splits.values() if "few_shot" in arguments.parts else ():
        seeded = [few_shot_rows(split, towers, replace(options, seed=seed)) for seed in range(N_SEEDS)]
        store("few_shot", list(chain.from_iterable(seeded)))
    if "reference" in arguments.parts and {"zheng", "kang"} <= set(splits):
        store("reference", reference_rows(splits["zheng"], splits["kang"], towers, options))
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
