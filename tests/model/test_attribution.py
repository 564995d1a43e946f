from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from anndata import AnnData
from scipy import sparse
from tests._adata import LABELS_KEY, snapshot
from tests._model import probabilities

from scmpt_scverse import SCMPT, encoders
from scmpt_scverse.module import FUSIONS
from scmpt_scverse.module._fusion_stacked import StackedFusion

KEY = "scmpt_attributions"


@pytest.fixture(scope="session")
def _fused(_embedded: AnnData) -> tuple[SCMPT, AnnData]:
    cells = _embedded.copy()
    SCMPT.setup_anndata(cells, LABELS_KEY)
    given = {"text": {"encoder": "minilm", "max_genes": 10}, "expression": {"encoder": "scgpt-mini", "max_length": 60}}
    model = SCMPT(cells, encoders=given, fusion="concat", n_hidden=64)
    model.train(max_epochs=10, plan_kwargs={"lr": 1e-3}, enable_progress_bar=False)
    model.annotate(cells)
    return model, cells


@pytest.fixture
def fused(_fused: tuple[SCMPT, AnnData]) -> tuple[SCMPT, AnnData]:
    return _fused


@pytest.fixture(scope="session")
def _ranked(_fused: tuple[SCMPT, AnnData]) -> AnnData:
    model, cells = _fused
    cells = cells.copy()
    model.rank_attributions(cells, n_cells_per_group=2, per_cell=True, progress=False)
    return cells


@pytest.fixture
def ranked(_ranked: AnnData) -> AnnData:
    return _ranked.copy()


def test_form_of_rank_genes_groups(ranked: AnnData, fused: tuple[SCMPT, AnnData]) -> None:
    record = ranked.uns[KEY]
    groups = record["names"].dtype.names
    assert set(groups) == set(ranked.obs["scmpt_prediction"].unique())
    for field in ("names", "scores", "logfoldchanges", "pvals", "pvals_adj"):
        assert record[field].dtype.names == groups
        assert len(record[field]) == ranked.n_vars
    table = sc.get.rank_genes_groups_df(ranked, groups[0], key=KEY)
    assert set(table["names"]) == set(ranked.var_names)
    assert table["scores"].is_monotonic_decreasing
    assert table["pvals"].between(0, 1).all()
    assert record["params"]["groupby"] == "scmpt_prediction"
    assert record["params"]["completeness_error"] < 0.05
    both = sum(record["by_modality"][modality][groups[0]] for modality in ("text", "expression"))
    np.testing.assert_allclose(both, record["scores"][groups[0]], atol=1e-5)


def test_scores_are_means_of_the_layer(ranked: AnnData) -> None:
    layer = ranked.layers[KEY]
    assert sparse.issparse(layer)
    explained = np.flatnonzero(np.diff(layer.indptr))
    assert len(explained) == sum(ranked.uns[KEY]["params"]["n_cells"])
    group = ranked.uns[KEY]["names"].dtype.names[0]
    cells = explained[(ranked.obs["scmpt_prediction"] == group).to_numpy()[explained]]
    mean = pd.Series(np.asarray(layer[cells].mean(axis=0)).ravel(), index=ranked.var_names)
    record = ranked.uns[KEY]
    np.testing.assert_allclose(record["scores"][group], mean[record["names"][group]], atol=1e-5)


@pytest.mark.parametrize(
    "kind", ["", "_dotplot", "_matrixplot", "_heatmap", "_violin", "_stacked_violin", "_tracksplot"]
)
@pytest.mark.filterwarnings("ignore")  # of scanpy and seaborn
def test_scanpy_draws_it(ranked: AnnData, kind: str) -> None:
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    options = {} if kind in {"", "_violin"} else {"dendrogram": False}
    getattr(sc.pl, f"rank_genes_groups{kind}")(ranked, key=KEY, n_genes=3, show=False, **options)
    plt.close("all")


def test_it_can_be_written(ranked: AnnData, tmp_path: "pytest.TempPathFactory") -> None:
    path = f"{tmp_path}/cells.h5ad"
    ranked.write_h5ad(path)
    restored = sc.read_h5ad(path)
    group = ranked.uns[KEY]["names"].dtype.names[0]
    assert list(restored.uns[KEY]["names"][group]) == list(ranked.uns[KEY]["names"][group])


def test_nothing_else_changes(fused: tuple[SCMPT, AnnData]) -> None:
    model, cells = fused
    cells = cells.copy()
    before = snapshot(cells)
    model.rank_attributions(cells, method="random", n_cells_per_group=1, progress=False)
    before["uns"] = sorted([*before["uns"], KEY])  # type: ignore[misc]
    assert snapshot(cells) == before


