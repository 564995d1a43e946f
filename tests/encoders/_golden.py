"""What the preprocessing of a dozen real cells gives, as stored: computes it, reads it, and writes it anew.

`python -m tests.encoders._golden`, run in the folder of the repository, writes the files in `tests/encoders/golden`. It
refuses where an encoder prepares cells otherwise under the fingerprint that is stored, which includes its
`_PREPROCESSING_VERSION`.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from anndata import AnnData
from scipy import sparse

from scmpt_scverse import datasets, encoders
from scmpt_scverse.pp import CellSentences, ExpressionReader, GeneTokens

COMMAND = "python -m tests.encoders._golden"
#: Largest difference between float32 embeddings of the same input. Processors sum in another order: between kernels for
#: SSE4, AVX2 and AVX512 the difference is up to 2.4e-7. Another spread of ties moves every cell by over 1e-3.
TOLERANCE = 2e-5

_FOLDER = Path(__file__).parent / "golden"
_RECORDS, _ARRAYS = _FOLDER / "preprocessing.json", _FOLDER / "preprocessing.npz"


@dataclass(frozen=True)
class Case:
    """An encoder and how it reads cells; what it prepares is stored, and its embeddings where they say more."""

    encoder: str
    options: dict[str, Any] = field(default_factory=dict)
    is_embedded: bool = False


CASES = {
    "minilm": Case("minilm", is_embedded=True),
    "minilm, sentences with levels": Case("minilm", {"sentence": "binned", "max_genes": 12}),
    "scgpt-mini": Case("scgpt-mini", is_embedded=True),
    "scgpt-mini, highest": Case("scgpt-mini", {"max_length": 61}),
    "scgpt-mini, sample": Case("scgpt-mini", {"max_length": 61, "selection": "sample", "seed": 7}),
}


@dataclass(frozen=True)
class Golden:
    """What an encoder makes of the cells of :func:`golden_cells`.

    Attributes
    ----------
    fingerprint
        Of the encoder, over weights, options and preprocessing version.
    sentences
        Cell sentences, by scale of the values; empty for an encoder that reads gene tokens.
    arrays
        `indptr`, `gene_ids`, `bins` of the tokens, and `embedding`, by scale of the values.
    """

    fingerprint: str
    sentences: dict[str, list[str]]
    arrays: dict[str, np.ndarray]


def golden_cells() -> dict[str, AnnData]:
    """A dozen real cells: log-normalised, and as whole numbers from 1 to 9 with up to 100 genes per tie."""
    logs = datasets.pbmc68k_reduced()[::59]
    counts = logs.copy()
    counts.X = sparse.csr_matrix(np.ceil(logs.X.toarray()).astype(np.int32))
    return {"logarithms": logs, "counts": counts}


def compute(name: str) -> Golden:
    """What the encoder of a case makes of the cells now."""
    case = CASES[name]
    encoder = encoders.get(case.encoder, **case.options)
    golden = Golden(encoder.fingerprint, {}, {})
    for scale, cells in golden_cells().items():
        inputs = encoder.prepare(ExpressionReader(cells).rows(0, cells.n_obs))
        if isinstance(inputs, CellSentences):
            golden.sentences[scale] = inputs.texts()
        elif isinstance(inputs, GeneTokens):
            golden.arrays[f"{scale}/indptr"] = inputs.indptr.astype(np.int32)
            golden.arrays[f"{scale}/gene_ids"] = inputs.gene_ids.astype(np.int32)
            golden.arrays[f"{scale}/bins"] = inputs.bins.astype(np.int16)
        if case.is_embedded:
            golden.arrays[f"{scale}/embedding"] = encoder.encode(inputs, device="cpu", precision="float32")
    return golden


def stored(name: str) -> Golden:
    """What is stored for a case."""
    record = json.loads(_RECORDS.read_text())[name]
    with np.load(_ARRAYS) as arrays:
        prefix = f"{name}/"
        own = {key.removeprefix(prefix): arrays[key] for key in arrays.files if key.startswith(prefix)}
    return Golden(record["fingerprint"], record["sentences"], own)


def differences(expected: Golden, found: Golden) -> list[str]:
    """Which parts of what was found are not as expected, in words."""
    parts = [
        f"sentences of {scale}"
        for scale in sorted(expected.sentences.keys() | found.sentences.keys())
        if expected.sentences.get(scale) != found.sentences.get(scale)
    ]
    for key in sorted(expected.arrays.keys() | found.arrays.keys()):
        old, new = expected.arrays.get(key), found.arrays.get(key)
        atol = TOLERANCE if key.endswith("embedding") else 0
        if old is None or new is None or old.shape != new.shape or not np.allclose(old, new, rtol=0, atol=atol):
            parts.append(key)
    return parts


def advice(name: str, parts: list[str]) -> str:
    """What to do where parts of a case differ under the same fingerprint."""
    return (
        f"preprocessing changed: bump VERSION and regenerate with `{COMMAND}`. The encoder {name!r} makes other "
        f"{', '.join(parts)} of the same cells, but has the same fingerprint, so that embeddings made before would "
        "pass for new ones. If the change is meant, raise `_PREPROCESSING_VERSION` in the encoder's module."
    )


def _write() -> None:
    found = {name: compute(name) for name in CASES}
    if _RECORDS.exists():
        for name in json.loads(_RECORDS.read_text()).keys() & found.keys():
            expected = stored(name)
            parts = differences(expected, found[name])
            if parts and expected.fingerprint == found[name].fingerprint:
                raise SystemExit(advice(name, parts))
    records = {name: {"fingerprint": g.fingerprint, "sentences": g.sentences} for name, g in found.items()}
    _FOLDER.mkdir(exist_ok=True)
    _RECORDS.write_text(json.dumps(records, indent=1) + "\n")
    arrays = {f"{name}/{key}": values for name, golden in found.items() for key, values in golden.arrays.items()}
    np.savez_compressed(_ARRAYS, allow_pickle=False, **arrays)


if __name__ == "__main__":
    _write()
