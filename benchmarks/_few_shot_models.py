"""Text models of which some study is no part, so that the modality "knowledge" can be judged on that study."""

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from zero_shot import TABLES, TRAIN, RememberedTexts, read_study

from scmpt_scverse import encoders, knowledge
from scmpt_scverse._saved_files import write_model
from scmpt_scverse.module import TextAlignment, TowerOptions
from scmpt_scverse.pp import ExpressionReader
from scmpt_scverse.zero_shot import MarkerProfiles, labelled_cells, sources_of, training_studies


def text_model_without(study: str, data: Path, folder: Path) -> Path:
    """The folder of a model that was trained as `scmmgpt-mini`, but without one study; made where it is missing.

    Tower and markers weigh alike, as nearly in `scmmgpt-mini`; temperatures mean nothing here.
    """
    target = folder / f"without-{study}"
    if target.is_dir():
        return target
    symbols = encoders.get("scgpt-mini").vocabulary
    tables = [knowledge.match_genes(knowledge.read_markers(data / file), symbols) for file in TABLES.values()]
    known = MarkerProfiles.of(knowledge.merge_markers(tables), "human")
    names = pd.read_csv(data / "labels_cl.tsv", sep="\t")
    others = {name: read_study(name, data, names) for name in TRAIN if name != study}
    cells = ad.concat({name: other.cells for name, other in others.items()}, join="outer", label="study", fill_value=0)
    cells.obs_names_make_unique()
    terms = np.concatenate([other.terms for other in others.values()])
    encode = RememberedTexts(encoders.get("minilm")).encode_texts
    sources = sources_of(cells, ExpressionReader, terms, cells.obs["study"].to_numpy(dtype=object))
    studies, texts = training_studies(sources, known, encode)
    n_types = len(known.values)
    markers = np.pad(known.values, ((0, len(texts) - n_types), (0, 0)))
    labelled = [labelled_cells(each, seed=number) for number, each in enumerate(studies)]
    arrays = TextAlignment.fit(texts, markers, labelled, TowerOptions(seed=0)).arrays()
    arrays |= {name: arrays[name][:n_types] for name in ("type_texts", "type_markers")}
    target.mkdir(parents=True)
    write_model(target, "", {"model": "SCMMGPT", "genes": known.genes, "types": known.types.state()}, arrays)
    return target
