"""Every form of a sentence by hand, and the tables that two of them need."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scmpt_scverse.pp import GeneExpression, check_form, read_table, sentences_in_form

GENES = np.array(["A", "B", "C", "D", "E"], dtype=object)


def cells(*rows: list[float]) -> GeneExpression:
    return GeneExpression(sparse.csr_matrix(np.array(rows, dtype=np.float32)), GENES)


def test_ranked() -> None:
    assert sentences_in_form("ranked", cells([1, 0, 3, 2, 1]), None).texts() == ["C D A E"]
    assert sentences_in_form("ranked", cells([1, 0, 3, 2, 1]), 2).texts() == ["C D"]


def test_levels_are_those_of_the_cell_and_its_quantiles_belong_to_the_upper_level() -> None:
    """Median of 1 to 5 is 3, which is high; the 90 % quantile is 4.6, so 5 alone is very high."""
    texts = sentences_in_form("binned", cells([1, 2, 3, 4, 5], [0, 0, 0, 0, 0], [7, 7, 7, 7, 7]), None).texts()
    assert texts[0] == "E very high D high C high B low A low"
    assert texts[1] == ""
    assert texts[2] == " ".join(f"{gene} very high" for gene in GENES)
    assert sentences_in_form("binned", cells([0, 1, 0, 9, 0]), 1).texts() == ["D very high"]


def test_the_top_tenth_is_very_high() -> None:
    genes = np.array([f"G{number}" for number in range(101)], dtype=object)
    values = sparse.csr_matrix(np.arange(1.0, 102.0)[None])
    text = sentences_in_form("binned", GeneExpression(values, genes), None).texts()[0]
    assert text.count("very high") == 11  # 91 is the quantile, and belongs
    assert text.count("low") == 50


def test_words_count_from_the_gene_whatever_the_form() -> None:
    expression = cells([1, 2, 3, 4, 5])
    for form, table in (("binned", None), ("ranked", None), ("full_names", pd.Series({"A": "a name"}))):
        words = sentences_in_form(form, expression, None, table).ranked % 5
        assert words.tolist() == [4, 3, 2, 1, 0]


def test_a_gene_of_every_cell_keeps_its_expression_and_rare_genes_rise() -> None:
    table = pd.Series({"A": 1.0, "B": 0.1, "C": np.exp(-1)})
    # 1 - log(share): 1 for A, 3.3 for B, 2 for C; D and E are not listed, and count as rare as B.
    assert sentences_in_form("tfidf", cells([5, 1, 2, 0, 0]), None, table).texts() == ["A C B"]
    assert sentences_in_form("tfidf", cells([3.9, 0, 2, 0, 0]), None, table).texts() == ["C A"]
    assert sentences_in_form("tfidf", cells([4.1, 0, 2, 0, 0]), None, table).texts() == ["A C"]
    assert sentences_in_form("tfidf", cells([3.2, 0, 0, 1, 0]), None, table).texts() == ["D A"]
    assert sentences_in_form("tfidf", cells([3.4, 0, 0, 1, 0]), 1, table).texts() == ["A"]
    assert sentences_in_form("tfidf", cells([0, 1, 0, 1, 1]), None, table).texts() == ["B D E"]


def test_a_share_of_zero_counts_as_the_smallest_share() -> None:
    table = pd.Series({"A": 0.0, "B": 0.5, "C": 0.2})
    assert sentences_in_form("tfidf", cells([1, 0, 1.01, 0, 0]), None, table).texts() == ["C A"]
    assert sentences_in_form("tfidf", cells([1.01, 0, 1, 0, 0]), None, table).texts() == ["A C"]


def test_full_names_where_there_are_some() -> None:
    table = pd.Series({"A": "alpha chain", "C": "gamma chain"})
    assert sentences_in_form("full_names", cells([1, 2, 3, 0, 0]), None, table).texts() == ["gamma chain B alpha chain"]


@pytest.mark.parametrize(("name", "separator"), [("table.csv", ","), ("table.tsv", "\t"), ("table.csv.gz", ",")])
def test_tables_in_either_format(tmp_path: Path, name: str, separator: str) -> None:
    rows = [["gene", "share", "more"], ["A", "0.5", "x"], ["B", "", "y"], ["A", "0.7", "z"], ["C", "1", "w"]]
    path = tmp_path / name
    pd.DataFrame(rows[1:], columns=rows[0]).to_csv(path, sep=separator, index=False)
    table = read_table(path, "tfidf")
    assert table.to_dict() == {"A": 0.5, "C": 1.0}


@pytest.mark.parametrize("values", [["0.5", "1.01"], ["0.5", "-0.01"], ["0.5", "often"]])
def test_shares_out_of_range_are_refused(tmp_path: Path, values: list[str]) -> None:
    path = tmp_path / "table.csv"
    pd.DataFrame({"gene": ["A", "B"], "share": values}).to_csv(path, index=False)
    with pytest.raises(ValueError, match="Expected shares from 0 to 1 in the second column"):
        read_table(path, "tfidf")
    assert read_table(path, "full_names").index.tolist() == ["A", "B"]


def test_a_form_and_its_table_are_checked_early(tmp_path: Path) -> None:
    check_form("binned", None)
    check_form("tfidf", "a path")
    with pytest.raises(ValueError, match="`sentence='tfidf'` needs `sentence_table=`: .* the share of cells"):
        check_form("tfidf", None)
    with pytest.raises(ValueError, match="Unknown `sentence='bined'`.*Did you mean 'binned'"):
        check_form("bined", None)
    with pytest.raises(FileNotFoundError, match="needs a table of each gene and its full name; none at"):
        read_table(tmp_path / "nowhere.csv", "full_names")