@pytest.mark.parametrize("method", ["integrated_gradients", "occlusion", "lime", "kernel_shap", "random"])
def test_one_cell(fused: tuple[SCMPT, AnnData], method: str) -> None:
    model, cells = fused
    options: dict[str, Any] = {"n_samples": 20} if method in {"lime", "kernel_shap"} else {}
    name = cells.obs_names[3]

    table = model.explain_cell(cells, name, method=method, **options)

    assert list(table.columns) == ["total", "text", "expression", "value"]
    assert len(table) == np.count_nonzero(cells[name].X.toarray())
    assert table["total"].is_monotonic_decreasing
    assert table.attrs["label"] == cells.obs["scmpt_prediction"].iloc[3]


@pytest.fixture(scope="session", params=FUSIONS.names())
def of_a_head(_embedded: AnnData, request: pytest.FixtureRequest) -> SCMPT:
    """Text, expression as scGPT reads it, and expression itself, by every head there is."""
    cells = _embedded.copy()
    SCMPT.setup_anndata(cells, LABELS_KEY)
    given = {
        "text": {"encoder": "minilm", "max_genes": 10},
        "expression": {"encoder": "scgpt-mini", "max_length": 60},
        "counts": {"encoder": "counts", "n_genes": 200},
    }
    model = SCMPT(cells, encoders=given, fusion=request.param, n_hidden=32)
    if request.param == "stacked":
        model.train()
    else:
        model.train(max_epochs=10, plan_kwargs={"lr": 1e-3}, enable_progress_bar=False)
    return model


def test_occlusion_is_what_a_prediction_without_the_gene_loses(of_a_head: SCMPT, pbmc: AnnData) -> None:
    model = of_a_head
    # Whole numbers are counts, with the gene and without it.
    cell = pbmc[[12]].copy()
    cell.X = np.expm1(cell.X.toarray()).round()
    table = model.explain_cell(cell, cell.obs_names[0], method="occlusion")
    gene = table.index[0]
    without = cell.copy()
    without.X[0, without.var_names.get_loc(gene)] = 0
    logits = []
    for data in (cell, without):
        model.embed(data, precision="float32", cache=False, progress=False)
        logits.append(np.log(probabilities(model, data)).iloc[0])
    label = table.attrs["label"]
    other = next(other for other in model.labels if other != label)
    # Log-probabilities are logits up to a constant of the cell, which differences between labels do not have.
    beside = model.explain_cell(cell, cell.obs_names[0], label=other, method="occlusion")
    change = logits[0] - logits[1]
    found = table.loc[gene, "total"] - beside.loc[gene, "total"]
    assert found == pytest.approx(change[label] - change[other], abs=1e-3)
    assert abs(found) > 0.01


def test_gradients_add_up_for_every_head(of_a_head: SCMPT, pbmc: AnnData) -> None:
    tables = [of_a_head.explain_cell(pbmc, name, n_steps=40) for name in pbmc.obs_names[[1, 12, 33]]]
    for table in tables:
        assert list(table.columns) == ["total", "text", "expression", "counts", "value"]
        assert table["total"].sum() == pytest.approx(table.attrs["difference"], rel=0.05, abs=0.02)
        assert of_a_head.modalities.expression is not None
        chosen = table.index.isin(of_a_head.modalities.expression.genes)
        assert chosen.any()
        assert not table.loc[~chosen, "counts"].any()
    assert any(table["counts"].any() for table in tables) == (_share(of_a_head, "counts") > 0)


def _share(model: SCMPT, modality: str) -> float:
    """The weight of a modality in a stacked head; other heads read all."""
    head = model.module.head
    return head.weights[model.modalities.names.index(modality)].item() if isinstance(head, StackedFusion) else 1.0


def test_values_of_a_linear_head_are_attributed_as_by_hand(pbmc: AnnData) -> None:
    SCMPT.setup_anndata(pbmc, LABELS_KEY)
    model = SCMPT(pbmc, encoders={"counts": "counts"}, fusion="stacked")
    model.train()
    # But for log-softmax the head is linear: contributions are weight times value over standard deviation.
    head, standardiser = model.module.head, model.module._standardiser("counts")
    assert isinstance(head, StackedFusion)
    weights = head.heads[0].get_parameter("weight").detach()
    cell = pbmc[[5]].copy()
    tables = {label: model.explain_cell(cell, cell.obs_names[0], label=label) for label in model.labels[:2]}
    # What log-softmax subtracts is the same for two labels, so their difference does not have it.
    found = tables[model.labels[0]]["total"] - tables[model.labels[1]]["total"].reindex(tables[model.labels[0]].index)
    assert model.modalities.expression is not None
    genes = model.modalities.expression.genes
    values = cell[:, genes].X.toarray()[0]
    per_unit = (weights[0] - weights[1]) / standardiser.std * standardiser.scale
    of_hand = pd.Series(head.weights.item() * per_unit[: len(genes)].numpy() * values, index=genes)
    is_clipped = np.abs((values - standardiser.mean[: len(genes)].numpy()) / standardiser.std[: len(genes)].numpy())
    inside = genes[(is_clipped < 10) & (values > 0)]
    assert len(inside) > 50
    np.testing.assert_allclose(found[inside], of_hand[inside], rtol=2e-3, atol=1e-4)


