"""Names that other packages register by entry points: where they work, and what a broken one does."""

import sys
from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData
from tests._adata import LABELS_KEY
from tests._distribution import REGISTRIES, install
from typer.testing import CliRunner

from scmpt_scverse import SCMPT, attribution, encoders, llm
from scmpt_scverse.cli import app
from scmpt_scverse.description import writer_of
from scmpt_scverse.module import FUSIONS, FusionClassifier

CODE = """
from docs.developer.examples.toy_attributor import GradientTimesInput
from docs.developer.examples.toy_encoder import ToyEncoder
from docs.developer.examples.toy_fusion_head import MeanFusion
from docs.developer.examples.toy_llm_client import MarkerOverlapClient
from docs.developer.examples.toy_writer import Telegram
"""
ENTRY_POINTS = """
[scmpt_scverse.fusion]
toy = toy_plugin:MeanFusion
[scmpt_scverse.attributors]
toy = toy_plugin:GradientTimesInput
[scmpt_scverse.encoders]
toy = toy_plugin:ToyEncoder
[scmpt_scverse.llm]
toy = toy_plugin:MarkerOverlapClient
[scmpt_scverse.writers]
toy = toy_plugin:Telegram
"""
#: What is registered, and what the error says of it.
BROKEN = {
    "absent_module:Head": "its import raised ModuleNotFoundError: No module named 'absent_module'",
    "toy_plugin:absent": "its import raised AttributeError: ",
    "not a target": "its import raised ",
    "raises_plugin:Head": "its import raised RuntimeError: no licence for this machine",
    "toy_plugin": "it must be a class or instance of `{}`; found <module 'toy_plugin'",
    "toy_plugin:number": "it must be a class or instance of `{}`; found 3",
    "toy_plugin:Other": "it must be a class or instance of `{}`; found <class 'toy_plugin.Other'>",
    "toy_plugin:make": "it must be a class or instance of `{}`; what <function make at ",
}
BROKEN_CODE = """
number = 3

class Other:
    pass

def make(*arguments, **options):
    return Other()
"""
CONTRACTS = {
    "encoders": "Encoder",
    "fusion": "FusionHead",
    "attributors": "Attributor",
    "llm": "LLMClient",
    "writers": "Writer",
}


def use(group: str, name: str) -> object:
    """What a user gets for a name."""
    if group == "fusion":
        return FusionClassifier({"a": 3}, 2, fusion=name).head
    if group == "encoders":
        return encoders.get(name)
    if group == "writers":
        return writer_of(name)
    return attribution.get(name) if group == "attributors" else llm.get(name)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "site", monkeypatch, ENTRY_POINTS, CODE)


def test_names_are_known_without_an_import(installed: None) -> None:
    for registry in REGISTRIES.values():
        assert registry.names()[-1] == "toy"
    row = encoders.list_encoders().loc["toy"]
    assert row[["source", "licence", "description"]].tolist() == ["package: toy-plugin", "MIT", "for tests"]
    assert "toy_plugin" not in sys.modules


@pytest.mark.parametrize("group", REGISTRIES)
def test_a_name_stands_for_its_class(installed: None, group: str) -> None:
    assert type(use(group, "toy")).__module__.startswith("docs.developer.examples")


def test_a_model_of_another_packages_head_and_encoder(installed: None, pbmc: AnnData, tmp_path: Path) -> None:
    cells, query = pbmc[:300].copy(), pbmc[300:330].copy()
    SCMPT.setup_anndata(cells, LABELS_KEY)
    chosen = {"expression": "scgpt-mini", "toy": "toy"}
    model = SCMPT(cells, encoders=chosen, fusion="toy", n_hidden=16, fusion_options={"bias": False})
    model.train(max_epochs=2, enable_progress_bar=False)
    model.save(str(tmp_path / "model"))
    loaded = SCMPT.load(str(tmp_path / "model"), adata=False)  # by name: nothing needs to be passed again
    assert type(loaded.module.head).__name__ == "MeanFusion"
    assert np.array_equal(loaded.predict(query), model.predict(query))
    assert loaded.modalities.keys["toy"] == "X_toy"
    only_genes = SCMPT(cells, encoders={"expression": "scgpt-mini"}, fusion="toy", n_hidden=16)
    only_genes.train(max_epochs=2, enable_progress_bar=False)
    only_genes.rank_attributions(query, method="toy", n_cells_per_group=2)
    assert query.uns["scmpt_attributions"]["params"]["method"] == "toy"
    assert np.count_nonzero(only_genes.explain_cell(query, query.obs_names[0], method="toy")["total"])


def test_names_are_choices_of_the_command_line(installed: None, pbmc: AnnData, tmp_path: Path) -> None:
    source = tmp_path / "cells.h5ad"
    pbmc[:200].copy().write_h5ad(source)
    command = ["train", str(source), str(tmp_path / "model"), "--labels-key", LABELS_KEY, "--obsm", "pca=X_pca"]
    wrong = CliRunner().invoke(app, [*command, "--fusion", "toys"])
    assert wrong.exit_code == 2
    assert "'toys' is not one of" in wrong.stderr
    assert "Did you mean 'toy'?" in " ".join(wrong.stderr.replace("│", "").split())
    result = CliRunner().invoke(app, [*command, "--fusion", "toy", "--max-epochs", "1"])
    assert result.exit_code == 0, result.output
    assert type(SCMPT.load(str(tmp_path / "model"), adata=False).module.head).__name__ == "MeanFusion"


