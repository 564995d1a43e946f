import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from anndata import AnnData

from scmpt_scverse.encoders import ScGPTEncoder
from scmpt_scverse.pp._expression import ExpressionReader


def embed(encoder: ScGPTEncoder, cells: AnnData) -> np.ndarray[Any, Any]:
    expression = ExpressionReader(cells).rows(0, cells.n_obs)
    return encoder.encode(encoder.prepare(expression), precision="float32", device="cpu")


@pytest.fixture
def encoder(scgpt_folder: Path) -> ScGPTEncoder:
    return ScGPTEncoder(scgpt_folder)


@pytest.fixture
def cells(pbmc: AnnData) -> AnnData:
    return pbmc[:20].copy()


def test_the_seed_decides_the_embedding(encoder: ScGPTEncoder, cells: AnnData) -> None:
    torch.manual_seed(7)
    state = torch.get_rng_state()
    embeddings = embed(encoder.with_random_weights(3), cells)

    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)
    torch.manual_seed(8)
    np.testing.assert_array_equal(embed(encoder.with_random_weights(3), cells), embeddings)
    for other in (encoder.with_random_weights(4), encoder):
        assert np.abs(embed(other, cells) - embeddings).max() > 0.01


def test_it_says_what_it_is(encoder: ScGPTEncoder) -> None:
    trained = encoder.fingerprint  # asked for first: it is kept, and must not be handed on

    others = [encoder.with_random_weights(seed) for seed in (3, 4)]

    assert others[0].name == "scgpt-small-random-3"
    assert others[0].vocabulary == encoder.vocabulary
    assert len({trained, *(other.fingerprint for other in others)}) == 3
    assert others[0].fingerprint == encoder.with_random_weights(3).fingerprint


def test_the_encoder_itself_stays_as_it_is(encoder: ScGPTEncoder, cells: AnnData) -> None:
    name, fingerprint, embeddings = encoder.name, encoder.fingerprint, embed(encoder, cells)

    random = embed(encoder.with_random_weights(3), cells)

    assert np.abs(random - embeddings).max() > 0.01  # though the trained network was in memory
    assert (encoder.name, encoder.fingerprint) == (name, fingerprint)
    np.testing.assert_array_equal(embed(encoder, cells), embeddings)


def test_a_pickled_copy_is_the_same(encoder: ScGPTEncoder, cells: AnnData) -> None:
    random = encoder.with_random_weights(3)
    embeddings = embed(random, cells)

    copy = pickle.loads(pickle.dumps(random))

    assert copy.fingerprint == random.fingerprint
    np.testing.assert_array_equal(embed(copy, cells), embeddings)
