"""Which encoder and genes an embedding comes from, and whether they are those expected: equal width proves nothing."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from scmpt_scverse._slots import embedding_key, provenance

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse.encoders import Encoder
    from scmpt_scverse.modalities._source import ExpressionSource


def identity(encoder: "Encoder") -> dict[str, str]:
    """What tells an encoder from others."""
    return {"encoder": encoder.name, "fingerprint": encoder.fingerprint}


def own_record(adata: "AnnData", key: str) -> dict[str, Any] | None:
    """Provenance of `adata.obsm[key]`, `None` where there is no such embedding; refuse an array of unknown origin."""
    if key not in adata.obsm:
        return None
    record = provenance(adata, key)
    if record is None:
        raise ValueError(
            f"`adata.obsm[{key!r}]` exists, but nothing records which encoder made it. Remove or rename it, or pass it "
            "as it is with `SCMPT.setup_anndata(..., obsm_keys=...)`. If it was lost in `anndata.concat`, pass "
            "`uns_merge='unique'` there, which keeps the record unless parts contradict each other."
        )
    return record


def is_same(found: Mapping[str, Any], expected: Mapping[str, Any] | None, obsm_key: str) -> bool:
    """Whether an embedding comes from the expected encoder; where its fingerprint is not known, the name must do."""
    if expected is None:
        return embedding_key(found["encoder"]) == obsm_key
    return bool(found["fingerprint"] == expected["fingerprint"])


def check_same(
    found: Mapping[str, Any], expected: Mapping[str, Any] | None, obsm_key: str, modality: str, encoder: str | None
) -> None:
    """Refuse another encoder than the expected one; `encoder` is the name of it where no more is known."""
    if is_same(found, expected, obsm_key):
        return
    wanted = repr(encoder)
    if expected is not None:
        wanted = f"{expected['encoder']!r} with fingerprint {expected['fingerprint'][:12]}"
    raise ValueError(
        f"The {modality!r} modality of this model comes from {wanted}; found {found['encoder']!r} with "
        f"{found['fingerprint'][:12]}. Pass data embedded by that encoder, or run `model.embed(adata)` to "
        f"write `adata.obsm[{obsm_key!r}]` again."
    )


def genes_read(genes: "Iterable[str]", panel: "Iterable[str] | None") -> dict[str, str]:
    """For the provenance: hashes of the genes that an embedding was made of, and of the panel that they are part of."""
    return {"genes": _gene_hash(genes), "panel": "" if panel is None else _gene_hash(panel)}


def is_of_genes(record: Mapping[str, Any], source: "ExpressionSource", adata: "AnnData") -> bool:
    """Whether an embedding was made of the genes that are read: those of a panel, or all that the data had."""
    panel = "" if source.panel is None else _gene_hash(source.panel)
    if record.get("panel", "") == panel:  # data may have lost genes since
        return True
    try:
        return record.get("genes") == _gene_hash(source.reader(adata).genes)
    except (KeyError, ValueError):
        return False


def check_of_genes(record: Mapping[str, Any], source: "ExpressionSource", adata: "AnnData", obsm_key: str) -> None:
    """Refuse an embedding that was made of other genes than are read."""
    if is_of_genes(record, source, adata):
        return
    wanted = "all genes of the data" if source.panel is None else f"the {len(source.panel)} genes of its panel"
    n_genes = record.get("gene_overlap", {}).get("n_genes")
    found = "other ones" if n_genes is None else f"{int(n_genes)} genes"
    raise ValueError(
        f"This model reads {wanted}; `adata.obsm[{obsm_key!r}]` was made of {found}. Run `model.embed(adata)` to write "
        "it again, or remove it."
    )


def _gene_hash(genes: "Iterable[str]") -> str:
    return hashlib.sha256("\n".join(sorted(set(genes))).encode()).hexdigest()


def other_source(record: Mapping[str, Any], names: Mapping[str, str], obsm_key: str) -> str:
    """A warning where an embedding was made from another layer or other gene symbols, else nothing."""
    other = [
        name
        for name, value in names.items()
        if isinstance(record.get(name), str | None) and record.get(name, value) != value
    ]
    if not other:
        return ""
    return (
        f"`adata.obsm[{obsm_key!r}]` was made from {', '.join(f'{name} {record[name]!r}' for name in other)}; the "
        f"model was set up with {', '.join(f'{name} {names[name]!r}' for name in other)}. Remove the embedding to "
        f"have it made again, or pass {' and '.join(f'`{name}={record[name]!r}`' for name in other)} if these data "
        "are organised otherwise."
    )
