"""What each page about `SCMMGPT` takes as given."""

import re
from functools import partial
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from tests._zero_shot import OPTIONS, SEEN, markers, study, two_studies
from tests.docs._blocks import blocks_of
from tests.docs._given import Setting, given, write_cells

from scmpt_scverse import SCMMGPT, SCMPT, metrics
from scmpt_scverse.pp import log_normalised_cells

#: The cells' types as the Cell Ontology calls them.
NAMES = {
    "CD14+ Monocyte": "monocyte",
    "CD19+ B": "B cell",
    "CD56+ NK": "natural killer cell",
    "Dendritic": "dendritic cell",
}


@given("user_guide/scmmgpt.md")
def scmmgpt(setting: Setting) -> None:
    setting.fewer_cells(5)
    setting.without_encoders()
    setting.smaller(SCMPT, "rank_attributions", n_cells_per_group=3, n_steps=5)
    setting.smaller(SCMMGPT, "train", options=OPTIONS, progress=False)
    write_cells(study(SEEN[:3], seed=1), "gut.h5ad")
    write_cells(study(SEEN[2:], seed=2), "lung.h5ad")
    for name, table in zip(("my_markers.csv", "PanglaoDB_markers.tsv"), (markers()[::2], markers()[1::2]), strict=True):
        table.to_csv(name, index=False, sep="\t" if name.endswith("tsv") else ",")
    setting.names |= {"cells": two_studies(), "blood": study(SEEN, seed=3), "tables": [markers()]}


@given("user_guide/descriptions.md")
def descriptions(setting: Setting) -> None:
    reference = setting.names["reference"]
    reference.obs["cell_type"] = reference.obs["cell_type"].cat.rename_categories(NAMES)
    SCMMGPT.setup_anndata(reference, "cell_type")
    setting.warnings = (r"Of \d+ texts, 0 say more than the evidence",)
    setting.places["http://localhost:11434"] = setting.fixture("server").address
    setting.places["path/to/language_model"] = str(setting.fixture("language_model"))
    setting.names["folder"] = str(setting.fixture("language_model"))
    setting.check = partial(check_description, setting.fixture("capsys"))


def check_description(capsys: pytest.CaptureFixture[str]) -> None:
    """What is printed first is what the page shows."""
    printed = capsys.readouterr().out.splitlines()[0]
    shown = blocks_of("docs/user_guide/descriptions.md", "text")[0].code.strip()
    # Other processors and versions change the probability in its last digit, and genes of equal share their order.
    number = re.compile(r"\d\.\d\d")
    assert number.sub("", printed).split(" Its cells")[0] == number.sub("", shown).split(" Its cells")[0]
    of_text = [set(re.findall(r"[A-Z][A-Z0-9]{2,}", text)) for text in (printed, shown)]
    assert len(of_text[0] & of_text[1]) >= 4


@given("user_guide/pseudo_cells.md")
def pseudo_cells(setting: Setting) -> None:
    setting.warnings = (
        "Expected raw counts to learn pseudo-cells from",
        r"Nothing is known of 'CD34\+', .* but the name",
    )
    setting.check = partial(check_pseudo_cells, setting.names)


def check_pseudo_cells(names: dict[str, Any]) -> None:
    """Pseudo-cells are of the types that were asked for."""
    real, made = names["cells"], names["pseudo"]
    values = [log_normalised_cells(sparse.csr_matrix(each[:, made.var_names].X)).toarray() for each in (real, made)]
    labels = real.obs["bulk_labels"].astype(str).to_numpy(), made.obs["label"].astype(str).to_numpy()
    table = metrics.generation_metrics(values[0], values[1], labels, n_permutations=1)
    assert table.loc["mean", "knn_10"] > 0.7
    assert not np.any(made.obs["is_low_confidence"])


@given("user_guide/report.md")
def report(setting: Setting) -> None:
    setting.fewer_cells(3)
