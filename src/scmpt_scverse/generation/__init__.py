"""Pseudo-cells from texts: what a generator learns from labelled cells, and what it writes for a text."""

from scmpt_scverse.generation._generate import (
    generated_cells as generated_cells,
)
from scmpt_scverse.generation._text_generator import (
    TextGenerator as TextGenerator,
)
from scmpt_scverse.generation._texts import (
    TextReader as TextReader,
    Texts as Texts,
)
from scmpt_scverse.generation._training import (
    fit_generator as fit_generator,
)
