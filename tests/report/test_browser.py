"""The page in a real browser: no errors, working filters, and readable at any width, light and dark."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from tests._chromium import Browser, browser
from tests.report.test_escaping import HOSTILE, hostile

from scmpt_scverse import pl

#: At 50,000 cells.
MOST_SECONDS = 3.0


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def shown(tab: Browser) -> int:
    return int(tab.evaluate("document.querySelector('#plot').dataset.shown"))


def press(tab: Browser, selector: str) -> None:
    tab.evaluate(f"document.querySelector({selector!r}).click()")
    tab.evaluate("new Promise((done) => setTimeout(done, 100))")


#: `pixels`, four bytes each, and the `canvas`.
PIXELS = (
    "const canvas = document.querySelector('canvas'); "
    "const {data: pixels} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height); "
)


def n_colours(tab: Browser) -> int:
    """Different colours of pixels that a dot covers whole."""
    whole = "new Uint32Array(pixels.buffer).filter((pixel) => pixel >>> 24 === 255)"
    return int(tab.evaluate(f"(() => {{ {PIXELS} return new Set({whole}).size; }})()"))


def type_gene(tab: Browser, name: str) -> None:
    typed = f"const field = document.querySelector('#gene'); field.value = {name!r};"
    tab.evaluate(f"(() => {{ {typed} field.dispatchEvent(new Event('change')); }})()")


def test_filters_and_colours(cells: AnnData, tmp_path: Path, tab: Browser) -> None:
    url = pl.report(cells, tmp_path / "report.html").as_uri()
    tab.open(url)
    assert shown(tab) == 700
    entries = tab.evaluate("[...document.querySelectorAll('#legend .entry')].map((each) => each.textContent)")
    counts = cells.obs["scmpt_prediction"].value_counts()
    assert entries == [
        f"{label}{counts[label]}" for label in cells.obs["scmpt_prediction"].cat.categories if counts[label]
    ]

    press(tab, "#unsure")
    unsure = (cells.obs["scmpt_confidence"] < 0.5).sum()
    assert abs(shown(tab) - unsure) <= 2  # confidence is rounded
    press(tab, "#novel")
    both = ((cells.obs["scmpt_confidence"] < 0.5) & (cells.obs["scmpt_novelty"] > 0.95)).sum()
    assert abs(shown(tab) - both) <= 2
    press(tab, "#unsure")
    press(tab, "#novel")
    assert shown(tab) == 700

    press(tab, "#legend .entry")
    first = cells.obs["scmpt_prediction"].cat.categories[0]
    assert shown(tab) == counts[first]
    address = tab.evaluate("location.hash")
    press(tab, "#legend-all")
    assert shown(tab) == 700
    tab.open(url + address)  # the same view again
    assert shown(tab) == counts[first]
    for name in ("constructor", "__proto__", "gene:toString", "nothing"):  # nothing of the page is called so
        tab.open(f"{url}#color={name}")
        assert shown(tab) == 700
    assert tab.problems == []


def test_card_and_gene_lead_to_the_plot(cells: AnnData, tmp_path: Path, tab: Browser) -> None:
    tab.open(pl.report(cells, tmp_path / "report.html", genes=["NKG7"]).as_uri())
    press(tab, ".card .show")
    most = cells.obs["scmpt_prediction"].value_counts()
    assert shown(tab) == most.iloc[0]
    press(tab, "#legend-all")
    type_gene(tab, "nkg7")
    tab.wait_for("document.querySelector('#plot').dataset.color === 'gene:NKG7'")
    assert tab.evaluate("document.querySelector('#legend-title').textContent") == "NKG7"
    assert n_colours(tab) > 20
    press(tab, "#legend .entry")  # by label, while the colours are those of a gene
    assert shown(tab) == most[cells.obs["scmpt_prediction"].cat.categories[0]]
    assert tab.evaluate("document.querySelector('#plot').dataset.color") == "gene:NKG7"
    type_gene(tab, "NOGENE")
    assert "NOGENE is not among" in tab.evaluate("document.querySelector('#status').textContent")
    assert tab.problems == []


def test_plot_moves_by_keys_and_shows_a_cell_under_the_pointer(cells: AnnData, tmp_path: Path, tab: Browser) -> None:
    tab.open(pl.report(cells, tmp_path / "report.html").as_uri())
    tab.evaluate("document.querySelector('#canvas').focus()")
    picture = "document.querySelector('canvas').toDataURL()"
    before = tab.evaluate(picture)
    for key in ("+", "0"):
        tab.call("Input.dispatchKeyEvent", type="keyDown", key=key, text=key)
        tab.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        assert (tab.evaluate(picture) == before) == (key == "0")
    first = "const place = pixels.findIndex((value, at) => at % 4 === 3 && value === 255) >> 2"
    corner = "const {left, top} = canvas.getBoundingClientRect()"
    at = "[left + place % canvas.width, top + Math.floor(place / canvas.width)]"
    found = tab.evaluate(f"(() => {{ {PIXELS} {first}; {corner}; return {at}; }})()")
    tab.call("Input.dispatchMouseEvent", type="mouseMoved", x=found[0], y=found[1])
    tab.wait_for("!document.querySelector('#tip').hidden")
    lines = tab.evaluate("[...document.querySelectorAll('#tip div')].map((each) => each.textContent)")
    name = lines[-1]
    assert lines[0] == cells.obs["scmpt_prediction"][name]
    assert f"confidence {cells.obs['scmpt_confidence'][name]:.1f}" in " ".join(lines) or len(lines) > 3
    assert tab.problems == []


def test_hostile_texts_run_nothing(cells: AnnData, tmp_path: Path, tab: Browser) -> None:
    page = pl.report(
        hostile(cells), tmp_path / "report.html", group_key="clusters", title=HOSTILE[1], genes=HOSTILE[:4]
    )
    tab.open(page.as_uri())
    for selector in ("#legend .entry", ".card .show"):
        press(tab, selector)
    tab.evaluate(
        "document.querySelector('#canvas').dispatchEvent(new PointerEvent('pointermove', {clientX: 300, clientY: 400}))"
    )
    assert tab.evaluate("document.images.length") == 0
    assert tab.evaluate("document.scripts.length") == 2
    texts = tab.evaluate("[...document.querySelectorAll('#legend .entry .label')].map((each) => each.textContent)")
    assert texts == sorted(HOSTILE)
    assert tab.problems == []


@pytest.mark.parametrize("n_labels", [5, 40])
@pytest.mark.parametrize("is_dark", [False, True])
def test_page_fits_a_phone_and_follows_the_colour_scheme(
    n_labels: int, is_dark: bool, cells: AnnData, tmp_path: Path, tab: Browser
) -> None:
    name = "T cell of a very long name, as the Cell Ontology has them, such as CD8-positive-alpha-beta-memory-"
    cells.obs["x_prediction"] = [f"{name}{place % n_labels}" for place in range(cells.n_obs)]
    url = pl.report(cells, tmp_path / "report.html", key="x").as_uri()
    tab.open(url, width=360, height=740, is_dark=is_dark)
    assert tab.evaluate("document.documentElement.scrollWidth") == 360
    background = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background[4:-1].split(","))) < 150) == is_dark
    assert n_colours(tab) >= n_labels
    assert tab.problems == []


def test_page_without_a_plot_has_its_cards(tmp_path: Path, tab: Browser) -> None:
    adata = AnnData(obs=pd.DataFrame({"scmpt_prediction": ["B", "T", "B"]}, index=list("abc")))
    tab.open(pl.report(adata, tmp_path / "report.html").as_uri())
    assert tab.evaluate("document.querySelectorAll('.card').length") == 2
    assert tab.problems == []


def test_fifty_thousand_cells_open_in_three_seconds(tmp_path: Path, tab: Browser) -> None:
    rng = np.random.default_rng(0)
    n_cells = 50_000
    adata = AnnData(
        rng.poisson(0.3, size=(n_cells, 120)).astype(np.float32),
        obs=pd.DataFrame(
            {
                "scmpt_prediction": rng.integers(0, 40, n_cells).astype(str),
                "scmpt_confidence": rng.uniform(size=n_cells),
            },
            index=[f"{number:016x}-1" for number in range(n_cells)],
        ),
        var=pd.DataFrame(index=[f"GENE{number}" for number in range(120)]),
        obsm={"X_umap": rng.normal(size=(n_cells, 2))},
    )
    url = pl.report(adata, tmp_path / "report.html").as_uri()
    assert min(tab.open(url) for _ in range(2)) < MOST_SECONDS
    assert shown(tab) == n_cells
    assert tab.problems == []
