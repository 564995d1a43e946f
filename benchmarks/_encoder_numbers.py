"""Numbers and tables about the encoders, from `results/encoder_probes.json` and what was stored with `scgpt-mini`."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
from _markdown import markdown
from _pretraining_corpus import CORPUS, ENCODER

from scmpt_scverse.encoders import CARDS

#: How the variants of a part are named in documents.
_ROW_TITLES = {"sentences": "genes per sentence", "texts": "text about a gene, and power of its expression"}


def encoder_numbers(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The cells and the losses of the bundled encoder, and how many cells text encoders were compared on."""
    yield f"{ENCODER}.n_cells", f"{sum(file.n_cells for file in CORPUS):,}"
    folder = CARDS[ENCODER].local_folder()
    assert folder is not None
    history = pd.read_csv(folder / "history.csv")
    yield f"{ENCODER}.n_steps", f"{history['step'].max():,}"
    yield f"{ENCODER}.first_loss", f"{history['heldout_loss'].iloc[0]:.3f}"
    yield f"{ENCODER}.last_loss", f"{history['heldout_loss'].iloc[-1]:.3f}"
    tokens = json.loads((folder / "vocab.json").read_text())
    yield f"{ENCODER}.n_genes", f"{sum(not token.startswith('<') for token in tokens):,}"
    yield f"{ENCODER}.megabytes", f"{sum(path.stat().st_size for path in folder.iterdir()) / 1e6:.1f}"
    yield "minilm.max_genes", f"{CARDS['minilm'].options['max_genes']}"
    largest = max(row["n_cells"] for of_set in record["texts"].values() for row in of_set.values())
    yield "encoders.max_cells", f"{largest:.0f}"


def corpus_table() -> str:
    """What the bundled encoder was trained on."""
    rows = [[f"{file.n_cells:,}", f"{file.n_genes:,}", file.source] for file in CORPUS]
    table = pd.DataFrame(rows, index=[file.title for file in CORPUS], columns=["cells", "genes", "source"])
    return markdown(table, "data set")


def mini_table(record: Mapping[str, Any]) -> str:
    """The bundled encoder, random weights and principal components, on every set."""
    found = record["mini"]
    rows = {
        name: [
            f"{next(iter(of_set.values()))['n_cells']:,.0f}, {next(iter(of_set.values()))['n_labels']:.0f}",
            *(f"{row['macro_f1']:.3f} ({row['lower']:.3f} to {row['upper']:.3f})" for row in of_set.values()),
        ]
        for name, of_set in found.items()
    }
    features = list(next(iter(found.values())))
    means = [pd.Series([of_set[name]["macro_f1"] for of_set in found.values()]).mean() for name in features]
    rows["mean"] = ["", *(f"{mean:.3f}" for mean in means)]
    return markdown(pd.DataFrame.from_dict(rows, orient="index", columns=["cells, labels", *features]), "set")


def lengths_table(record: Mapping[str, Any]) -> str:
    """By number of tokens: macro F1, means over the sets that the encoder has seen and over the others."""
    rows = pd.DataFrame(record["rows"])
    table = pd.DataFrame()
    for length, of_length in rows.groupby("max_length", sort=False):
        named = {f"{length:,}": [f"{of_length['share_of_cells_cut'].mean():.0%}"]}
        for metric in ("alone", "default"):
            for is_seen in (False, True):
                named[f"{length:,}"].append(f"{of_length.loc[of_length['is_seen'] == is_seen, metric].mean():.3f}")
        table = pd.concat([table, pd.DataFrame.from_dict(named, orient="index")])
    n_others = rows.loc[~rows["is_seen"], "set"].nunique()
    n_seen = rows.loc[rows["is_seen"], "set"].nunique()
    sets = (f"{n_others} sets not seen", f"{n_seen} sets seen")
    table.columns = pd.Index(
        ["cells cut", *(f"{name}, {which}" for name in ("alone", "default model") for which in sets)]
    )
    return markdown(table, "tokens")


def variants_table(record: Mapping[str, Any], part: str) -> str:
    """One row per variant of a text encoder, one column per set, and the mean."""
    if part not in record:
        return "Not measured yet.\n"
    table = pd.DataFrame(
        {name: {variant: row["macro_f1"] for variant, row in of_set.items()} for name, of_set in record[part].items()}
    )
    table["mean"] = table.mean(axis=1)
    return markdown(table.map("{:.3f}".format), _ROW_TITLES[part])
