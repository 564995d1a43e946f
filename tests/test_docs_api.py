"""The API pages list every public name, and none that is gone."""

import re
from pathlib import Path

import pytest
from scvi.model.base import BaseModelClass

import scmpt_scverse
from scmpt_scverse import SCMPT, module, streaming

PAGES = Path(__file__).parents[1] / "docs" / "api"
PACKAGES = {
    **{name: getattr(scmpt_scverse, name) for name in scmpt_scverse.__all__ if name != "SCMPT"},
    "module": module,
    "streaming": streaming,
}


def listed() -> list[str]:
    pages = [page.read_text(encoding="utf-8") for page in sorted(PAGES.glob("*.md"))]
    return [name for page in pages for name in re.findall(r"^   ([A-Za-z_]\w*(?:\.\w+)?)$", page, re.MULTILINE)]


@pytest.mark.parametrize("package", sorted(set(PACKAGES) - {"module"}))
def test_every_public_name_of_a_package_is_listed(package: str) -> None:
    public = {f"{package}.{name}" for name in PACKAGES[package].__all__}
    assert public
    assert public - set(listed()) == set()


def test_every_public_method_of_a_model_is_listed() -> None:
    own = {name for name in dir(SCMPT) if not name.startswith("_") and not hasattr(BaseModelClass, name)}
    own -= {"setup_annbatch"}  # not available
    overridden = {"setup_anndata", "save", "load", "train"}
    documented = {name.removeprefix("SCMPT.") for name in listed() if name.startswith("SCMPT.")}
    assert documented - own <= overridden
    assert own - documented == set()


def test_every_listed_name_is_public() -> None:
    names = [name for name in listed() if not name.startswith("SCMPT")]
    assert len(names) > 60
    assert len(set(listed())) == len(listed())
    gone = [name for name in names if name.split(".")[1] not in PACKAGES[name.split(".")[0]].__all__]
    assert gone == []
