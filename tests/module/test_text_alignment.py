import contextlib
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests._zero_shot import TYPES, WordEncoder

from scmpt_scverse._loading_bar import no_lightning_notices
from scmpt_scverse.module import (
    LabelledStudy,
    Scale,
    Standardisation,
    TextAlignment,
    TowerOptions,
    TrainingRun,
    ridge_weights,
    unit_profiles,
)

SMALL = TowerOptions(n_hidden=32, n_axes=8, n_steps=60, types_per_step=8, lr=5e-3)


@pytest.fixture(scope="module")
def texts() -> np.ndarray:
    """Two wordings of eight types."""
    encode = WordEncoder().encode_texts
    return np.stack([encode(TYPES), encode([f"{name}, a kind of cell" for name in TYPES])], axis=1)


@pytest.fixture(scope="module")
def markers() -> np.ndarray:
    """Each type has ten genes of its own."""
    return np.kron(np.eye(8), np.ones(10)).astype(np.float32)


@pytest.fixture(scope="module")
def alignment(texts: np.ndarray, markers: np.ndarray) -> TextAlignment:
    return TextAlignment.fit(texts, markers, (), SMALL, run=TrainingRun("cpu"))


def test_the_tower_writes_the_markers_of_a_text(alignment: TextAlignment, markers: np.ndarray) -> None:
    written = unit_profiles(alignment.written(alignment.type_texts), np.ones(80, dtype=bool))
    similarity = written @ unit_profiles(markers, np.ones(80, dtype=bool)).T
    np.testing.assert_array_equal(similarity.argmax(axis=1), np.arange(8))
    assert np.diag(similarity).min() > 0.8


def test_cells_teach_what_no_marker_says(texts: np.ndarray, markers: np.ndarray) -> None:
    """The last type has no markers, only labelled cells, which express genes 70 to 79."""
    without = markers.copy()
    without[7] = 0
    rng = np.random.default_rng(0)
    values = rng.normal(0, 0.3, (60, 80)).astype(np.float32)
    codes = np.repeat([0, 1], 30)
    values[:30, :10] += 1
    values[30:, 70:] += 1
    study = LabelledStudy(values, np.arange(80), codes, np.array([0, 7]))
    share = {}
    for name, studies in {"without cells": (), "with cells": (study,)}.items():
        fit = TextAlignment.fit(texts, without, studies, SMALL, run=TrainingRun("cpu"))
        profile = fit.written(fit.type_texts)[7]
        share[name] = profile[70:].mean() - profile[:70].mean()
    assert share["with cells"] > share["without cells"] + 0.05


def test_the_same_seed_gives_the_same_tower(texts: np.ndarray, markers: np.ndarray, alignment: TextAlignment) -> None:
    state = torch.get_rng_state()
    again = TextAlignment.fit(texts, markers, (), SMALL, run=TrainingRun("cpu"))
    assert torch.equal(state, torch.get_rng_state())  # of the user
    for name, values in alignment.arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], values, err_msg=name)
    other = TextAlignment.fit(texts, markers, (), TowerOptions(**{**vars(SMALL), "seed": 1}), run=TrainingRun("cpu"))
    assert not np.allclose(other.written(other.type_texts), alignment.written(alignment.type_texts))


def test_parts_weigh_the_same_and_others_take_the_place_of_a_missing_one(alignment: TextAlignment) -> None:
    scaled = TextAlignment(
        alignment.center,
        alignment.tower,
        alignment.axes,
        alignment.type_texts,
        alignment.type_markers,
        Scale(tower=0.5, ridge=0.2, markers=0.25),
    )
    used = np.ones(80, dtype=bool)
    used[75:] = False
    known = np.eye(2, 80)
    known[1] = 0
    profiles = scaled.profiles(alignment.type_texts[:2], known, used)
    written = unit_profiles(alignment.written(alignment.type_texts[:2]), used)
    guessed = unit_profiles(alignment.guessed(alignment.type_texts[:2]), used)
    np.testing.assert_allclose(profiles[0], written[0] / 0.5 + guessed[0] / 0.2 + known[0] / 0.25)
    np.testing.assert_allclose(profiles[1], np.sqrt(3 / 2) * (written[1] / 0.5 + guessed[1] / 0.2))
    assert not profiles[:, 75:].any()


def test_arrays_round_trip(alignment: TextAlignment) -> None:
    alignment = replace(alignment, background=Standardisation(np.arange(80.0), np.full(80, 0.5)))
    again = TextAlignment.from_arrays(alignment.arrays())
    for name, values in alignment.arrays().items():
        np.testing.assert_allclose(again.arrays()[name], values, rtol=1e-6, err_msg=name)
    np.testing.assert_array_equal(again.written(alignment.type_texts), alignment.written(alignment.type_texts))
    np.testing.assert_allclose(list(vars(again.scale).values()), list(vars(alignment.scale).values()), rtol=1e-6)