def test_arrays_of_the_user_are_held(trained: SCMPT, embedded: AnnData) -> None:
    table = trained.explain_cell(embedded, embedded.obs_names[0])
    assert list(table.columns) == ["total", "text", "value"]
    assert np.count_nonzero(table["total"]) <= 10
    assert table.attrs["completeness_error"] < 0.05


def test_groups_of_another_column_explain_the_predicted_label(trained: SCMPT, embedded: AnnData) -> None:
    embedded.obs["half"] = np.where(np.arange(embedded.n_obs) % 2, "odd", "even")
    trained.rank_attributions(embedded, groupby="half", n_cells_per_group=3, progress=False, key_added="mine")
    assert embedded.uns["mine"]["names"].dtype.names == ("even", "odd")
    assert np.isfinite(embedded.uns["mine"]["logfoldchanges"]["odd"]).any()


def test_refusals(trained: SCMPT, embedded: AnnData, pbmc: AnnData) -> None:
    with pytest.raises(ValueError, match="Unknown `method='shap'`"):
        trained.rank_attributions(embedded, method="shap")
    with pytest.raises(KeyError, match=r"No 'cluster' in `adata.obs`"):
        trained.rank_attributions(embedded, groupby="cluster")
    with pytest.raises(ValueError, match=r"No cell of `adata.obs\['bulk_labels'\]` is in the group 'T'"):
        trained.rank_attributions(embedded, groups=["T"])
    with pytest.raises(ValueError, match="does not know the label 'T'; it knows"):
        trained.explain_cell(embedded, embedded.obs_names[0], label="T")
    with pytest.raises(KeyError, match=r"No 'nobody' in `adata.obs_names`"):
        trained.explain_cell(embedded, "nobody")
    SCMPT.setup_anndata(pbmc, LABELS_KEY, obsm_keys={"expression": "X_pca"})
    model = SCMPT(pbmc, fusion="concat", n_hidden=8)
    with pytest.raises(RuntimeError, match="train"):
        model.rank_attributions()
    model.train(max_epochs=1, enable_progress_bar=False)
    with pytest.raises(ValueError, match="can be traced to genes"):
        model.rank_attributions()


@pytest.mark.filterwarnings("ignore:.*was made from organism 'human'")
def test_symbols_of_mouse(trained: SCMPT, fused: tuple[SCMPT, AnnData], embedded: AnnData) -> None:
    mouse = embedded.copy()
    mouse.var_names = mouse.var_names.str.capitalize()
    with pytest.warns(UserWarning, match="look like symbols of mouse"):
        trained.rank_attributions(mouse, method="random", n_cells_per_group=1, organism="native", progress=False)
    with pytest.raises(ValueError, match="match in upper case"):
        fused[0].rank_attributions(mouse, method="random", organism="native")
    with pytest.raises(ValueError, match='are of mouse genes, such as .*. Pass `organism="mouse"`'):
        fused[0].rank_attributions(mouse, method="random")


class _WithoutGradients(encoders.Encoder):
    """An encoder that only answers."""

    def __init__(self, encoder: encoders.Encoder) -> None:
        self._encoder = encoder
        self.name, self.modality, self.embedding_dim = encoder.name, encoder.modality, encoder.embedding_dim

    def known_genes(self, genes: Any) -> Any:
        return self._encoder.known_genes(genes)

    def prepare(self, expression: Any) -> Any:
        return self._encoder.prepare(expression)

    def encode(self, inputs: Any, **options: Any) -> Any:
        return self._encoder.encode(inputs, **options)

    def _compute_fingerprint(self) -> str:
        return self._encoder.fingerprint


def test_gradients_are_needed_only_where_they_are_used(saved: Path, embedded: AnnData) -> None:
    encoder = encoders.get("minilm", max_genes=10)
    trained = SCMPT.load(str(saved), adata=False, encoders={"text": _WithoutGradients(encoder)})
    name = embedded.obs_names[0]
    with pytest.raises(ValueError, match="needs gradients, which the encoder of the modality 'text' does not give"):
        trained.explain_cell(embedded, name)
    assert len(trained.explain_cell(embedded, name, method="occlusion"))
