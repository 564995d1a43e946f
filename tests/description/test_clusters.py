"""Descriptions of real clusters: the type, and that every stated gene and type is in the evidence and holds."""

import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData, read_h5ad, read_zarr
from tests.description.conftest import LABELS, Clusters

from scmpt_scverse import SCMMGPT
from scmpt_scverse.description import Evidence, Oddity, State, StatedGene
from scmpt_scverse.description._support import unsupported
from scmpt_scverse.description._types import shown_labels
from scmpt_scverse.knowledge import GeneFinder, cell_ontology
from scmpt_scverse.zero_shot import gene_shares

#: What most cells of a cluster are, by their true labels, in the words of the ontology.
MEANT = {"CD14+ Monocyte": "monocyte", "CD19+ B": "B cell", "CD34+": "stem cell", "Dendritic": "mononuclear phagocyte"}


def expression(cells: AnnData) -> pd.DataFrame:
    matrix = cells.X.toarray() if hasattr(cells.X, "toarray") else np.asarray(cells.X)
    return pd.DataFrame(matrix, index=cells.obs_names, columns=cells.var_names)


def symbols(column: str) -> list[str]:
    return re.findall(r"[A-Za-z0-9.-]+(?= \(|,|$)", column)


def test_clusters_get_their_type_with_its_path(clusters: Clusters) -> None:
    cells, table = clusters
    assert list(table.index) == list(cells.obs["louvain"].cat.categories)
    assert table.index.name == "louvain"
    ontology, is_right = cell_ontology(), {}
    for name, row in table.iterrows():
        most = cells.obs.loc[cells.obs["louvain"] == name, "bulk_labels"].value_counts().idxmax()
        is_right[name] = MEANT.get(most, "lymphocyte") in row["path"]
        assert row["path"].split(" > ")[-1] == ontology.terms[row["ontology_id"]].name == row["term"]
        assert 0.8 <= row["probability"] <= 1
        assert row["n_cells"] == (cells.obs["louvain"] == name).sum()
    assert np.mean(list(is_right.values())) >= 0.9, is_right
    b_cells = table.loc["4"]
    assert b_cells["term"] == b_cells["label"] == "B cell"
    assert b_cells["path"].endswith("lymphocyte > lymphocyte of B lineage > B cell")
    assert {"CD79A", "MS4A1"} <= set(b_cells["genes_for"].split(", "))
    assert b_cells["description"].startswith("Most likely B cell (probability 1.00): a lymphocyte of B lineage that is")


def test_what_is_unsure_is_said_at_the_level_that_is_sure(clusters: Clusters) -> None:
    row = clusters.table.loc["3"]  # cytotoxic T cells and natural killer cells
    assert row["term"] == "lymphocyte"
    assert row["label_probability"] < 0.8 <= row["probability"]
    assert (
        f"A kind of lymphocyte (probability {row['probability']:.2f}; most likely {row['label']}" in row["description"]
    )


def test_all_types_that_the_model_knows(text_model: SCMMGPT, pbmc: AnnData) -> None:
    table = text_model.describe(pbmc, "bulk_labels", refine="smooth")
    assert (table["label_probability"] < 0.8).sum() >= 5
    is_sure = ~table["description"].str.startswith("No type is sure")
    assert is_sure.mean() > 0.7
    assert (table.loc[is_sure, "probability"] >= 0.8 - 1e-6).all()
    ontology = cell_ontology()
    for _, row in table[is_sure & (table["ontology_id"] != "")].iterrows():
        label = ontology.ids_by_name.get(row["label"])
        assert label is None or row["ontology_id"] in ontology.ancestors(label) | {label}


def test_every_stated_gene_really_differs_from_the_other_cells(clusters: Clusters) -> None:
    cells, table = clusters
    values = expression(cells)
    n_stated = 0
    for name, row in table.iterrows():
        inside = (cells.obs["louvain"] == name).to_numpy()
        means, rest = values[inside].mean(), values[~inside].mean()
        states = ", ".join(re.findall(r"%: ([^)]*)\)", row["states"]))
        higher = [*symbols(row["genes_for"]), *symbols(states)]
        higher += re.findall(r"(\S+) \(higher\)", row["genes_against"])
        lower = re.findall(r"(\S+) \(lower\)", row["genes_against"])
        n_stated += len(higher) + len(lower)
        assert all(means[gene] > rest[gene] for gene in higher), name
        assert all((values.loc[inside, gene] > 0).mean() >= 0.1 for gene in higher), name
        assert all(means[gene] < rest[gene] for gene in lower), name
    assert n_stated > 5 * len(table)