def test_ridge_weights_solve_the_normal_equations(texts: np.ndarray, markers: np.ndarray) -> None:
    centred = texts[:, 0] - texts[:, 0].mean(axis=0)
    weights = ridge_weights(centred, markers, penalty=0.3)
    gram = centred.T @ centred + 0.3 * np.eye(centred.shape[1])
    np.testing.assert_allclose(gram @ weights, centred.T @ markers, atol=1e-4)


def test_a_row_of_zeros_is_a_text_that_says_nothing(alignment: TextAlignment, markers: np.ndarray) -> None:
    used = np.ones(80, dtype=bool)
    texts = alignment.type_texts[:2].copy()
    texts[1] = 0
    parts = alignment.parts(texts, markers[:2], used)
    np.testing.assert_allclose(sum(parts.values()), alignment.profiles(texts, markers[:2], used))
    assert all(part[0].any() for part in parts.values())
    assert [name for name, part in parts.items() if part[1].any()] == ["markers"]
    np.testing.assert_allclose(np.linalg.norm(parts["markers"][1]), np.sqrt(3) / alignment.scale.markers)


def test_the_ridge_guesses_the_markers_of_types_from_their_texts(alignment: TextAlignment) -> None:
    lengths = np.linspace(0.5, 3, len(alignment.type_markers))[:, None]  # which do not count
    alignment = replace(alignment, type_markers=alignment.type_markers * lengths)
    known = alignment.type_markers @ alignment.axes.T
    unit = known / np.linalg.norm(known, axis=1, keepdims=True)
    expected = alignment.type_texts @ ridge_weights(alignment.type_texts, unit)
    np.testing.assert_allclose(alignment.guessed(alignment.type_texts), expected, atol=1e-5)


def test_lightning_says_nothing_and_keeps_its_level(
    texts: np.ndarray,
    markers: np.ndarray,
    alignment: TextAlignment,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert len(alignment.losses) == SMALL.n_steps
    assert alignment.losses[-10:].mean() < alignment.losses[:10].mean()
    logger = logging.getLogger("lightning.pytorch")
    monkeypatch.setattr(logger, "disabled", False)  # whoever configures logging in a test before may have done it
    logger.addHandler(caplog.handler)  # it may not propagate
    try:
        with caplog.at_level(logging.INFO, logger="lightning.pytorch"):
            with no_lightning_notices():
                logger.info("a notice")
                logger.warning("a warning")
            with contextlib.suppress(KeyError), no_lightning_notices():
                raise KeyError
            TextAlignment.fit(texts, markers, (), SMALL, run=TrainingRun("cpu"))
            assert logger.level == logging.INFO
    finally:
        logger.removeHandler(caplog.handler)
    assert "a warning" in caplog.text
    assert "a notice" not in caplog.text
    assert "GPU" not in caplog.text


def test_files_without_losses_and_background_are_opened_as_well(alignment: TextAlignment) -> None:
    arrays = {name: values for name, values in alignment.arrays().items() if name != "losses"}
    opened = TextAlignment.from_arrays({name: values.astype(np.float16) for name, values in arrays.items()})
    assert opened.background is None
    assert len(opened.losses) == 0
    assert not opened.tower.training
    assert {values.dtype for name, values in opened.arrays().items() if "scale" not in name} == {np.dtype(np.float32)}
    np.testing.assert_allclose(opened.written(opened.type_texts), alignment.written(alignment.type_texts), atol=0.01)
    used = np.ones(80, dtype=bool)
    written = unit_profiles(alignment.written(alignment.type_texts), used)
    parts = alignment.parts(alignment.type_texts, np.zeros((8, 80)), used)
    # Before studies say how large the parts are, each counts tenfold; two of three are there.
    np.testing.assert_allclose(parts["tower"], 10 * np.sqrt(3 / 2) * written, rtol=1e-6)
    defaults = Scale()
    assert (defaults.raw, defaults.smoothed, defaults.refined) == (1, 1, 1)


def test_texts_are_centred_and_markers_kept_on_axes(
    alignment: TextAlignment, texts: np.ndarray, markers: np.ndarray
) -> None:
    np.testing.assert_allclose(alignment.center, texts.mean(axis=(0, 1)), atol=1e-6)
    np.testing.assert_allclose(alignment.type_texts, texts.mean(axis=1) - alignment.center, atol=1e-6)
    unit = markers / np.linalg.norm(markers, axis=1, keepdims=True)
    np.testing.assert_allclose(alignment.type_markers @ alignment.axes.T, unit, atol=1e-5)
    assert alignment.axes.shape == (80, 8)


def test_profiles_are_of_length_one_where_they_are_used() -> None:
    profiles = np.array([[3.0, 4.0, 12.0], [0.0, 0.0, 5.0]])
    found = unit_profiles(profiles, np.array([True, True, False]))
    np.testing.assert_allclose(found, np.array([[0.6, 0.8, 0.0], [0.0, 0.0, 0.0]]))


def test_a_penalty_of_one_is_the_default() -> None:
    texts, profiles = np.array([[1.0], [-1.0]]), np.array([[2.0], [-2.0]])
    np.testing.assert_allclose(ridge_weights(texts, profiles), np.array([[4 / 3]]))  # 2 * 2 / (1 + 1 + penalty)
