"""Sentences of errors, registry and optional imports."""

from pathlib import Path
from typing import Any

import pytest
import torch

from scmpt_scverse import _hardware
from scmpt_scverse._checks import check_choice, check_key, check_positive, did_you_mean, list_some
from scmpt_scverse._hardware import has_fast_bfloat16, resolve_device, resolve_precision
from scmpt_scverse._optional import import_optional
from scmpt_scverse._registry import Registry
from scmpt_scverse._slots import PredictionKeys, embedding_key


def test_list_some() -> None:
    assert list_some([]) == "none"
    assert list_some(["a", 1]) == "'a', '1'"
    assert list_some(range(10), limit=2) == "'0', '1', ... (10 in all)"


def test_nearest_match() -> None:
    assert did_you_mean("louvian", ["louvain", "leiden"]) == " Did you mean 'louvain'?"
    assert did_you_mean("x", ["louvain"]) == ""


def test_check_choice_and_key() -> None:
    check_choice("a", ["a", "b"], "mode")
    with pytest.raises(ValueError, match="Unknown `mode='c'`. Choose one of 'a', 'b'"):
        check_choice("c", ["a", "b"], "mode")
    check_key("a", ["a"], "adata.obs")
    with pytest.raises(KeyError, match="No 'b' in `adata.obs`; found 'a'"):
        check_key("b", ["a"], "adata.obs")


@pytest.mark.parametrize("value", [0, -1, 1.5, "3", True])
def test_check_positive(value: Any) -> None:
    with pytest.raises(ValueError, match="`n` must be a whole number of at least 1; found"):
        check_positive(value, "n")


def test_registry() -> None:
    registry = Registry("kind", {"path": "pathlib:Path"})
    assert registry.load("path")("x").name == "x"
    assert registry.names() == ["path"]
    with pytest.raises(ValueError, match="Unknown `kind='paths'`. Choose one of 'path'. Did you mean 'path'"):
        registry.load("paths")


def test_optional_import_names_the_extra() -> None:
    assert import_optional("json", extra="x", purpose="Reading").loads("1") == 1
    with pytest.raises(
        ImportError, match=r"Tuning needs the package `no_such_package`.*pip install 'scmpt-scverse\[tune\]'"
    ):
        import_optional("no_such_package", extra="tune", purpose="Tuning")


@pytest.mark.parametrize("module", ["no_such_package.part", "needs_another"])
def test_optional_import_names_what_is_to_be_installed(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a part of a package, and not an installed package where another one lacks."""
    (tmp_path / "needs_another.py").write_text("import no_such_package")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match="Tuning needs the package `no_such_package`, which"):
        import_optional(module, extra="tune", purpose="Tuning")


def test_keys() -> None:
    assert PredictionKeys.from_prefix("mine") == PredictionKeys(
        "mine_prediction",
        "mine_confidence",
        "mine_novelty",
        "mine_disagreement",
        "mine_probabilities",
        "mine_contributions",
    )
    assert embedding_key("minilm") == "X_minilm"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [({"avx2", "amx_bf16"}, torch.bfloat16), ({"avx512_bf16"}, torch.bfloat16), ({"avx2"}, torch.float32)],
)
def test_precision_follows_the_processor(
    flags: set[str], expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_hardware, "_cpu_flags", lambda: frozenset(flags))
    cpu = resolve_device("cpu")
    assert resolve_precision("auto", cpu) == expected
    assert resolve_precision("float16", cpu) == torch.float16
    assert not has_fast_bfloat16(torch.device("meta"))


@pytest.mark.parametrize(("has_cuda", "expected"), [(True, "cuda"), (False, "cpu")])
def test_device_is_the_gpu_where_there_is_one(has_cuda: bool, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_cuda)
    assert resolve_device("auto").type == expected
