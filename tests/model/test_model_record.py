"""What is recorded of a model that wrote to cells: the same in a file, and on the page of the report."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anndata
import pytest
from anndata import AnnData
from mudata import MuData
from tests._adata import LABELS_KEY

from scmpt_scverse import SCMMGPT, SCMPT, __version__, pl
from scmpt_scverse._slots import UNS_KEYS

LABELS = ["B cell", "monocyte", "natural killer cell", "T cell"]


def record_of(adata: Any, key: str) -> dict[str, Any]:
    record: dict[str, Any] = adata.uns[UNS_KEYS.root][UNS_KEYS.annotations][key]
    return record


def plain(value: Any) -> Any:
    """Values as a file gives them back."""
    if hasattr(value, "items"):
        return {name: plain(each) for name, each in value.items()}
    if hasattr(value, "tolist"):
        return value.tolist()
    return value


@pytest.fixture
def model(pbmc: AnnData) -> SCMPT:
    cells = pbmc[:300].copy()
    SCMPT.setup_anndata(cells, LABELS_KEY, obsm_keys={"components": "X_pca"})
    model = SCMPT(cells, encoders={"text": "minilm-genes", "counts": "counts"})
    model.train(enable_progress_bar=False)
    return model


def test_a_reference_model(model: SCMPT, pbmc: AnnData, tmp_path: Path) -> None:
    query = pbmc[300:340].copy()
    model.annotate(query)
    record = record_of(query, "scmpt")
    assert record["model"] == "SCMPT"
    assert record["trained_on"] == datetime.now(UTC).date().isoformat()
    assert record["version"] == __version__
    fingerprint = model.modalities.encoder("text").fingerprint
    assert record["encoders"] == {
        "text": {"encoder": "minilm-genes", "fingerprint": fingerprint},
        "counts": {"encoder": "counts"},
        "components": {"obsm_key": "X_pca"},
    }
    assert (record["fusion"], record["organism"], record["layer"]) == ("stacked", "human", "X")
    assert (record["n_reference_cells"], record["n_labels"]) == (len(model.train_indices), len(model.labels))
    assert record["written"] == [
        *(f"adata.obs['scmpt_{name}']" for name in ("prediction", "confidence", "novelty", "disagreement")),
        *(f"adata.obsm['scmpt_{name}']" for name in ("probabilities", "contributions")),
    ]
    assert "torch" in record["libraries"]
    assert "loaded_from" not in record

    model.save(str(tmp_path / "model"))
    loaded = SCMPT.load(str(tmp_path / "model"), adata=False)
    loaded.annotate(query, key_added="second", reject=0.3)
    second = record_of(query, "second")
    assert second["loaded_from"] == str(tmp_path / "model")
    assert second["reject"] == 0.3
    own = ("loaded_from", "written", "reject")
    assert {name: value for name, value in second.items() if name not in own} == {
        name: value for name, value in record.items() if name not in own
    }
    query.write_h5ad(tmp_path / "query.h5ad")
    read = anndata.read_h5ad(tmp_path / "query.h5ad")
    for key in ("scmpt", "second"):
        assert plain(record_of(read, key)) == plain(record_of(query, key))


def test_a_text_model(pbmc: AnnData, tmp_path: Path) -> None:
    model = SCMMGPT.from_pretrained("scmmgpt-mini")
    query = pbmc[:60].copy()
    model.annotate(query, labels=LABELS, min_confidence=0.2)
    record = record_of(query, "scmmgpt")
    assert (record["model"], record["loaded_from"]) == ("SCMMGPT", "scmmgpt-mini")
    assert record["encoders"]["text"]["fingerprint"] == model.text_encoder.fingerprint
    assert (record["n_labels"], record["refine"], record["min_confidence"]) == (4, "self-train", 0.2)
    assert "adata.obs['scmmgpt_prediction']" in record["written"]
    query.write_h5ad(tmp_path / "query.h5ad")
    assert plain(record_of(anndata.read_h5ad(tmp_path / "query.h5ad"), "scmmgpt")) == plain(record)


def test_a_description_and_a_search_say_what_was_asked(pbmc: AnnData, tmp_path: Path) -> None:
    model = SCMMGPT.from_pretrained("scmmgpt-mini")
    query = pbmc[:120].copy()
    model.describe(query, "louvain", labels=LABELS, back_off=0.7, programmes={"mine": query.var_names[:6].tolist()})
    model.search(query, "cells that make antibodies", key_added="antibodies")
    ours = query.uns[UNS_KEYS.root]
    described, searched = ours[UNS_KEYS.descriptions]["scmmgpt_descriptions"], ours[UNS_KEYS.searches]["antibodies"]
    for record in (described, searched):
        assert (record["model"], record["loaded_from"]) == ("SCMMGPT", "scmmgpt-mini")
        assert record["encoders"]["text"]["fingerprint"] == model.text_encoder.fingerprint
        assert (record["organism"], record["layer"]) == ("human", "X")
    assert (described["groupby"], described["writer"], described["back_off"]) == ("louvain", "retrieval", 0.7)
    assert list(described["programmes"]) == ["mine"]
    assert described["written"] == ["adata.uns['scmmgpt_descriptions']", "adata.uns['scmmgpt_evidence']"]
    assert (searched["text"], searched["written"]) == ("cells that make antibodies", ["adata.obs['antibodies']"])
    query.write_h5ad(tmp_path / "query.h5ad")
    read = anndata.read_h5ad(tmp_path / "query.h5ad")
    assert plain(read.uns[UNS_KEYS.root]) == plain(ours)
    figure = pl.search(read, key="antibodies", show=False)[0].figure
    assert figure.get_suptitle() == "“cells that make antibodies”"
    pl.report(query, tmp_path / "report.html", group_key="louvain")
    assert "Search antibodies" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_mudata_has_it_beside_its_embeddings(pbmc: AnnData) -> None:
    mdata = MuData({"rna": pbmc[:200, 20:].copy(), "prot": pbmc[:200, :20].copy()})
    mdata.obs[LABELS_KEY] = pbmc.obs[LABELS_KEY][:200]
    SCMPT.setup_mudata(mdata, LABELS_KEY, modalities={"expression": "rna", "protein": "prot"})
    model = SCMPT(mdata)
    model.train(enable_progress_bar=False)
    model.annotate(mdata)
    assert record_of(mdata["rna"], "scmpt")["encoders"] == {"protein": {"obsm_key": "prot"}}


def test_a_training_after_loading_is_of_another_model(model: SCMPT, tmp_path: Path) -> None:
    model.save(str(tmp_path / "model"), save_anndata=True)
    loaded = SCMPT.load(str(tmp_path / "model"))
    loaded.train(enable_progress_bar=False)
    loaded.annotate()
    assert "loaded_from" not in record_of(loaded.adata, "scmpt")


def test_what_is_no_record_is_refused_before_anything_is_read(model: SCMPT, pbmc: AnnData) -> None:
    query = pbmc[300:310].copy()
    query.uns[UNS_KEYS.root] = {UNS_KEYS.annotations: "of mine"}
    with pytest.raises(ValueError, match="is where this package records what it wrote; found str"):
        model.annotate(query)
    with pytest.raises(ValueError, match="is where this package records what it wrote; found str"):
        SCMMGPT.from_pretrained("scmmgpt-mini").annotate(query, labels=LABELS)
    for section in (UNS_KEYS.descriptions, UNS_KEYS.searches):
        query.uns[UNS_KEYS.root] = {section: 3}
        with pytest.raises(ValueError, match="is where this package records what it wrote; found int"):
            SCMMGPT.from_pretrained("scmmgpt-mini").search(query, "B cells")
        with pytest.raises(ValueError, match="is where this package records what it wrote; found int"):
            SCMMGPT.from_pretrained("scmmgpt-mini").describe(query, labels=LABELS)
    assert not [name for name in query.obs if name.startswith(("scmpt_", "scmmgpt_"))]


def test_the_report_shows_it(model: SCMPT, pbmc: AnnData, tmp_path: Path) -> None:
    query = pbmc[300:360].copy()
    model.annotate(query)
    pl.report(query, tmp_path / "report.html")
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Labels scmpt" in html
    assert model.modalities.encoder("text").fingerprint in html
