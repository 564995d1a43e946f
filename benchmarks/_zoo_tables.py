"""What the registries hold, as tables: encoders, presets, models, and everything else that is chosen by a name."""

from typing import Any

import pandas as pd
from _markdown import markdown

from scmpt_scverse._saved_files import saved_class
from scmpt_scverse.attribution._get import ATTRIBUTORS
from scmpt_scverse.description._writer import WRITERS
from scmpt_scverse.encoders import CARDS
from scmpt_scverse.evaluation._baselines import BASELINES
from scmpt_scverse.llm._get import CLIENTS
from scmpt_scverse.modalities import PRESETS
from scmpt_scverse.model import pretrained_folder, pretrained_names
from scmpt_scverse.module import DECODERS, FUSIONS
from scmpt_scverse.streaming._executors import EXECUTORS

#: How an encoder gets onto a machine.
_ORIGINS = {
    "bundled": "in the package",
    "package": "extra `offline`",
    "huggingface": "[hub](https://huggingface.co/{source}), extra `download`",
    "google_drive": "[folder](https://drive.google.com/drive/folders/{source}), extra `download`",
}
_READS = {"sentence_transformer": "cell sentence", "gene_text": "texts about genes", "scgpt": "genes and values"}
#: What is chosen by a name, where, and the registry.
_PARTS = {
    "fusion heads": ("`SCMPT(fusion=)`", FUSIONS),
    "attributors": ("`method=` of explanations", ATTRIBUTORS),
    "baselines": ("`baselines=` of `evaluate` and `cross_validate`", BASELINES),
    "clients of language models": ("`llm.get`", CLIENTS),
    "writers": ("`SCMMGPT.describe(writer=)`", WRITERS),
    "decoders": ("`GeneratorOptions(decoder=)`", DECODERS),
    "executors": ("`executor=` of `embed`", EXECUTORS),
}


def zoo_tables() -> dict[str, str]:
    """All of them by name."""
    return {
        "zoo.encoders": encoders_table(),
        "zoo.presets": presets_table(),
        "zoo.models": models_table(),
        "zoo.parts": parts_table(),
    }


def encoders_table() -> str:
    """One row per encoder of this package."""
    rows = {f"`{name}`": _encoder_row(card) for name, card in CARDS.items()}
    return markdown(pd.DataFrame.from_dict(rows, orient="index"), "name")


def _encoder_row(card: Any) -> dict[str, str]:
    return {
        "what it is": card.description,
        "reads": _READS.get(card.kind, "genes and values"),
        "width": f"{card.embedding_dim:,}",
        "where": _ORIGINS[card.origin].format(source=card.source),
        "licence": card.licence,
    }


def presets_table() -> str:
    """One row per preset."""
    rows = {
        f'`"{name}"`': {
            "modalities": ", ".join(f"{modality}: `{encoder}`" for modality, encoder in preset.encoders.items()),
            "head": f"`{preset.fusion}`",
        }
        for name, preset in PRESETS.items()
    }
    return markdown(pd.DataFrame.from_dict(rows, orient="index"), "preset")


def models_table() -> str:
    """One row per trained model in the package."""
    rows = {
        f"`{name}`": {
            "size": f"{sum(path.stat().st_size for path in pretrained_folder(name).iterdir()) / 1e6:.1f} MB",
            "open it with": f'`{saved_class(pretrained_folder(name))}.from_pretrained("{name}")`',
        }
        for name in pretrained_names()
    }
    return markdown(pd.DataFrame.from_dict(rows, orient="index"), "model")


def parts_table() -> str:
    """One row per registry."""
    rows = {
        part: {"chosen by": where, "names": ", ".join(f"`{name}`" for name in registry.names())}
        for part, (where, registry) in _PARTS.items()
    }
    return markdown(pd.DataFrame.from_dict(rows, orient="index"), "part")
