"""What users may pass: columns that are none, one group, very many, labels that are no types, odd programmes."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from scmpt_scverse import SCMMGPT
from scmpt_scverse.description import Evidence, Writer
from scmpt_scverse.llm import Answer, LLMClient, Request

LABELS = ["B cell", "monocyte", "natural killer cell", "T cell"]
QUICK = {"labels": LABELS, "refine": "none"}


def test_a_missing_column_is_named(text_model: SCMMGPT, pbmc: AnnData) -> None:
    with pytest.raises(KeyError, match="No 'louvian' in `adata.obs`; found .* Did you mean 'louvain'"):
        text_model.describe(pbmc, "louvian")


def test_groups_of_missing_values_only(text_model: SCMMGPT, pbmc: AnnData) -> None:
    pbmc.obs["none"] = pd.Categorical([None] * pbmc.n_obs)
    with pytest.raises(ValueError, match="Expected groups of cells in .*; found missing values only. Pass another"):
        text_model.describe(pbmc, "none")


def test_a_cell_alone_cannot_be_compared(text_model: SCMMGPT, pbmc: AnnData) -> None:
    with pytest.raises(ValueError, match="Expected at least two cells.*; found 1. Pass all"):
        text_model.describe(pbmc[:1].copy(), "louvain")


def test_what_is_no_description_is_not_replaced(text_model: SCMMGPT, pbmc: AnnData) -> None:
    pbmc.uns["scmmgpt_descriptions"] = {"mine": 1}
    with pytest.raises(ValueError, match="exists and holds no descriptions. Pass another `key_added=`"):
        text_model.describe(pbmc, "louvain")
    pbmc.obs.index.name = "mine_description"
    with pytest.raises(ValueError, match="the index of `adata.obs` has this name"):
        text_model.describe(pbmc, key_added="mine")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"refine": "more"}, "Unknown `refine='more'`"),
        ({"back_off": 0}, "`back_off` must be above 0"),
        ({"writer": "poet"}, "Unknown `writer='poet'`"),
        ({"labels": ["B cell"]}, "at least two labels"),
        ({"programmes": {"mine": ["NOGENE1", "NOGENE2"]}}, "Expected markers of human genes"),
        ({"programmes": {"mine": []}}, "Expected rows with a cell type and a gene"),
    ],
)
def test_options_are_checked(text_model: SCMMGPT, pbmc: AnnData, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        text_model.describe(pbmc, "louvain", **options)  # type: ignore[arg-type]
    assert "scmmgpt_descriptions" not in pbmc.uns


def test_a_writer_that_is_none(text_model: SCMMGPT, pbmc: AnnData) -> None:
    with pytest.raises(TypeError, match="`writer` must be one of 'retrieval', or a class or instance of `Writer`"):
        text_model.describe(pbmc, "louvain", writer=3)  # type: ignore[arg-type]


def test_one_group_has_nothing_to_be_compared_with(text_model: SCMMGPT, pbmc: AnnData) -> None:
    pbmc.obs["all"] = "everything"
    with pytest.warns(UserWarning, match="Expected several groups .* found 'everything' only"):
        table = text_model.describe(pbmc, "all", **QUICK)  # type: ignore[arg-type]
    assert len(table) == 1
    assert (table[["genes_for", "genes_against"]] == "").all(axis=None)


def test_empty_and_missing_groups_are_left_out(text_model: SCMMGPT, pbmc: AnnData) -> None:
    groups = pbmc.obs["louvain"].cat.add_categories(["empty"])
    groups[groups == "4"] = None
    pbmc.obs["mine"] = groups
    table = text_model.describe(pbmc, "mine", **QUICK)  # type: ignore[arg-type]
    assert list(table.index) == [name for name in pbmc.obs["louvain"].cat.categories if name != "4"]


def test_numbers_as_groups(text_model: SCMMGPT, pbmc: AnnData) -> None:
    pbmc.obs["number"] = pbmc.obs["louvain"].astype(float)
    table = text_model.describe(pbmc, "number", **QUICK)  # type: ignore[arg-type]
    assert list(table.index) == [str(number) for number in range(11)]


def test_a_column_of_the_name_of_ours(text_model: SCMMGPT, pbmc: AnnData, tmp_path: Path) -> None:
    pbmc.obs["label"] = pbmc.obs["louvain"]
    table = text_model.describe(pbmc, "label", **QUICK)  # type: ignore[arg-type]
    assert table.index.name == "group"
    pbmc.write_h5ad(tmp_path / "cells.h5ad")
    stored = ad.read_h5ad(tmp_path / "cells.h5ad").uns["scmmgpt_descriptions"]
    assert stored["description"].tolist() == table["description"].tolist()


def test_a_file_that_is_read_in_chunks(text_model: SCMMGPT, pbmc: AnnData, tmp_path: Path) -> None:
    pbmc.write_h5ad(tmp_path / "cells.h5ad")
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    for groupby in ("louvain", None):
        found = text_model.describe(backed, groupby, **QUICK)  # type: ignore[arg-type]
        expected = text_model.describe(pbmc, groupby, **QUICK)  # type: ignore[arg-type]
        pd.testing.assert_frame_equal(found, expected)
    backed.file.close()


def test_very_many_groups(text_model: SCMMGPT, pbmc: AnnData) -> None:
    pbmc.obs["id"] = pbmc.obs_names
    with pytest.warns(UserWarning, match=r"Expected groups of cells .*; found 700 of 1 cell\(s\), such as .* Pass a"):
        table = text_model.describe(pbmc, "id", **QUICK)  # type: ignore[arg-type]
    alone = text_model.describe(pbmc, **QUICK)  # type: ignore[arg-type]
    assert (table.loc[pbmc.obs_names, "label"].to_numpy() == alone["label"].to_numpy()).all()
    assert table["unusual"].str.contains("only 1 cell").all()


def test_labels_that_are_no_types(text_model: SCMMGPT, pbmc: AnnData) -> None:
    with pytest.warns(UserWarning, match="Nothing is known of 'flurb' but the name"):
        table = text_model.describe(pbmc, "louvain", labels=["flurb", *LABELS], refine="none")
    assert not table["description"].str.contains("nan|None").any()
    own = {"my own B": ["MS4A1", "CD79A", "CD3D-"], "another": ["CD3D", "CD3E"], "third": ["LYZ", "S100A9"]}
    table = text_model.describe(pbmc, "louvain", labels=own, refine="none", back_off=0.5)
    assert table.loc["4", "label"] == "my own B"
    assert table.loc["4", "ontology_id"] == table.loc["4", "path"] == table.loc["4", "definition"] == ""
    assert "MS4A1" in table.loc["4", "genes_for"]


def test_cells_that_cannot_be_read(text_model: SCMMGPT, pbmc: AnnData) -> None:
    matrix = sparse.csr_matrix(pbmc.X).tolil()
    empty = np.flatnonzero(pbmc.obs["louvain"].isin(["10"]))
    matrix[empty] = 0
    pbmc.X = matrix.tocsr()
    table = text_model.describe(pbmc, "louvain", **QUICK)  # type: ignore[arg-type]
    assert table.loc["10", "description"] == "Unknown: its cells express no gene that the model knows."
    assert table.loc["10", ["term", "label", "genes_for", "states"]].tolist() == [""] * 4
    assert "13 of 13 cells express no gene" in table.loc["10", "unusual"]
    by_chat = text_model.describe(pbmc, "louvain", writer=Chat("A {label}."), **QUICK)  # type: ignore[arg-type]
    assert (by_chat["writer"] == "Chat").tolist() == [name != "10" for name in by_chat.index]
    assert "10" not in set(pbmc.uns["scmmgpt_evidence"]["group"])
    cells = text_model.describe(pbmc, **QUICK)  # type: ignore[arg-type]
    assert (cells["description"].iloc[empty] == "Unknown: it expresses no gene that the model knows.").all()


def test_what_is_unusual(text_model: SCMMGPT, pbmc: AnnData) -> None:
    rng = np.random.default_rng(0)
    dense = pbmc.X.toarray() if sparse.issparse(pbmc.X) else np.asarray(pbmc.X).copy()
    shallow = (pbmc.obs["louvain"] == "1").to_numpy()
    dense[shallow] *= rng.random(dense[shallow].shape) < 0.25
    pbmc.X = dense
    pbmc.obs["mine"] = pbmc.obs["louvain"].astype(str)
    t_cells, b_cells = (np.flatnonzero(pbmc.obs["louvain"] == name)[:30] for name in ("0", "4"))
    pbmc.obs.iloc[[*t_cells, *b_cells], pbmc.obs.columns.get_loc("mine")] = "both"
    pbmc.obs.iloc[np.flatnonzero(pbmc.obs["louvain"] == "2")[:4], pbmc.obs.columns.get_loc("mine")] = "few"
    table = text_model.describe(pbmc, "mine", **QUICK)  # type: ignore[arg-type]
    assert "low depth: " in table.loc["1", "unusual"]
    assert "low depth" not in table.loc["0", "unusual"]
    assert "only 4 cells" in table.loc["few", "unusual"]
    both = table.loc["both"]
    assert both["term"] == "lymphocyte" or "mixed: " in both["unusual"]
    without_b = text_model.describe(pbmc, "louvain", labels=[name for name in LABELS if name != "B cell"])
    assert "fit as well or better" in without_b.loc["4", "unusual"]


def with_programme(cells: AnnData, genes: Sequence[str], share: float) -> AnnData:
    """Cells of which a share of the natural killer cells has switched on some genes."""
    changed = cells.copy()
    dense = cells.X.toarray() if sparse.issparse(cells.X) else np.asarray(cells.X).copy()
    rows = np.flatnonzero(cells.obs["bulk_labels"] == "CD56+ NK")
    rows = rows[: round(share * len(rows))]
    dense[np.ix_(rows, cells.var_names.get_indexer(genes))] += 3
    changed.X = dense
    return changed


GENES = ["ACTR3", "AP2S1", "ARPC5", "CAPZB", "COX5B", "EIF1AY", "GLRX", "HNRNPK"]


def test_programmes_of_a_user(text_model: SCMMGPT, pbmc: AnnData) -> None:
    genes = [gene for gene in GENES if gene in pbmc.var_names]
    cells = with_programme(pbmc, genes, 0.6)
    table = text_model.describe(cells, "bulk_labels", programmes={"odd state": genes}, **QUICK)  # type: ignore[arg-type]
    has_it = table["states"].str.contains("odd state")
    assert has_it["CD56+ NK"]
    assert has_it.sum() == 1
    share = float(table.loc["CD56+ NK", "states"].split("odd state (")[1].split(" %")[0])
    assert share == pytest.approx(60, abs=8)
    assert set(table.loc["CD56+ NK", "states"].split(": ")[1].split(")")[0].split(", ")) <= set(genes)
    assert f"{share:.0f} % odd state (" in table.loc["CD56+ NK", "description"]
    assert (
        not text_model.describe(pbmc, "bulk_labels", programmes={"odd state": genes}, **QUICK)[  # type: ignore[arg-type]
            "states"
        ]
        .str.contains("odd state")
        .any()
    )


def test_programmes_with_few_genes_are_named(text_model: SCMMGPT, pbmc: AnnData) -> None:
    few = {"small": ["CD3D", "CD3E", "NOGENE"], "good": ["CD3D", "CD3E", "CD3G"]}
    with pytest.warns(UserWarning, match="at least 3 genes that differ between the cells; found fewer of 'small'"):
        text_model.describe(pbmc, "louvain", programmes=few, **QUICK)  # type: ignore[arg-type]


class Poet(Writer):
    """Writes what a test gives it."""

    def __init__(self, *texts: str | None) -> None:
        self.texts = texts

    def write(self, evidence: Sequence[Evidence]) -> list[str | None]:
        return [self.texts[number % len(self.texts)] for number in range(len(evidence))]


def test_texts_of_a_writer_are_checked(text_model: SCMMGPT, pbmc: AnnData) -> None:
    default = text_model.describe(pbmc, "louvain", **QUICK)  # type: ignore[arg-type]
    poet = Poet("A quiet cluster.", "They express INS.", None, "Hepatocytes, all of them.")
    with pytest.warns(UserWarning, match="Of 11 texts, 5 say more .* 'INS', 'Hepatocytes', and 3 are missing"):
        table = text_model.describe(pbmc, "louvain", writer=poet, **QUICK)  # type: ignore[arg-type]
    assert table["writer"].tolist()[:4] == ["Poet", "retrieval", "retrieval", "retrieval"]
    assert table["description"].iloc[0] == "A quiet cluster."
    assert table["description"].tolist()[1:4] == default["description"].tolist()[1:4]
    columns = [name for name in default if name not in ("description", "writer")]
    pd.testing.assert_frame_equal(table[columns], default[columns])


def test_a_writer_of_too_few_texts(text_model: SCMMGPT, pbmc: AnnData) -> None:
    class Lazy(Poet):
        def write(self, evidence: Sequence[Evidence]) -> list[str | None]:
            return ["one"]

    with pytest.raises(ValueError, match="Expected one text for each of 11 descriptions .*; found 1. Its `write` must"):
        text_model.describe(pbmc, "louvain", writer=Lazy(), **QUICK)  # type: ignore[arg-type]
    assert "scmmgpt_descriptions" not in pbmc.uns


class Chat(LLMClient):
    """Chooses the candidate of a place, and says a sentence about the first gene; keeps what it was sent."""

    model = "a chat of the tests"
    instruction = "Answer."

    def __init__(self, says: str, place: int | None = None) -> None:
        self.says, self.place, self.requests = says, place, list[Request]()

    @property
    def parameters(self) -> dict[str, object]:  # type: ignore[override]
        return {"says": self.says, "place": self.place}

    def answer(self, requests: "Iterator[Request]") -> Iterator[tuple[Request, Answer]]:  # type: ignore[override]
        for request in requests:
            self.requests.append(request)
            place = 0 if self.place is None else self.place
            shares = tuple(float(number == place) for number in range(len(request.candidates)))
            text = self.says.format(gene=(request.genes or ("nothing",))[0], label=request.candidates[place])
            yield request, Answer("answered", shares, text)


def test_a_language_model_gets_the_evidence_and_may_say_no_more(text_model: SCMMGPT, pbmc: AnnData) -> None:
    chat = Chat("A {label}, for it expresses {gene}.")
    table = text_model.describe(pbmc, "louvain", writer=chat, **QUICK)  # type: ignore[arg-type]
    assert (table["writer"] == "Chat").all()
    assert table.loc["4", "description"].startswith("A B cell, for it expresses ")
    sent = chat.requests[4].messages[1].content
    assert table.loc["4", "definition"] in sent
    assert pbmc.obs_names[0] not in "".join(request.messages[1].content for request in chat.requests)
    with pytest.warns(UserWarning, match="Of 11 texts, 11 say more than the evidence, which name 'INS'"):
        wrong = text_model.describe(pbmc, "louvain", writer=Chat("They make INS."), **QUICK)  # type: ignore[arg-type]
    assert (wrong["writer"] == "retrieval").all()
    with pytest.warns(UserWarning, match="0 say more than the evidence, and 11 are missing"):
        text_model.describe(pbmc, "louvain", writer=Chat("A {label}.", place=1), **QUICK)  # type: ignore[arg-type]


def test_order_and_company_of_groups_do_not_matter(text_model: SCMMGPT, pbmc: AnnData) -> None:
    first = text_model.describe(pbmc, "louvain", **QUICK)  # type: ignore[arg-type]
    turned = pbmc[::-1].copy()
    second = text_model.describe(turned, "louvain", **QUICK)  # type: ignore[arg-type]
    assert second["description"].tolist() == first["description"].tolist()
    both = ad.concat({"a": pbmc, "b": pbmc}, label="copy", index_unique="-")
    twice = text_model.describe(both, "louvain", **QUICK)  # type: ignore[arg-type]
    assert (twice["term"] == first.loc[twice.index, "term"]).mean() > 0.8
