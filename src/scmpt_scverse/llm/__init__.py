"""Second opinions: clients of language models that choose among candidate labels, and the use of their answers."""

from scmpt_scverse.llm._answer_cache import AnswerCache as AnswerCache
from scmpt_scverse.llm._ask import ask as ask
from scmpt_scverse.llm._base import (
    Answer as Answer,
    LLMClient as LLMClient,
    Message as Message,
    Request as Request,
)
from scmpt_scverse.llm._get import CLIENTS as CLIENTS, get
from scmpt_scverse.llm._language_model import (
    GivenLanguageModel as GivenLanguageModel,
    LanguageModel as LanguageModel,
)
from scmpt_scverse.llm._late_fusion import Mixture as Mixture, mix as mix
from scmpt_scverse.llm._openai_compatible import OpenAICompatibleClient as OpenAICompatibleClient
from scmpt_scverse.llm._recorded import RecordedClient as RecordedClient
from scmpt_scverse.llm._run import (
    DEFAULT_MAX_CALLS as DEFAULT_MAX_CALLS,
    DEFAULT_N_GENES as DEFAULT_N_GENES,
    AskOptions as AskOptions,
    Report,
)
from scmpt_scverse.llm._second_opinion import (
    SecondOpinion as SecondOpinion,
    Subjects as Subjects,
    ask_about as ask_about,
    group_means as group_means,
    least_certain_first as least_certain_first,
    most_probable as most_probable,
    subjects_of as subjects_of,
)
from scmpt_scverse.llm._transformers import TransformersClient as TransformersClient

__all__ = ["Report", "get"]
