"""Fill measured numbers and tables into README, documentation and tutorials, from `results/`: `make numbers`.

A number stands between `<!-- number: NAME -->` and `<!-- /number -->`, a table between `<!-- table: NAME -->` and
`<!-- /table -->` on lines of their own. In tutorials, these are in the text; what code printed is left alone. `--list`
prints all numbers with their names. `--check` changes nothing and fails where a document differs from the results.
`--demo FOLDER` first stores what `scmpt demo` wrote there. The plot of the page about accuracy is drawn anew where it
shows other results.
"""

import argparse
import json
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import _accuracy_plot
from _number_sources import numbers_of, read_results, tables_of

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
_NUMBER = re.compile(r"(<!-- number: (?P<name>\S+) -->)(?P<content>.*?)(<!-- /number -->)", re.DOTALL)
_TABLE = re.compile(r"(<!-- table: (?P<name>\S+) -->\n)(?P<content>.*?)(<!-- /table -->)", re.DOTALL)
_ANY_MARK = re.compile(r"<!-- /?(?:number|table)\b")
#: Markdown takes a line that begins with a comment for HTML as a whole, and ends the paragraph.
_AT_LINE_START = re.compile(r"^ {0,3}<!-- /?number\b", re.MULTILINE)


def documents(root: Path = ROOT) -> list[Path]:
    """README, and every page of the documentation and of the benchmarks."""
    built = (root / "docs" / "_build", root / "docs" / "api" / "generated")
    pages = [path for folder in ("docs", "benchmarks") for path in sorted((root / folder).rglob("*.md"))]
    return [root / "README.md", *(path for path in pages if not any(path.is_relative_to(each) for each in built))]


def tutorials(root: Path = ROOT) -> list[Path]:
    """All notebooks."""
    return sorted((root / "tutorials").glob("*.ipynb"))


def filled(text: str, numbers: Mapping[str, str], tables: Mapping[str, str]) -> str:
    """The text of a document with every number and table as the results have it.

    Raises
    ------
    ValueError
        A mark names nothing, is not closed, or begins a line.
    """
    if _AT_LINE_START.search(text):
        raise ValueError(
            "A mark of a number begins a line, which Markdown would show as HTML. Move a word in front of it."
        )
    n_pairs = len(_NUMBER.findall(text)) + len(_TABLE.findall(text))
    if len(_ANY_MARK.findall(text)) != 2 * n_pairs:
        raise ValueError(
            "A mark `<!-- number: ... -->` or `<!-- table: ... -->` has no end, or no name. Close it, or correct it."
        )
    for pattern, values, kind in ((_NUMBER, numbers, "number"), (_TABLE, tables, "table")):
        missing = sorted({found["name"] for found in pattern.finditer(text)} - set(values))
        if missing:
            raise ValueError(f"No result is called {', '.join(missing)}. `--list` prints the names; or add the {kind}.")
        text = pattern.sub(lambda found, values=values: found[1] + values[found["name"]] + found[4], text)
    return text


def filled_notebook(text: str, numbers: Mapping[str, str], tables: Mapping[str, str]) -> str:
    """The content of a notebook with the marks in its text filled; raises as :func:`filled`."""
    notebook = json.loads(text)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = filled("".join(cell["source"]), numbers, tables).splitlines(keepends=True)
    return json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + "\n"  # as nbformat writes it


def main() -> None:
    """Fill, check or list."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing, fail where a document is out of date")
    parser.add_argument("--list", action="store_true", help="print names and values, change nothing")
    parser.add_argument("--demo", type=Path, metavar="FOLDER", help="store the results that `scmpt demo` wrote there")
    arguments = parser.parse_args()
    if arguments.demo is not None:
        shutil.copy(arguments.demo / "results.json", RESULTS / "demo.json")
    results = read_results(RESULTS)
    numbers, tables = numbers_of(results), tables_of(results)
    if arguments.list:
        print("\n".join(f"{name}  {value}" for name, value in numbers.items()))
        print("\n".join(f"table: {name}" for name in tables))
        return
    stale = []
    if not _accuracy_plot.is_current(results["accuracy"]):
        stale.append(str(_accuracy_plot.PLOT.relative_to(ROOT)))
        if not arguments.check:
            _accuracy_plot.draw(results["accuracy"])
    for path in [*documents(), *tutorials()]:
        before = path.read_text(encoding="utf-8")
        fill = filled_notebook if path.suffix == ".ipynb" else filled
        try:
            after = fill(before, numbers, tables)
        except ValueError as error:
            sys.exit(f"{path.relative_to(ROOT)}: {error}")
        if before == after:
            continue
        stale.append(str(path.relative_to(ROOT)))
        if not arguments.check:
            path.write_text(after, encoding="utf-8")
    if arguments.check and stale:
        sys.exit(f"Numbers differ from benchmarks/results in {', '.join(stale)}. Run `make numbers`.")
    print(f"{'up to date' if not stale else 'updated ' + ', '.join(stale)}")


if __name__ == "__main__":
    main()