def test_evidence_says_the_same_in_numbers(clusters: Clusters) -> None:
    cells, table = clusters
    evidence, values = cells.uns["scmmgpt_evidence"], expression(cells)
    assert list(dict.fromkeys(evidence["group"])) == list(table.index)
    for name, rows in evidence.groupby("group"):
        inside = (cells.obs["louvain"] == name).to_numpy()
        genes = rows["gene"].to_numpy()
        np.testing.assert_allclose(rows["mean"], values.loc[inside, genes].mean(), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(rows["rest_mean"], values.loc[~inside, genes].mean(), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(rows["fraction"], (values.loc[inside, genes] > 0).mean(), atol=1e-6)
        assert set(rows.loc[rows["role"] == "for", "gene"]) >= set(symbols(table.loc[name, "genes_for"])) - set(
            rows.loc[rows["role"] == "state", "gene"]
        )
        assert (rows.loc[rows["role"] == "for", "share"] > 0).all()
        assert (rows.loc[rows["role"] == "against", "share"] < 0).all()
        assert (rows["profile"] > 0).sum() >= 5


def test_shares_are_those_of_the_exact_explanation(text_model: SCMMGPT, clusters: Clusters) -> None:
    cells = clusters.cells
    members = np.flatnonzero(cells.obs["louvain"] == "10")  # 13 cells
    trained, query = text_model._trained(), text_model._query(cells, None, None, None)
    parts = trained.parts(query, trained.candidates(list(LABELS), None))
    codes = np.full(len(members), LABELS.index("hematopoietic stem cell"))
    found = gene_shares(query, parts, trained.genes, members, codes)
    means = pd.Series(np.asarray(found.total.mean(axis=0)).ravel(), index=found.expression.genes)
    rows = cells.uns["scmmgpt_evidence"].query("group == '10'").set_index("gene")
    np.testing.assert_allclose(rows["share"], means[rows.index], rtol=1e-4, atol=1e-6)
    assert rows["share"].abs().max() > 0.1


def evidence_of(row: pd.Series) -> Evidence:
    """What a row of the table says may be named."""
    states = re.findall(r"(?:^|; )(.+?) \(\d+ %(?:: ([^)]*))?\)", row["states"])
    genes = [StatedGene(gene, "for", True, 1.0) for gene in symbols(row["genes_for"])]
    genes += [StatedGene(gene, "against", False, -1.0) for gene in re.findall(r"(\S+) \(", row["genes_against"])]
    return Evidence(
        name="one",
        is_cell=False,
        n_cells=int(row["n_cells"]),
        candidates=tuple((name, 0.5) for name in re.findall(r"(?:^|; )(.+?) \(\d\.\d\d\)", row["candidates"])),
        term=row["term"],
        path=tuple(row["path"].split(" > ")),
        definition=row["definition"],
        genes=tuple(genes),
        states=tuple(State(name, 0.5, 0.1, tuple(filter(None, of.split(", ")))) for name, of in states),
        unusual=(Oddity("any", row["unusual"]),),
    )


@pytest.mark.parametrize("groupby", ["louvain", None])
def test_no_sentence_names_what_the_evidence_lacks(
    text_model: SCMMGPT, clusters: Clusters, groupby: str | None
) -> None:
    cells, table = clusters
    if groupby is None:
        table = text_model.describe(cells, labels=list(LABELS)).iloc[::14]
    finder, ontology = GeneFinder(cells.var_names), cell_ontology()
    for name, row in table.iterrows():
        known = evidence_of(row)
        assert unsupported(row["description"], known, finder, ontology) == [], name
        # A second look, by words alone: symbols of the data that are neither in the evidence nor in names of types.
        text = row["description"]
        for phrase in sorted([*known.named_types, known.definition], key=len, reverse=True):
            text = text.replace(phrase, " ") if phrase else text
        named = set(re.findall(r"[A-Za-z0-9-]+", text)) & set(cells.var_names)
        assert named <= known.named_genes, name
        # What the check is worth: the same row refuses a gene and a type that it does not have.
        other = next(gene for gene in ("INS", "MS4A1", "CD3D") if gene not in known.named_genes)
        wrong = unsupported(f"{row['description']} It expresses {other}, like a hepatocyte.", known, finder, ontology)
        assert wrong == [other, "hepatocyte"], name


def test_tables_can_be_stored(clusters: Clusters, tmp_path: Path) -> None:
    cells, table = clusters
    cells.obs = cells.obs[["louvain"]]
    cells.write_h5ad(tmp_path / "cells.h5ad")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # anndata tells of another version of zarr
        cells.write_zarr(tmp_path / "cells.zarr")
    for read in (read_h5ad(tmp_path / "cells.h5ad"), read_zarr(tmp_path / "cells.zarr")):
        pd.testing.assert_frame_equal(
            read.uns["scmmgpt_descriptions"], table, check_index_type=False, check_dtype=False
        )
        evidence = read.uns["scmmgpt_evidence"]
        pd.testing.assert_frame_equal(evidence, cells.uns["scmmgpt_evidence"], check_dtype=False)


def test_cells_are_described_one_by_one(text_model: SCMMGPT, pbmc: AnnData) -> None:
    before = pbmc.copy()
    table = text_model.describe(pbmc, labels=list(LABELS), key_added="mine", refine="none")
    assert list(table.index) == list(pbmc.obs_names)
    assert pbmc.obs["mine_description"].tolist() == table["description"].tolist()
    assert set(pbmc.obs) - set(before.obs) == {"mine_description"}
    assert set(pbmc.uns) - set(before.uns) == {"scmpt"}  # the record of the model
    soft = text_model.predict(pbmc, soft=True, labels=list(LABELS), refine="none")
    assert (table["label"] == soft.idxmax(axis=1)).all()
    np.testing.assert_allclose(table["label_probability"], soft.max(axis=1))
    values = expression(pbmc)
    for name, row in table.iloc[::70].iterrows():
        rest = values.drop(index=name).mean()
        assert all(values.loc[name, gene] > rest[gene] for gene in symbols(row["genes_for"])), name
    assert np.mean([bool(genes) for genes in table["genes_for"]]) > 0.9


def test_ids_are_named_in_words(text_model: SCMMGPT, pbmc: AnnData) -> None:
    table = text_model.describe(pbmc, "louvain", labels=["CL:0000236", "CL_0000084", "monocyte"], refine="none")
    assert table.loc["4", "label"] == "B cell"
    assert not table["description"].str.contains("CL[:_]").any()
    candidates = text_model._trained().candidates(["CL:0000236", "T lymphocyte", "my type with LYZ"], None)
    assert shown_labels(candidates) == ["B cell", "T lymphocyte", "my type with LYZ"]