@pytest.mark.parametrize("target", BROKEN)
@pytest.mark.parametrize("group", REGISTRIES)
def test_a_broken_one_is_one_sentence_and_harms_no_other(
    group: str, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = f"{ENTRY_POINTS}[scmpt_scverse.{group}]\nbroken = {target}\n"
    (tmp_path / "raises_plugin.py").write_text("raise RuntimeError('no licence\\n for this machine')")
    monkeypatch.syspath_prepend(tmp_path)
    install(tmp_path / "site", monkeypatch, points, CODE + BROKEN_CODE)
    assert "broken" in REGISTRIES[group].names()
    assert encoders.list_encoders().index.is_unique
    with pytest.raises(ImportError) as caught:
        use(group, "broken")
    text = str(caught.value)
    assert text.startswith(f"Cannot use '{target}', which the package 'toy-plugin' registers as")
    assert BROKEN[target].format(CONTRACTS[group]) in text
    assert (
        text.endswith(f"choose one of {', '.join(map(repr, list(REGISTRIES[group]._entries)[:8]))}.") or "..." in text
    )
    assert "\n" not in text
    assert use(group, "toy") is not None


def test_a_head_without_a_method_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "from scmpt_scverse.module import FusionHead\nclass Half(FusionHead):\n    def fuse(self, inputs): ..."
    install(tmp_path, monkeypatch, "[scmpt_scverse.fusion]\nhalf = toy_plugin:Half\n", code)
    with pytest.raises(ImportError, match="found <class 'toy_plugin.Half'>, which does not implement 'classify'"):
        use("fusion", "half")


def test_a_head_with_another_constructor_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "def make(modality_dims, n_labels): ..."
    install(tmp_path, monkeypatch, "[scmpt_scverse.fusion]\nold = toy_plugin:make\n", code)
    with pytest.raises(ImportError, match="must take 3 arguments in order; found too many positional arguments. Reins"):
        use("fusion", "old")


def test_a_broken_head_is_one_line_on_the_command_line(
    pbmc: AnnData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = "[scmpt_scverse.fusion]\nbroken = toy_plugin:number\n[scmpt_scverse.llm]\nmro = toy_plugin:number\n"
    install(tmp_path / "site", monkeypatch, points, BROKEN_CODE)
    source, folder = tmp_path / "cells.h5ad", tmp_path / "model"
    pbmc[:50].copy().write_h5ad(source)
    command = ["train", str(source), str(folder), "--labels-key", LABELS_KEY, "--obsm", "pca=X_pca"]
    result = CliRunner().invoke(app, [*command, "--fusion", "broken"])
    assert result.exit_code == 1
    assert result.stderr.startswith("error: Cannot use 'toy_plugin:number', which the package 'toy-plugin' registers")
    assert len(result.stderr.splitlines()) == 1
    out = str(tmp_path / "out.h5ad")
    result = CliRunner().invoke(
        app, ["refine", "scmmgpt-mini", str(source), out, "--client", "mro", "--llm", "x", "--weight", "1"]
    )
    assert result.exit_code == 1
    assert result.stderr.startswith("error: Cannot use 'toy_plugin:number'")


@pytest.mark.parametrize(
    ("group", "name"),
    [
        ("fusion", "stacked"),
        ("encoders", "minilm"),
        ("encoders", "counts"),
        ("attributors", "random"),
        ("llm", "openai"),
    ],
)
def test_a_name_of_ours_is_not_replaced(group: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = REGISTRIES[group]
    names = registry.names()
    install(tmp_path, monkeypatch, f"[scmpt_scverse.{group}]\n{name} = toy_plugin:number\ntoo = toy_plugin:number\n")
    with pytest.warns(UserWarning, match="stands for ours") as warned:
        assert registry.names() == [*names, "too"]
    assert [str(each.message) for each in warned] == [
        f"The entry points of 'scmpt_scverse.{group}' register 'toy_plugin:number' of the package 'toy-plugin' as "
        f"{name!r}, which is the name of one of ours, so `{registry.argument}={name!r}` stands for ours. Rename the "
        "entry point, uninstall its package, or pass the class."
    ]
    assert name not in registry.installed


def test_two_packages_with_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "a", monkeypatch, ENTRY_POINTS, CODE)
    install(tmp_path / "b", monkeypatch, "[scmpt_scverse.fusion]\ntoy = other:Head\n", name="other-plugin")
    with pytest.warns(UserWarning, match="'other:Head' of .*'other-plugin' and 'toy_plugin:MeanFusion' of .*neither"):
        assert "toy" not in FUSIONS.names()
    with pytest.raises(ValueError, match="Unknown `fusion='toy'`"):
        use("fusion", "toy")
    assert use("attributors", "toy") is not None


def test_two_packages_that_register_the_same_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "a", monkeypatch, ENTRY_POINTS, CODE)
    install(tmp_path / "b", monkeypatch, ENTRY_POINTS, name="renamed-plugin")
    assert FUSIONS.names()[-1] == "toy"


def test_damaged_metadata_of_any_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "[console_scripts]\nno target\n")
    with pytest.warns(UserWarning, match=r"cannot be read: .*Names of `scmpt_scverse.fusion` .* reinstalled"):
        assert FUSIONS.names() == ["stacked", "concat", "gated", "attention"]


def test_unknown_names_have_the_nearest(installed: None) -> None:
    with pytest.raises(
        ValueError, match="Unknown `fusion='stackd'`. Choose one of 'stacked', .*'toy'. Did you mean 's"
    ):
        use("fusion", "stackd")
    with pytest.raises(ValueError, match="Unknown `method='occlude'`. Choose one of .*Did you mean 'occlusion'?"):
        use("attributors", "occlude")
