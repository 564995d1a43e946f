"""Models are sent to the hub and fetched from it by the real client, against a server on this machine."""

import dataclasses
import json
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
from anndata import AnnData
from tests._adata import LABELS_KEY
from tests._hub_server import HubServer
from typer.testing import CliRunner

from scmpt_scverse import SCMMGPT, SCMPT
from scmpt_scverse._hub import fetched, repository_of, send
from scmpt_scverse.cli import app

FILES = ["README.md", "model.json", "model.safetensors"]


@pytest.fixture
def model(saved: Path, tmp_path: Path) -> Path:
    """A saved model with a card, and data beside it that are nobody's business."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in FILES[1:]:
        (folder / name).write_bytes((saved / name).read_bytes())
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Mine\n")
    (folder / "adata.h5ad").write_bytes(b"patients")
    return folder


def sent(model: Path, place: "str | Path") -> str:
    return send(model, place, private=True, token="hf_token", message="A model")


def test_a_repository_gives_back_what_it_got(hub: HubServer, model: Path) -> None:
    assert sent(model, "lab/blood") == f"{hub.url}/lab/blood/commit/{'a' * 40}"
    assert sorted(hub.repositories["lab/blood"]) == FILES, "data of the user stay here"
    folder = fetched("hf:lab/blood")
    assert folder != model
    assert [(folder / name).read_bytes() for name in FILES] == [(model / name).read_bytes() for name in FILES]


def test_what_is_fetched_cannot_be_a_program(hub: HubServer, model: Path) -> None:
    sent(model, "lab/blood")
    hub.repositories["lab/blood"] |= {"model.pt": b"pickle", "setup.py": b"import os", "tokenizer.json": b"{}"}
    folder = fetched("lab/blood")
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert not any("model.pt" in request or "setup.py" in request for request in hub.seen)


def test_a_folder_gives_back_what_it_got(model: Path, tmp_path: Path) -> None:
    place = tmp_path / "shared" / "blood"
    assert sent(model, place) == str(place)
    assert sorted(path.name for path in place.iterdir()) == FILES
    (model / "README.md").write_text("new")
    sent(model, place)
    assert (place / "README.md").read_text() == "new"
    assert fetched(place) == place


def test_a_folder_with_something_else_is_left_alone(model: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").write_text("years of work")
    with pytest.raises(FileExistsError, match=r"found 'mine', 'thesis\.docx'\. Pass another path"):
        sent(model, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "thesis.docx"]


def test_no_such_model(hub: HubServer) -> None:
    with pytest.raises(OSError, match="Could not fetch the model 'lab/none'.*Check the name and the network"):
        fetched("lab/none")
    hub.repositories["lab/other"] = {"README.md": b"# Something else"}
    with pytest.raises(ValueError, match="Expected a model of this package in the repository 'lab/other'; found"):
        fetched("lab/other")


def test_a_connection_that_breaks(hub: HubServer, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent(model, "lab/blood")
    hub.broken = {"model.safetensors"}
    monkeypatch.setattr("time.sleep", lambda _: None)  # between the client's attempts
    with pytest.raises(OSError, match="Could not fetch the model 'lab/blood' \\(peer closed connection"):
        fetched("lab/blood")
    hub.broken = set()
    assert (fetched("lab/blood") / "model.safetensors").read_bytes() == (model / "model.safetensors").read_bytes()


def test_no_network(hub: HubServer, model: Path) -> None:
    hub.server_close()
    with pytest.raises(OSError, match="Could not send the model to 'lab/blood'.*pass the path of a folder"):
        sent(model, "lab/blood")
    with pytest.raises(OSError, match="Could not fetch the model 'lab/blood'"):
        fetched("lab/blood")


def test_a_model_of_the_future_is_refused(hub: HubServer, model: Path) -> None:
    content = json.loads((model / "model.json").read_text())
    (model / "model.json").write_text(json.dumps(content | {"format": 99}))
    sent(model, "lab/blood")
    with pytest.raises(ValueError, match="found 99. Install the version of scmpt-scverse that wrote it"):
        fetched("lab/blood")


def test_what_is_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert repository_of("lab/blood") == "lab/blood"
    (tmp_path / "lab" / "blood").mkdir(parents=True)
    assert repository_of("lab/blood") is None
    assert repository_of("hf:lab/blood") == "lab/blood"
    assert repository_of(Path("hf:lab/blood")) == "lab/blood"  # as a command line makes of it
    for folder in ("blood", "./lab", "../x", "a/b/c", "/lab/blood", Path("new/one")):
        assert repository_of(folder) is None
    for wrong in ("hf:blood", "hf:", "hf:a/b/c", "hf:a/b?x"):
        with pytest.raises(ValueError, match="Expected a repository such as 'hf:org/name'"):
            repository_of(wrong)
    with pytest.raises(ValueError, match="`revision` is of a repository"):
        fetched(tmp_path, revision="v1")


def test_a_shared_model_predicts_as_before(hub: HubServer, trained: SCMPT, embedded: AnnData) -> None:
    others = trained.evaluate(embedded)
    trained.push_to_hub("lab/blood", license="mit", description="Blood of one donor.", evaluation=others)
    model = SCMPT.from_hub("lab/blood", revision="main")
    np.testing.assert_array_equal(model.predict(embedded), trained.predict(embedded))
    card = hub.repositories["lab/blood"]["README.md"].decode()
    assert card.startswith("---\nlicense: mit\nlibrary_name: scmpt-scverse\n")
    assert 'SCMPT.from_hub("hf:lab/blood")' in card
    assert "Blood of one donor." in card
    for label, number in trained.record.label_counts.items():
        assert f"| {label} | {number} |" in card
    assert f"| accuracy | {others.loc['scmpt', 'accuracy']:.3f} |" in card
    assert trained.modalities.trained_with["text"]["fingerprint"][:12] in card
    with pytest.raises(ValueError, match="Expected a saved SCMMGPT in .*; found a SCMPT"):
        SCMMGPT.from_hub("lab/blood")


def test_a_text_model_is_shared(tmp_path: Path) -> None:
    model = SCMMGPT.from_pretrained("scmmgpt-mini")
    with pytest.warns(UserWarning, match="The card says nothing of cells from elsewhere"):
        place = model.push_to_hub(tmp_path / "mine", license="cc-by-4.0")
    again = SCMMGPT.from_hub(place)
    assert again.types == model.types
    assert "CL:0000236" in (tmp_path / "mine" / "README.md").read_text()


def test_a_card_shows_labels_as_they_are_called(tmp_path: Path, trained: SCMPT) -> None:
    counts = {"T | B <script>alert(1)</script>\nnew": 3}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trained, "record", dataclasses.replace(trained.record, label_counts=counts))
        with pytest.warns(UserWarning, match="The card says nothing"):
            trained.push_to_hub(tmp_path / "mine", license="mit")
    card = (tmp_path / "mine" / "README.md").read_text()
    assert "| T \\| B &lt;script&gt;alert(1)&lt;/script&gt; new | 3 |" in card


class OwnModel(SCMPT):
    """A class that somebody made from one of ours."""


def test_a_class_made_from_ours_is_shared(tmp_path: Path, embedded: AnnData) -> None:
    OwnModel.setup_anndata(embedded, LABELS_KEY, obsm_keys={"components": "X_pca"})
    model = OwnModel(embedded, encoders={})
    model.train()
    with pytest.warns(UserWarning, match="The card says nothing"):
        place = model.push_to_hub(tmp_path / "mine", license="mit")
    card = (tmp_path / "mine" / "README.md").read_text()
    assert f"from {OwnModel.__module__} import OwnModel" in card
    assert model.calibration is not None
    assert f"{len(model.calibration.is_correct)} training cells" in card
    np.testing.assert_array_equal(OwnModel.from_hub(place).predict(embedded), model.predict(embedded))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, TypeError, "license"),
        ({"license": ""}, ValueError, "needs a licence.*found ''"),
        ({"license": None}, ValueError, "found None"),
        ({"license": "mit\nevil: yes"}, ValueError, "needs a licence"),
        ({"license": "mit", "description": 3}, TypeError, "`description` must be a text"),
        ({"license": "mit", "evaluation": [1]}, TypeError, "`evaluation` must be a table"),
    ],
)
def test_what_a_card_needs(
    trained: SCMPT, tmp_path: Path, options: dict[str, object], error: type, message: str
) -> None:
    with pytest.raises(error, match=message):
        trained.push_to_hub(tmp_path / "mine", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "mine").exists()


def test_a_model_without_training_is_not_shared(embedded: AnnData, tmp_path: Path) -> None:
    SCMPT.setup_anndata(embedded, LABELS_KEY, obsm_keys={"own": "X_pca"})
    with pytest.raises(RuntimeError, match="rain"):
        SCMPT(embedded).push_to_hub(tmp_path / "mine", license="mit")


def test_a_command_takes_a_model_from_the_hub(hub: HubServer, model: Path, embedded: AnnData, tmp_path: Path) -> None:
    sent(model, "lab/blood")
    embedded.write_h5ad(tmp_path / "query.h5ad")
    out = tmp_path / "out.h5ad"
    result = CliRunner().invoke(app, ["annotate", "hf:lab/blood", str(tmp_path / "query.h5ad"), str(out)])
    assert result.exit_code == 0, result.output
    assert ad.read_h5ad(out).obs["scmpt_prediction"].nunique() > 3
    result = CliRunner().invoke(app, ["info", "hf:lab/none"])
    assert result.exit_code == 1
    assert "Could not fetch the model 'lab/none'" in result.output
