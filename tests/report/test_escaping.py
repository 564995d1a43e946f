"""Text of labels, genes and descriptions stays text."""

from pathlib import Path

import pandas as pd
from anndata import AnnData
from tests.report.conftest import Page

from scmpt_scverse import pl

HOSTILE = (
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    '"><img src=x onerror=alert(3)>',
    "<!--<script>",
    "'onmouseover='alert(4)",
    "{{ 7 * 6 }}",
    "&lt;b&gt;",
    "T\u2028cell\nof two lines",
)


def hostile(adata: AnnData) -> AnnData:
    """Cells whose every text is hostile."""
    n = len(HOSTILE)
    adata = adata.copy()
    adata.obs["scmpt_prediction"] = [HOSTILE[place % n] for place in range(adata.n_obs)]
    names = [*adata.var_names]
    names[:4] = HOSTILE[:4]
    adata.var_names = names
    adata.obs_names = [f"{HOSTILE[place % n]} {place}" for place in range(adata.n_obs)]
    del adata.obsm["scmpt_probabilities"]
    adata.uns["scmpt"] = {"embeddings": {HOSTILE[0]: {HOSTILE[1]: HOSTILE[2]}}}
    adata.obs["clusters"] = adata.obs["scmpt_prediction"]
    adata.uns["scmpt_descriptions"] = pd.DataFrame(
        {"description": [HOSTILE[0]] * n, "genes_for": [HOSTILE[2]] * n, "states": [HOSTILE[1]] * n},
        index=pd.Index(HOSTILE, name="clusters"),
    )
    return adata


def test_hostile_texts_add_no_tags_and_arrive_as_they_are(cells: AnnData, tmp_path: Path) -> None:
    adata, path = hostile(cells), tmp_path / "report.html"
    options = {"group_key": "clusters", "title": HOSTILE[1], "genes": HOSTILE[:4]}
    page = Page.read(pl.report(adata, path, **options))  # type: ignore[arg-type]
    plain = Page.read(pl.report(cells, path))
    # Ours: the data and the script; a page of plain texts has the same.
    assert [tag for tag, _ in page.tags if tag in {"script", "img", "b"}].count("script") == 2
    assert {tag for tag, _ in page.tags} <= {tag for tag, _ in plain.tags} | {"table", "tr", "th", "td"}
    assert all(not name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert page.data["labellings"][0]["labels"] == sorted(HOSTILE)
    assert [gene["name"] for gene in page.data["genes"]][:4] == [text.strip('"') for text in HOSTILE[:4]]
    for text in HOSTILE[:4]:
        assert text in page.text
    assert "42" not in page.card("{{ 7 * 6 }}").split("cells")[0]


def test_page_may_run_its_own_script_only_and_load_nothing(cells: AnnData, tmp_path: Path) -> None:
    page = Page.read(pl.report(cells, tmp_path / "report.html"))
    policy = next(
        attributes["content"]
        for tag, attributes in page.tags
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "script-src 'sha256-" in policy
    assert "http" not in policy
    assert not [
        attributes for tag, attributes in page.tags if tag != "link" and ("src" in attributes or "href" in attributes)
    ]
