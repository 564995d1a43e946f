"""Annotate cells by fusing what a foundation model reads in expression with what a text encoder reads in gene names."""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scmpt_scverse import ablation, attribution, datasets, encoders, evaluation, knowledge, llm, metrics, pl, pp, tl
    from scmpt_scverse.model import SCMMGPT, SCMPT

__version__ = version("scmpt-scverse")

__all__ = [
    "SCMMGPT",
    "SCMPT",
    "ablation",
    "attribution",
    "datasets",
    "encoders",
    "evaluation",
    "knowledge",
    "llm",
    "metrics",
    "pl",
    "pp",
    "tl",
]


# torch, scvi and scanpy cost seconds to import, so a public name is imported when it is first used (PEP 562).
def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name.isupper():  # a model
        return getattr(import_module(f"{__name__}.model"), name)
    return import_module(f"{__name__}.{name}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
