"""Neighbours of a cell as a modality, and probabilities that give way to those of neighbours."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse
from sklearn.neighbors import NearestNeighbors
from tests._adata import LABELS_KEY

from scmpt_scverse import SCMPT, tl
from scmpt_scverse._storable import storable_names

GRAPH = "spatial_connectivities"


@pytest.fixture
def line() -> AnnData:
    """Five cells: 0 - 1 - 2 = 3 (weight 2), and one that is alone."""
    cells = AnnData(np.ones((5, 3), dtype=np.float32))
    weights = np.zeros((5, 5))
    for one, other, weight in ((0, 1, 1), (1, 2, 1), (2, 3, 2)):
        weights[one, other] = weights[other, one] = weight
    cells.obsp[GRAPH] = sparse.csr_matrix(weights)
    cells.obsm["X_own"] = np.array([[0.0, 1], [3, 0], [6, 0], [0, 9], [5, 5]], dtype=np.float32)
    return cells


def test_the_mean_of_neighbours_and_its_difference(line: AnnData) -> None:
    with pytest.warns(UserWarning, match="1 of 5 cells have no neighbours"):
        tl.embed_niche(line, "X_own")
    expected: list[list[float]] = [
        [3, 0, 3, -1],
        [3, 0.5, 0, 0.5],  # of (0, 1) and (6, 0)
        [1, 6, -5, 6],  # (3, 0) once and (0, 9) twice
        [6, 0, 6, -9],
        [5, 5, 0, 0],
    ]
    np.testing.assert_allclose(line.obsm["X_niche"], expected, atol=1e-6)
    assert line.obsm["X_niche"].dtype == np.float32


def test_hops_add_columns_and_a_cell_is_no_neighbour_of_its_own(line: AnnData) -> None:
    connected = line[:4].copy()
    tl.embed_niche(connected, "X_own")
    once = connected.obsm["X_niche"].copy()
    graph = connected.obsp[GRAPH].tolil()
    graph.setdiag(7)  # some tools store a loop
    connected.obsp[GRAPH] = graph.tocsr()
    tl.embed_niche(connected, "X_own", n_hops=2)
    np.testing.assert_allclose(connected.obsm["X_niche"][:, :4], once)
    # Two hops from 0: over 1, to 0 and 2 alike.
    np.testing.assert_allclose(connected.obsm["X_niche"][0, 4:6], [3, 0.5])


def test_neighbours_without_an_embedding_do_not_count(line: AnnData) -> None:
    cells = line[:4].copy()
    cells.obsm["X_own"][3] = np.nan
    tl.embed_niche(cells, "X_own")
    np.testing.assert_allclose(cells.obsm["X_niche"][2], [3, 0, -3, 0])
    assert np.isnan(cells.obsm["X_niche"][3]).all()


def test_the_order_of_cells_does_not_matter(line: AnnData) -> None:
    cells = line[:4].copy()
    tl.embed_niche(cells, "X_own")
    turned = cells[::-1].copy()
    tl.embed_niche(turned, "X_own")
    np.testing.assert_allclose(turned.obsm["X_niche"], cells.obsm["X_niche"][::-1])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"graph": "nearest"}, KeyError, "No graph 'nearest' in `adata.obsp`; found 'spatial_connectivities', 'dist"),
        ({"embedding": "X_none"}, KeyError, "Run `tl.embed` first"),
        ({"n_hops": 0}, ValueError, "n_hops"),
        ({"key_added": "X_own"}, ValueError, "X_own"),
        ({"graph": "distances"}, ValueError, "far cells weigh more"),
    ],
)
def test_what_is_missing_is_said(line: AnnData, change: dict[str, object], error: type, message: str) -> None:
    line.obsp["distances"] = line.obsp[GRAPH]
    before = line.copy()
    options = {"embedding": "X_own"} | change
    with pytest.raises(error, match=message):
        tl.embed_niche(line, options.pop("embedding"), **options)  # type: ignore[arg-type]
    assert line.uns == before.uns
    assert list(line.obsm) == list(before.obsm)


def test_what_is_read_is_not_overwritten(line: AnnData) -> None:
    line = line[:4].copy()
    tl.embed_niche(line, "X_own", graph=GRAPH)
    tl.embed_niche(line, "X_niche", graph=GRAPH, key_added="X_wider")
    with pytest.raises(ValueError, match=r"another place to write to than `adata.obsm\['X_niche'\]`, which is read"):
        tl.embed_niche(line, "X_niche", graph=GRAPH, key_added="X_niche")
    cells = annotated(line, [0.9, 0.8, 0.3, 0.6])
    cells.obs["known_prediction"] = "A"
    before = cells.copy()
    for options in ({"key_added": "scmpt"}, {"key_added": "known", "labels_key": "known_prediction"}):
        with pytest.raises(ValueError, match="which is read"):
            tl.smooth_probabilities(cells, graph=GRAPH, strength=1, **options)
    pd.testing.assert_frame_equal(cells.obs, before.obs)
    pd.testing.assert_frame_equal(cells.obsm["scmpt_probabilities"], before.obsm["scmpt_probabilities"])


def test_probabilities_are_a_table_that_names_the_labels(line: AnnData) -> None:
    cells = annotated(line, [0.9, 0.8, 0.3, 0.6])
    cells.obsm["scmpt_probabilities"] = cells.obsm["scmpt_probabilities"].to_numpy()
    for call in (lambda: tl.smooth_probabilities(cells, graph=GRAPH, strength=1), lambda: tl.back_off(cells)):
        with pytest.raises(TypeError, match="Expected a DataFrame with a column per label .* found numpy.ndarray"):
            call()


def test_coordinates_alone_are_no_graph(line: AnnData) -> None:
    line.obsm["spatial"] = np.zeros((5, 2))
    del line.obsp[GRAPH]
    with pytest.raises(KeyError, match="There are coordinates in 'spatial'"):
        tl.embed_niche(line, "X_own")


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf])
def test_weights_that_are_none(line: AnnData, weight: float) -> None:
    line.obsp[GRAPH][0, 1] = weight
    with pytest.raises(ValueError, match="finite and at least 0"):
        tl.embed_niche(line, "X_own")


def ring(cells: AnnData) -> None:
    """Every cell beside two others of its label, as in tissue of layers."""
    weights = sparse.lil_matrix((cells.n_obs, cells.n_obs))
    for rows in cells.obs.groupby(LABELS_KEY, observed=True).indices.values():
        for one, other in zip(rows, np.roll(rows, 1), strict=True):
            weights[one, other] = weights[other, one] = 1
    cells.obsp[GRAPH] = weights.tocsr()


def test_a_niche_is_fused_and_a_query_does_without(pbmc: AnnData) -> None:
    ring(pbmc)
    tl.embed_niche(pbmc, "X_pca")
    SCMPT.setup_anndata(pbmc, LABELS_KEY, obsm_keys={"own": "X_pca", "niche": "X_niche"})
    model = SCMPT(pbmc)
    model.train()
    model.annotate()
    assert list(pbmc.obsm["scmpt_contributions"].columns) == ["own", "niche"]
    # Here a neighbour is of the same label, so that it says more than the cell itself.
    assert pbmc.obsm["scmpt_contributions"]["niche"].mean() > 0.3
    alone = pbmc.copy()
    del alone.obsm["X_niche"]
    with pytest.warns(UserWarning, match="there is no `adata.obsm\\['X_niche'\\]`"):
        predicted = model.predict(alone)
    assert (predicted == pbmc.obs[LABELS_KEY].to_numpy()).mean() > 0.7
    other = pbmc.copy()
    tl.embed_niche(other, "X_pca", n_hops=2)
    other.obsm["X_niche"] = other.obsm["X_niche"][:, :100]
    with pytest.raises(ValueError, match="niche"):
        model.predict(other)


def annotated(line: AnnData, probabilities: list[float]) -> AnnData:
    cells = line[: len(probabilities)].copy()
    table = pd.DataFrame({"a": probabilities}, index=cells.obs_names)
    cells.obsm["scmpt_probabilities"] = table.assign(b=1 - table["a"])
    return cells


def test_smoothing_solves_its_equation(line: AnnData) -> None:
    cells = annotated(line, [0.9, 0.8, 0.3, 0.6])
    assert tl.smooth_probabilities(cells, strength=0.7) == 0.7
    weights = cells.obsp[GRAPH].toarray()
    laplacian = (np.diag(weights.sum(1)) - weights) / weights.sum(1).mean()
    before = cells.obsm["scmpt_probabilities"].to_numpy()
    after = cells.obsm["scmpt_smoothed_probabilities"].to_numpy()
    np.testing.assert_allclose((np.eye(4) + 0.7 * laplacian) @ after, before, atol=1e-5)
    np.testing.assert_allclose(after.sum(axis=1), 1)
    assert cells.obs["scmpt_smoothed_prediction"].tolist() == ["a", "a", "b", "a"]
    np.testing.assert_allclose(cells.obs["scmpt_smoothed_confidence"], after.max(axis=1))
    record = cells.uns["scmpt"]["smoothing"]["scmpt_smoothed"]
    assert record["share_changed"] == 0
    assert record["strength"] == 0.7
    tl.smooth_probabilities(cells, strength=0, key_added="same")
    np.testing.assert_allclose(cells.obsm["same_probabilities"], before)


def test_cells_without_probabilities_are_left_alone(line: AnnData) -> None:
    cells = annotated(line, [0.9, np.nan, 0.3, 0.6])
    tl.smooth_probabilities(cells, strength=1.0)
    after = cells.obsm["scmpt_smoothed_probabilities"]["a"]
    assert np.isnan(after.iloc[1])
    assert cells.obs["scmpt_smoothed_prediction"].isna().tolist() == [False, True, False, False]
    np.testing.assert_allclose(after.iloc[0], 0.9, atol=1e-6)  # its only neighbour is not there
    assert 0.3 < after.iloc[2] < after.iloc[3] < 0.6


def test_the_strength_is_fitted_on_known_labels(pbmc: AnnData) -> None:
    rng = np.random.default_rng(0)
    truth = pd.get_dummies(pbmc.obs[LABELS_KEY]).astype(float)
    noisy = 0.3 * truth + 0.7 * rng.dirichlet(np.ones(truth.shape[1]), len(truth))
    pbmc.obsm["scmpt_probabilities"] = pd.DataFrame(noisy, index=pbmc.obs_names, columns=list(truth.columns))
    known = pbmc.obs[LABELS_KEY].astype(object)
    known[350:] = None
    pbmc.obs["known"] = known
    ring(pbmc)
    assert tl.smooth_probabilities(pbmc, labels_key="known") > 0
    hits = {
        key: (pbmc.obsm[f"{key}_probabilities"].idxmax(axis=1) == pbmc.obs[LABELS_KEY])[350:].mean()
        for key in ("scmpt", "scmpt_smoothed")
    }
    assert hits["scmpt_smoothed"] > hits["scmpt"] + 0.02
    shuffled = pbmc.obsp[GRAPH][rng.permutation(700)][:, rng.permutation(700)]
    pbmc.obsp[GRAPH] = shuffled
    assert tl.smooth_probabilities(pbmc, labels_key="known") < 0.5, "neighbours that say nothing are hardly asked"


def test_smoothed_labels_are_those_of_the_cells_not_the_names_of_columns(line: AnnData) -> None:
    """Columns of a file have no slash. One of both is a label of its own here, and one is of a known cell alone."""
    cells = line[:4].copy()
    labels = ["B/plasma", "B|plasma", "T/NK"]
    likely = np.array([[0.5, 0.1, 0.4], [0.7, 0.2, 0.1], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1]])
    columns = storable_names(labels, None)
    cells.obsm["scmpt_probabilities"] = pd.DataFrame(likely, index=cells.obs_names, columns=columns)
    cells.obs["scmpt_prediction"] = pd.Categorical(["B/plasma", "B/plasma", "B|plasma", "B|plasma"])
    tl.smooth_probabilities(cells, strength=0.1)
    assert cells.obs["scmpt_smoothed_prediction"].tolist() == ["B/plasma", "B/plasma", "B|plasma", "B|plasma"]
    assert list(cells.obsm["scmpt_smoothed_probabilities"]) == columns

    cells.obs["known"] = ["T/NK", None, None, None]
    # Its neighbour makes the known label no more probable: without it, no cell would be known.
    assert tl.smooth_probabilities(cells, labels_key="known") == 0


def test_known_labels_of_cells_without_probabilities_fit_nothing(line: AnnData) -> None:
    cells = annotated(line, [0.9, np.nan, 0.3, 0.6])
    cells.obs["known"] = pd.Series([None, "a", None, None], cells.obs_names, dtype=object)
    with pytest.raises(ValueError, match="No cell with probabilities has a label that the model knows"):
        tl.smooth_probabilities(cells, labels_key="known")


def test_a_graph_too_uneven_to_solve_is_said() -> None:
    rng = np.random.default_rng(0)
    cells = AnnData(np.ones((300, 1), dtype=np.float32))
    weights = 10.0 ** rng.uniform(-3, 3, 299)  # of a chain
    cells.obsp[GRAPH] = sparse.diags([weights, weights], [-1, 1]).tocsr()
    first = rng.uniform(size=300)
    cells.obsm["scmpt_probabilities"] = pd.DataFrame({"A": first, "B": 1 - first}, index=cells.obs_names)
    with pytest.raises(ValueError, match="did not converge"):
        tl.smooth_probabilities(cells, strength=1e6)
    assert not [name for name in cells.obs if "smoothed" in name]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, ValueError, "needs known labels"),
        ({"labels_key": "none"}, KeyError, "none"),
        ({"strength": -1}, ValueError, "at least 0; found -1"),
        ({"strength": "high"}, ValueError, "'high'"),
        ({"strength": True}, ValueError, "True"),
        ({"strength": np.nan}, ValueError, "nan"),
        ({"strength": 1, "key": "other"}, KeyError, "Run `model.annotate"),
        ({"labels_key": "wrong"}, ValueError, "has a label that the model knows"),
    ],
)
def test_smoothing_refuses(line: AnnData, options: dict[str, object], error: type, message: str) -> None:
    cells = annotated(line, [0.9, 0.8, 0.3, 0.6])
    cells.obs["wrong"] = "c"
    with pytest.raises(error, match=message):
        tl.smooth_probabilities(cells, **options)  # type: ignore[arg-type]
    assert "scmpt_smoothed_probabilities" not in cells.obsm


def test_a_graph_of_cells_in_another_order_is_told_by_their_places(pbmc: AnnData) -> None:
    pbmc.obsm["spatial"] = np.random.default_rng(0).random((pbmc.n_obs, 2))
    nearest = NearestNeighbors(n_neighbors=6).fit(pbmc.obsm["spatial"]).kneighbors_graph(mode="connectivity")
    pbmc.obsp[GRAPH] = nearest
    tl.embed_niche(pbmc, "X_pca")
    pbmc.obsp[GRAPH] = nearest[::-1]
    with pytest.warns(UserWarning, match="no nearer to each other.*another order"):
        tl.embed_niche(pbmc, "X_pca")


def test_coordinates_that_are_no_numbers_are_not_compared(pbmc: AnnData) -> None:
    places = np.random.default_rng(0).random((pbmc.n_obs, 2))
    pbmc.obsp[GRAPH] = NearestNeighbors(n_neighbors=6).fit(places).kneighbors_graph(mode="connectivity")
    pbmc.obsm["spatial"] = pd.DataFrame({"x": places[:, 0], "slide": "A1"}, index=pbmc.obs_names)
    tl.embed_niche(pbmc, "X_pca")
    assert np.isfinite(pbmc.obsm["X_niche"]).all()
