"""Second opinions: language models that choose among candidate labels, and how theirs is mixed with the head's."""

from scmpt_scverse.llm._answer_cache import AnswerCache
from scmpt_scverse.llm._ask import Report
from scmpt_scverse.llm._base import Answer, LLMClient, Message, Request
from scmpt_scverse.llm._get import get
from scmpt_scverse.llm._late_fusion import fit_weight, mix_probabilities
from scmpt_scverse.llm._openai_compatible import OpenAICompatibleClient
from scmpt_scverse.llm._prompt import build_request
from scmpt_scverse.llm._recorded import RecordedClient
from scmpt_scverse.llm._transformers import TransformersClient

__all__ = [
    "Answer",
    "AnswerCache",
    "LLMClient",
    "Message",
    "OpenAICompatibleClient",
    "RecordedClient",
    "Report",
    "Request",
    "TransformersClient",
    "build_request",
    "fit_weight",
    "get",
    "mix_probabilities",
]
