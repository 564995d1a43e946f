"""Presets: which encoders and which head, as they were measured together."""

from collections.abc import Mapping
from dataclasses import dataclass

from scmpt_scverse._checks import check_choice
from scmpt_scverse.modalities._modality import COUNTS


@dataclass(frozen=True)
class Preset:
    """A pair of encoders, expression itself or not, and a head.

    Attributes
    ----------
    encoders
        Modality to encoder.
    fusion
        Registered name of the head.
    """

    encoders: Mapping[str, str]
    fusion: str


PRESETS: dict[str, Preset] = {
    # Offline, and the one that the benchmark measures. Texts about genes are as good as sentences of them, and take
    # almost no time; what is known of cell types helps where few cells are labelled.
    "mini": Preset(
        {"text": "minilm-genes", "knowledge": "knowledge", "expression": "scgpt-mini", COUNTS: COUNTS}, "stacked"
    ),
    # The same with encoders of the paper's size, which are downloaded.
    "large": Preset({"text": "ember-v1", "expression": "scgpt-human", COUNTS: COUNTS}, "stacked"),
    # scMPT as published.
    "paper": Preset({"text": "ember-v1", "expression": "scgpt-human"}, "concat"),
}


class _Default(str):
    """A default that is told apart, by `is`, from the same text passed by a user; signatures show the text."""


#: Asked for by name, it adds its encoders to modalities of the user's; as the default, it leaves these alone.
DEFAULT_PRESET: str = _Default("mini")


def preset_of(name: str) -> Preset:
    """The preset of a name."""
    check_choice(name, list(PRESETS), "preset")
    return PRESETS[name]
