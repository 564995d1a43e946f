"""Measures of pseudo-cells on examples whose answer is known."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.spatial.distance import cdist
from scipy.stats import ttest_ind
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler

from scmpt_scverse.metrics import generation_metrics
from scmpt_scverse.metrics._generation_genes import LabelMoments
from scmpt_scverse.metrics._generation_places import energy_distance, mean_discrepancy

LABELS = np.repeat(["a", "b", "c"], 80)
#: Genes of each label, in order, three times as many as there are labels.
N_GENES = 90


def cells(seed: int, *, shift: float = 3.0, noise: float = 1.0, labels: np.ndarray = LABELS) -> np.ndarray:
    """Cells of three labels, each with thirty genes that are higher in it."""
    rng = np.random.default_rng(seed)
    values = noise * rng.normal(size=(len(labels), N_GENES))
    for number, name in enumerate("abc"):
        values[np.ix_(labels == name, np.arange(30 * number, 30 * number + 30))] += shift
    return values


def measured(generated: np.ndarray, labels: np.ndarray = LABELS, **options: object) -> pd.DataFrame:
    given = {"real": cells(0), "n_permutations": 40, "ks": (5, 10), "fitted_on": cells(9)} | options
    return generation_metrics(generated=generated, labels=(LABELS, labels), **given)  # type: ignore[arg-type]


def test_cells_of_the_same_distribution_are_as_good_as_real_ones() -> None:
    table = measured(cells(1))
    assert list(table.index) == ["a", "b", "c", "mean"]
    mean = table.loc["mean"]
    assert mean["knn_5"] == mean["knn_10"] == mean["self_knn"] == 1
    assert abs(mean["energy_distance"]) < 0.1
    assert abs(mean["mmd"]) < 0.01
    assert table["mmd_p"].iloc[:3].min() > 0.02
    assert mean["diversity_ratio"] == pytest.approx(1, abs=0.03)
    assert mean["discriminator_auc"] == pytest.approx(0.5, abs=0.12)
    assert mean["marker_auroc"] > 0.75  # thirty of the fifty are markers
    assert list(table["n_cells"]) == [80, 80, 80, 240]


def test_cells_of_other_labels_are_of_no_neighbour() -> None:
    turned = np.roll(LABELS, 80)
    table = measured(cells(1), turned)
    assert table.loc["mean", "knn_10"] == 0
    assert table.loc["mean", "self_knn"] == 1  # they are apart from each other all the same
    assert table.loc["mean", "energy_distance"] > 5
    assert table["mmd_p"].max() == pytest.approx(1 / 41)
    assert table.loc["mean", "marker_auroc"] < 0.5


def test_the_mean_cell_has_neighbours_but_no_diversity() -> None:
    means = np.repeat([cells(1)[name == LABELS].mean(axis=0) for name in "abc"], 80, axis=0)
    mean = measured(means + 1e-3 * cells(2, shift=0)).loc["mean"]
    assert mean["knn_10"] == 1
    assert mean["diversity_ratio"] < 0.01
    assert mean["discriminator_auc"] > 0.95
    assert mean["energy_distance"] > 2


def test_scale_of_differences_does_not_change_their_correlation_but_their_sign_does() -> None:
    real = np.zeros((6, 4)) + np.random.default_rng(0).normal(scale=1e-3, size=(6, 4))
    real[:3, 0], real[:3, 1], real[:3, 2] = 1, 2, 3
    labels = np.repeat(["a", "b"], 3)
    columns = {"a": [0, 1, 2], "b": [0, 1, 2]}
    for generated, expected in ((0.5 * real, 1.0), (-real, -1.0)):
        table = generation_metrics(real, generated, (labels, labels), markers=columns, ks=(2,), n_permutations=5)
        assert table.loc["mean", "lfc_correlation"] == pytest.approx(expected, abs=1e-3)
    by_hand = generation_metrics(real, real[:3], (labels, labels[:3]), markers=columns, ks=(2,), n_permutations=5)
    assert by_hand.loc["a", "lfc_correlation"] == pytest.approx(1)  # the others are real ones, where none is generated
    assert by_hand.loc["a", "marker_auroc"] == 1


def test_energy_distance_of_four_points_by_hand() -> None:
    x, y = np.array([[0.0], [2.0]]), np.array([[1.0], [5.0]])
    # Between: 1, 5, 1, 3, mean 2.5; within: 2 and 4.
    assert energy_distance(x, y) == pytest.approx(2 * 2.5 - 2 - 4)


def test_mean_discrepancy_of_four_points_by_hand() -> None:
    x, y = np.array([[0.0], [2.0]]), np.array([[1.0], [5.0]])
    widths = np.array([0.25, 0.5, 1, 2, 4]) * 2

    def kernel(distance: float) -> float:
        return float(np.exp(-(distance**2) / (2 * widths**2)).mean())

    expected = kernel(2) + kernel(4) - 2 * np.mean([kernel(1), kernel(5), kernel(1), kernel(3)])
    found, p_value = mean_discrepancy(x, y, 200, np.random.default_rng(0))
    assert found == pytest.approx(expected)
    assert 0 < p_value <= 1


def test_sparse_order_and_seed() -> None:
    generated = cells(1, shift=1.0)
    expected = measured(generated)
    pd.testing.assert_frame_equal(measured(sparse.csr_matrix(generated)), expected)
    pd.testing.assert_frame_equal(measured(generated), expected)
    order = np.random.default_rng(0).permutation(len(LABELS))
    exact = [name for name in expected if name not in {"mmd_p", "discriminator_auc"}]
    pd.testing.assert_frame_equal(measured(generated[order], LABELS[order])[exact], expected[exact], rtol=1e-5)


def test_components_of_the_real_cells_themselves_show_more_of_their_spread() -> None:
    fair, biased = (measured(cells(1), fitted_on=each).loc["mean"] for each in (cells(9), None))
    assert fair["discriminator_auc"] < 0.62 < biased["discriminator_auc"]
    assert fair["energy_distance"] < biased["energy_distance"]


@pytest.mark.slow  # its import compiles
def test_umap_is_fitted_on_real_cells() -> None:
    table = measured(cells(1), projection="umap", n_permutations=2, max_cells=30)
    assert table.loc["mean", "knn_10"] > 0.95


def test_what_too_few_cells_do_not_allow_is_missing() -> None:
    labels = np.array(["a", "a", "b"])
    table = generation_metrics(cells(0)[[0, 1, 100]], cells(1)[[0, 100]], (labels, labels[1:]), ks=(1, 50))
    assert table["knn_50"].isna().all()
    assert table["discriminator_auc"].isna().all()
    assert table["energy_distance"].isna().all()
    assert table.loc["a", "knn_1"] == 1


def test_fewer_genes_than_markers_leave_one_to_compare_with() -> None:
    some = [0, 1, 30, 31, 60, 61]
    table = measured(cells(1)[:, some], fitted_on=cells(9)[:, some], real=cells(0)[:, some])
    assert table["marker_auroc"].between(0, 1).all()


def test_moments_of_the_other_labels_are_those_of_their_cells() -> None:
    values, labels = cells(0) + 5, LABELS
    mean, variance, n = LabelMoments.of(values, labels).rest("a")  # type: ignore[misc]
    others = values[labels != "a"]
    np.testing.assert_allclose(mean, others.mean(axis=0))
    np.testing.assert_allclose(variance, others.var(axis=0), rtol=0.02)  # it weighs labels, not single cells
    assert n == len(others)


def test_wrong_input_is_named() -> None:
    with pytest.raises(ValueError, match="Expected the same genes in `real` and `generated`; found 90 and 89"):
        measured(cells(1)[:, 1:])
    with pytest.raises(ValueError, match="Expected the same genes in `fitted_on` as in `real`; found 88 and 90"):
        measured(cells(1), fitted_on=cells(9)[:, 2:])
    with pytest.raises(ValueError, match="Expected labels that real and generated cells share"):
        measured(cells(1), np.full(240, "d"))
    with pytest.raises(ValueError, match="Expected a label for each of 240 cells of `generated`; found 3"):
        measured(cells(1), LABELS[:3])
    with pytest.raises(ValueError, match="labels of `real` and labels of `generated` in `labels`; found 240 things"):
        generation_metrics(cells(0), cells(1), LABELS)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="NaN or infinite"):
        measured(np.full((240, N_GENES), np.nan))
    with pytest.raises(ValueError, match="found none"):
        measured(np.empty((0, N_GENES)), LABELS[:0])
    with pytest.raises(ValueError, match="Unknown `projection='tsne'`"):
        measured(cells(1), projection="tsne")
    with pytest.raises(ValueError, match="`ks` must be a whole number of at least 1; found 0"):
        measured(cells(1), ks=(0,))


def test_every_measure_by_its_definition() -> None:
    rng = np.random.default_rng(3)
    sizes = {"a": (24, 19), "b": (31, 22), "c": (17, 26)}
    labels, made_labels = (np.repeat(list(sizes), [each[side] for each in sizes.values()]) for side in (0, 1))
    real, made = cells(4, labels=labels, shift=1), cells(5, labels=made_labels, shift=0.7)
    training = rng.normal(size=(60, N_GENES)) + real.mean(axis=0)
    table = generation_metrics(
        real, made, (labels, made_labels), fitted_on=training, n_components=6, n_permutations=30, seed=2
    )
    assert [name for name in table if name.startswith("knn")] == ["knn_5", "knn_10", "knn_25", "knn_50"]

    components = PCA(6, random_state=0, svd_solver="full").fit(training)
    here, there = components.transform(real), components.transform(made)
    to_real, to_made = cdist(there, here), cdist(there, there)
    np.fill_diagonal(to_made, np.inf)
    own = made_labels[np.argsort(to_made, axis=1)[:, :10]] == made_labels[:, None]
    for k in (5, 10, 25, 50):
        nearest = labels[np.argsort(to_real, axis=1)[:, :k]]
        voted = np.array([max("abc", key=list(row).count) for row in nearest])
        for name in sizes:
            assert table.loc[name, f"knn_{k}"] == pytest.approx(np.mean(voted[made_labels == name] == name))
    for name in sizes:
        x, y, row = here[labels == name], there[made_labels == name], table.loc[name]
        n, m = sizes[name]
        assert row["n_cells"] == m
        assert row["self_knn"] == pytest.approx(own[made_labels == name].mean())
        within = [cdist(each, each).sum() / (len(each) * (len(each) - 1)) for each in (x, y)]
        assert row["energy_distance"] == pytest.approx(2 * cdist(x, y).mean() - sum(within), abs=1e-4)
        spreads = [
            cdist(each, each).sum() / (len(each) * (len(each) - 1))
            for each in (made[made_labels == name], real[labels == name])
        ]
        assert row["diversity_ratio"] == pytest.approx(spreads[0] / spreads[1], rel=1e-4)

        both, is_made = np.vstack([x, y]), np.repeat([0, 1], [n, m])
        features = np.hstack([both, (both - both.mean(axis=0)) ** 2])
        told = np.zeros(n + m)
        for fit, test in StratifiedKFold(5, shuffle=True, random_state=2).split(features, is_made):
            scaler = StandardScaler().fit(features[fit])
            model = LogisticRegression(C=0.1, max_iter=1000).fit(scaler.transform(features[fit]), is_made[fit])
            told[test] = model.decision_function(scaler.transform(features[test]))
        assert row["discriminator_auc"] == pytest.approx(roc_auc_score(is_made, told), abs=0.01)

        differences, statistics = [], []
        for values, names in ((real, labels), (made, made_labels)):
            ours, others = values[names == name], values[names != name]
            differences.append(ours.mean(axis=0) - others.mean(axis=0))
            statistics.append(ttest_ind(ours, others, equal_var=False).statistic)
        top, made_top = (set(np.argsort(-each)[:50]) for each in statistics)
        chosen = np.isin(np.arange(N_GENES), list(top))
        expected = np.corrcoef(differences[0][chosen], differences[1][chosen])[0, 1]
        # Variances of the other labels are averaged over labels, so genes on the edge of the fifty may change places.
        assert row["lfc_correlation"] == pytest.approx(expected, abs=0.03)
        assert row["de_recovery"] == pytest.approx(len(top & made_top) / 50, abs=0.041)
        assert row["marker_auroc"] == pytest.approx(roc_auc_score(chosen, differences[1]), abs=0.03)
    measures = [name for name in table if name != "n_cells"]
    np.testing.assert_allclose(table.loc["mean", measures], table.loc[list(sizes), measures].mean())


def test_cells_are_drawn_once_each() -> None:
    corners = np.eye(8)  # any two are as far apart as any others
    labels = np.repeat(["a"], 8)
    for seed in range(5):
        table = generation_metrics(
            corners, 2 * corners, (labels, labels), max_cells=5, ks=(1,), n_permutations=2, seed=seed
        )
        assert table.loc["a", "diversity_ratio"] == pytest.approx(2)


def test_a_label_of_one_cell_varies_by_nothing() -> None:
    values = np.array([[1.0, 2.0], [3.0, 5.0], [5.0, 9.0]])
    moments = LabelMoments.of(values, np.array(["a", "b", "b"]))
    np.testing.assert_allclose(moments.variances, [[0, 0], [2, 8]])
    assert moments.sizes.tolist() == [1, 2]


@pytest.mark.filterwarnings("error")
def test_where_differences_do_not_vary_they_have_no_correlation() -> None:
    labels = np.repeat(["a", "b"], 3)
    varied = np.random.default_rng(0).normal(size=(6, 5))
    even = np.repeat([[1.0], [2.0]], 3, axis=0) * np.ones(5)
    for real, generated in ((varied, even), (even, varied), (varied[:, :3], varied[:, :3])):
        table = generation_metrics(
            real, generated, (labels, labels), markers={"a": [0, 1], "b": range(3)}, ks=(2,), n_permutations=2
        )
        assert np.isnan(table.loc["a", "lfc_correlation"])
        assert np.isnan(table.loc["b", "lfc_correlation"]) == (even is real or even is generated)


def test_a_single_pseudo_cell_has_no_neighbours_among_its_like() -> None:
    table = generation_metrics(cells(0), cells(1)[:1], (LABELS, LABELS[:1]), ks=(3,), n_permutations=2)
    assert np.isnan(table.loc["a", "self_knn"])
    assert table.loc["a", "knn_3"] == 1
