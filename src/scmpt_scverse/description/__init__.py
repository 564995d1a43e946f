"""Texts about groups of cells, or about single cells, and the evidence that they rest on."""

from scmpt_scverse.description._describe import (
    Described as Described,
    described as described,
)
from scmpt_scverse.description._evidence import (
    Evidence as Evidence,
    Oddity as Oddity,
    State as State,
    StatedGene as StatedGene,
)
from scmpt_scverse.description._language_model_writer import LanguageModelWriter as LanguageModelWriter
from scmpt_scverse.description._llm_writer import LLMWriter as LLMWriter
from scmpt_scverse.description._retrieval import RetrievalWriter as RetrievalWriter
from scmpt_scverse.description._states import Programmes as Programmes
from scmpt_scverse.description._subjects import Subjects as Subjects
from scmpt_scverse.description._support import unsupported as unsupported
from scmpt_scverse.description._tables import (
    description_table as description_table,
    is_description_table as is_description_table,
)
from scmpt_scverse.description._writer import TAUGHT as TAUGHT, WRITERS as WRITERS, Writer as Writer
from scmpt_scverse.description._writer_training import (
    TaughtWriter as TaughtWriter,
    cell_vectors as cell_vectors,
    fit_writer as fit_writer,
    texts_of_cells as texts_of_cells,
)
from scmpt_scverse.description._written import (
    is_language_model as is_language_model,
    writer_of as writer_of,
    written as written,
)
