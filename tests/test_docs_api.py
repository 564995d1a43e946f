"""The API pages list every public name, and none that is gone; pages about registries list every registered name."""

import re
import runpy
from importlib import import_module
from pathlib import Path

import pytest
from scvi.model.base import BaseModelClass

import scmpt_scverse
from scmpt_scverse import SCMMGPT, SCMPT
from scmpt_scverse.attribution import ATTRIBUTORS
from scmpt_scverse.encoders import CARDS
from scmpt_scverse.llm import CLIENTS
from scmpt_scverse.module import FUSIONS

DOCS = Path(__file__).parents[1] / "docs"
PACKAGES = sorted(path.parent.name for path in Path(scmpt_scverse.__file__).parent.glob("[!_]*/__init__.py"))
EXTENDING = DOCS / "api" / "extending.md"
#: The classes of models aside; a further name needs a reason.
MOST_NAMES_FOR_USERS = 45
#: What whole tasks beside annotation by a reference need, counted apart: types as texts, words for cells, pseudo-cells,
#: other species, tissues, atlases, reports.
FOR_FURTHER_TASKS = {
    *(f"datasets.{name}" for name in ("census_labels", "fetch_census")),
    *(f"knowledge.{name}" for name in ("cell_ontology", "label_markers", "label_texts", "merge_markers")),
    *(f"knowledge.{name}" for name in ("ontology_metrics", "panglaodb", "programmes", "read_markers")),
    *(f"metrics.{name}" for name in ("description_metrics", "generation_metrics", "retrieval_metrics")),
    *(f"pl.{name}" for name in ("descriptions", "generation", "profiles", "report", "search")),
    *(f"pp.{name}" for name in ("Orthologs", "map_orthologs")),
    *(f"tl.{name}" for name in ("embed_niche", "smooth_probabilities")),
}


def listed(*pages: Path) -> list[str]:
    texts = [page.read_text(encoding="utf-8") for page in pages]
    return [name for text in texts for name in re.findall(r"^   ([A-Za-z_]\w*(?:\.\w+)?)$", text, re.MULTILINE)]


def for_users() -> list[str]:
    return listed(*sorted(page for page in (DOCS / "api").glob("*.md") if page != EXTENDING))


def test_the_overview_is_what_its_script_draws() -> None:
    drawing = runpy.run_path(str(DOCS / "overview.py"))["drawing"]
    assert (DOCS / "_static" / "overview.svg").read_text(encoding="utf-8") == drawing()


@pytest.mark.parametrize("package", PACKAGES)
def test_names_for_users_are_listed_and_no_others(package: str) -> None:
    public = getattr(import_module(f"scmpt_scverse.{package}"), "__all__", [])
    in_all = {f"{package}.{name}" for name in public} - {"model.SCMMGPT", "model.SCMPT", "cli.app"}
    assert in_all == {name for name in for_users() if name.startswith(f"{package}.")}


def test_names_for_users_are_few() -> None:
    names = [name for name in for_users() if not name.startswith(("SCMPT", "SCMMGPT"))]
    assert len(set(names)) == len(names)
    assert set(names) >= FOR_FURTHER_TASKS
    assert 40 < len(names) - len(FOR_FURTHER_TASKS) <= MOST_NAMES_FOR_USERS


@pytest.mark.parametrize("model", [SCMPT, SCMMGPT])
def test_every_public_method_of_a_model_is_listed(model: type[BaseModelClass]) -> None:
    own = {name for name in dir(model) if not name.startswith("_") and not hasattr(BaseModelClass, name)}
    own -= {"setup_annbatch"}  # not available
    overridden = {"setup_anndata", "save", "load", "train"}
    prefix = f"{model.__name__}."
    documented = {name.removeprefix(prefix) for name in for_users() if name.startswith(prefix)}
    assert own
    assert documented - own <= overridden
    assert own - documented == set()


def test_names_for_extensions_are_there_and_needed() -> None:
    names = listed(EXTENDING)
    assert len(names) > 10
    texts = [
        path.read_text(encoding="utf-8") for path in (DOCS / "developer").rglob("*") if path.suffix in {".md", ".py"}
    ]
    for name in names:
        package, attribute = name.split(".")
        module = import_module(f"scmpt_scverse.{package}")
        assert getattr(module, attribute).__doc__
        assert attribute not in getattr(module, "__all__", []), f"{name} is one for users, too"
        if package != "streaming":  # has no page of its own
            assert any(re.search(rf"\b{attribute}\b", text) for text in texts), f"no page for developers needs {name}"


def test_examples_for_developers_import_listed_names_only() -> None:
    allowed = {*listed(EXTENDING), *for_users()}
    examples = sorted((DOCS / "developer" / "examples").glob("*.py"))
    assert len(examples) >= 5
    for example in examples:
        text = example.read_text(encoding="utf-8")
        found = re.findall(r"^from scmpt_scverse\.(\w+) import (.+)$", text, re.MULTILINE)
        used = {f"{package}.{name}" for package, names in found for name in names.split(", ")}
        used |= {f"llm.{name}" for name in re.findall(r"\bllm\.(\w+)", text)}
        assert used
        assert used - allowed == set(), example.name


@pytest.mark.parametrize(
    ("page", "heading", "names"),
    [
        ("user_guide/encoders.md", "Which one", [*CARDS]),
        ("user_guide/fusion.md", "Heads", [*FUSIONS._entries]),
        ("user_guide/attributions.md", "What is computed", [*ATTRIBUTORS._entries]),
        ("user_guide/options.md", "Explanation methods", [*ATTRIBUTORS._entries]),
        ("user_guide/options.md", "Language models", [*CLIENTS._entries]),
        ("user_guide/llm.md", "Clients", [*CLIENTS._entries]),
    ],
)
def test_tables_have_every_registered_name(page: str, heading: str, names: list[str]) -> None:
    text = (DOCS / page).read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    table = "\n".join(line.split("|")[1] for line in text.splitlines() if line.startswith("| "))
    if page.endswith("options.md"):
        table = text
    assert {name for name in names if f"`{name}`" not in table and f'`"{name}"`' not in table} == set()
