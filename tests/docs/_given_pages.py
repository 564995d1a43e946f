"""What each page about `SCMPT`, and about what both models share, takes as given."""

import gzip
import runpy
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from tests._adata import as_mouse
from tests.docs import _stand_ins
from tests.docs._blocks import DOCS
from tests.docs._given import Setting, given, real_cells, trained_model, write_cells
from torch.nn import functional

from scmpt_scverse import SCMPT, ablation, encoders
from scmpt_scverse.encoders import CARDS, PretrainingRecipe
from scmpt_scverse.module import Fit, HeldOut

#: Cross-validation that takes a second.
QUICK: dict[str, Any] = {"n_splits": 2, "baselines": ("majority",), "modalities_alone": False}


@given("README.md")
def readme(setting: Setting) -> None:
    setting.without_encoders()
    setting.smaller(SCMPT, "cross_validate", **QUICK)
    setting.warnings = ("Genes that were named are not in the data, .*: 'INS'",)


@given("index.md")
def index(setting: Setting) -> None:
    setting.fewer_cells(3)


@given("user_guide/scmpt.md")
def scmpt(setting: Setting) -> None:
    setting.without_encoders()
    setting.smaller(SCMPT, "cross_validate", **QUICK)
    setting.smaller(SCMPT, "advise", n_splits=2)
    setting.fixture("hub")


@given("user_guide/evaluation.md")
def evaluation(setting: Setting) -> None:
    adata = setting.names["adata"]
    # The names that the page maps to the ontology.
    new = {"Dendritic": "beta", "CD14+ Monocyte": "FCGR3A+ Mono", "CD56+ NK": "NK cell"}
    for cells in (adata, setting.names["query"]):
        cells.obs["cell_type"] = cells.obs["cell_type"].cat.rename_categories(new)
    adata.obs["condition"] = np.resize(["control", "stimulated"], adata.n_obs)
    setting.names["model"] = trained_model(adata.copy(), batch_key="donor")
    setting.without_encoders()


@given("user_guide/attributions.md")
def attributions(setting: Setting) -> None:
    _stand_ins.decoupler(setting.patch)
    query = setting.names["query"]
    query.obs_names = ["AAACCTGAGAAACCAT-1", *query.obs_names[1:]]
    setting.names |= {"model": trained_model(setting.names["reference"], layer="counts")}
    setting.smaller(SCMPT, "rank_attributions", n_cells_per_group=3, n_steps=5)
    setting.smaller(SCMPT, "explain_cell", n_steps=5)
    setting.warnings = ("Groups without a result: 'CD19\\+ B', .* are not in the table",)
    setting.smaller(SCMPT, "deletion_curves", n_cells=2, counts=(0, 1, 5))
    setting.smaller(SCMPT, "counterfactual", max_genes=20)
    setting.smaller(ablation, "run", n_replicates=1)


@given("user_guide/encoders.md")
def of_encoders(setting: Setting) -> None:
    minilm = CARDS["minilm"].local_folder()
    assert minilm is not None
    scgpt = setting.fixture("scgpt_folder")
    for name, folder in {
        "fetched/BAAI--bge-small-en-v1.5": minilm,
        "models/my-text-encoder": minilm,
        "models/ember-v1": minilm,
        "models/scGPT_human": scgpt,
    }.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).symlink_to(folder)
    setting.patch.setenv("SCMPT_ENCODERS", str(Path("fetched").absolute()))
    setting.places["/data/models"] = str(Path("models").absolute())
    adata = setting.names["adata"]
    texts = pd.Series({"CD79A": "CD79a molecule", "MS4A1": "membrane spanning 4-domains A1"}, name="text")
    texts.rename_axis("gene").reset_index().to_csv("gene_names.tsv.gz", sep="\t", index=False)
    adata.obsm["X_scGPT"] = adata.obsm["X_pca"]
    setting.names |= {"my_series": texts, "my_embedding": adata.obsm["X_pca"]}


@given("user_guide/knowledge.md")
def of_knowledge(setting: Setting) -> None:
    panglaodb = "species\tofficial gene symbol\tcell type\tnicknames\torgan\nHs\tCD79A\tB cells\t\tBlood\n"
    with gzip.open("PanglaoDB_markers_27_Mar_2020.tsv.gz", "wt") as file:
        file.write(panglaodb)
    columns = ["tissue_class", "tissue_type", "cell_type", "cell_name", "cellontology_id", "marker", "Symbol"]
    row = ["Blood", "Blood", "Normal cell", "B cell", "CL_0000236", "CD20", "MS4A1"]
    pd.DataFrame([row], columns=columns).to_excel("CellMarker2.xlsx", index=False)
    setting.warnings = ("Markers that are not among the 765 genes are left out: .*'FOO', 'BAR'",)


@given("user_guide/large_data.md")
def large_data(setting: Setting) -> None:
    setting.without_encoders()
    write_cells(setting.names["cells"], "cells.h5ad", "atlas.h5ad")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of formats of zarr that are to come
        setting.names["cells"].write_zarr("atlas.zarr")
        for number in range(2):
            real_cells(10 * number, 10).write_zarr(f"collection.zarr/dataset_{number}")
    _stand_ins.census(setting.patch, "2025-11-08")


@given("user_guide/llm.md")
def of_llm(setting: Setting) -> None:
    setting.patch.setenv("OPENAI_BASE_URL", f"{setting.fixture('server').address}/v1")
    for variable in ("OPENAI_API_KEY", "DEEPSEEK_API_KEY", "AZURE_OPENAI_API_KEY"):
        setting.patch.setenv(variable, "a key")
    Path("models").mkdir()
    Path("models/my-language-model").symlink_to(setting.fixture("language_model"))
    setting.names |= {"model": trained_model(setting.names["reference"]), "input_price": 2.5, "output_price": 10.0}
    setting.names["model"].annotate(setting.names["query"])


@given("user_guide/pretraining.md")
def pretraining(setting: Setting) -> None:
    cells = setting.names["cells"]
    cells.X = cells.layers["counts"]
    write_cells(cells, "liver.h5ad", "gut.h5ad")
    setting.smaller(encoders, "pretrain", recipe=PretrainingRecipe(max_epochs=1))


@given("user_guide/reference_models.md")
def reference_models(setting: Setting) -> None:
    trained_model(setting.names["reference"]).save("references/built/blood-mini")


@given("user_guide/species.md")
def species(setting: Setting) -> None:
    _stand_ins.squidpy(setting.patch)
    names = setting.names
    adata, query = names["adata"], names["query"]
    names["human_model"] = trained_model(names["reference"].copy())
    names["mouse"] = as_mouse(query)
    adata.obsm["spatial"] = np.random.default_rng(0).uniform(size=(adata.n_obs, 2))
    pig = adata.copy()
    pig.var_names = [f"pig-{gene}" for gene in adata.var_names]
    table = pd.DataFrame({"gene": pig.var_names, "human_gene": adata.var_names})
    table.to_csv("pig_orthologs.tsv", sep="\t", index=False)
    names["cells"] = pig
    names["query"] = query[:, ::2].copy()
    adata.obs["known_type"] = adata.obs["cell_type"].where(np.arange(adata.n_obs) % 2 == 0)
    setting.without_encoders()
    setting.smaller(SCMPT, "advise_panel", n_splits=2)


@given("developer/encoders.md")
def developer_encoders(setting: Setting) -> None:
    setting.names |= example("toy_encoder")


@given("developer/fusion_heads.md")
def developer_fusion_heads(setting: Setting) -> None:
    setting.names |= example("toy_fusion_head") | {"Fit": Fit, "torch": torch, "adata": real_cells(0, 25)}
    SCMPT.setup_anndata(setting.names["adata"], "cell_type", obsm_keys={"expression": "X_pca"})
    setting.smaller(SCMPT, "train", max_epochs=20)
    setting.check = partial(check_solved_head, setting.names)


def check_solved_head(names: dict[str, Any]) -> None:
    """The `fit` of the page trains a head that has a `solve`."""

    def solve(head: Any, inputs: dict[str, torch.Tensor], codes: torch.Tensor, *, seed: int) -> HeldOut:
        with torch.enable_grad():
            optimiser = torch.optim.Adam(head.parameters(), 0.01)
            for _ in range(50):
                optimiser.zero_grad()
                logits = head.classify(head.fuse(inputs))
                functional.cross_entropy(logits[:50], codes[:50]).backward()
                optimiser.step()
        return HeldOut(logits[50:].detach(), codes[50:], np.zeros(len(codes) - 50, dtype=int))

    head = type("Solved", (names["MeanFusion"],), {"fit": names["fit"], "solve": solve, "default_train_size": 1.0})
    model = SCMPT(names["adata"], fusion=head, n_hidden=8)
    model.train()
    assert (model.predict() == names["adata"].obs["cell_type"]).mean() > 0.7


@given("developer/llm_clients.md")
def developer_llm_clients(setting: Setting) -> None:
    setting.names |= example("toy_llm_client")


def example(name: str) -> dict[str, Any]:
    """What a page shows as a complete example."""
    return runpy.run_path(str(DOCS / "developer" / "examples" / f"{name}.py"), run_name=name)
