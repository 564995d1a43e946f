"""Questions about cells or clusters, asked within limits."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from scmpt_scverse import llm
from scmpt_scverse.llm._ask import ask

if TYPE_CHECKING:
    from scmpt_scverse._types import FloatArray, StrPath
    from scmpt_scverse.tl._llm_subjects import Subjects

#: Calls of one run, so that nobody is surprised by a bill.
DEFAULT_MAX_CALLS = 1000


def ask_about(
    subjects: "Subjects",
    candidates: Sequence[Sequence[str]],
    client: llm.LLMClient,
    *,
    probabilities: "FloatArray | None",
    context: "str | Mapping[str, str] | None",
    markers: Mapping[str, Sequence[str]] | None,
    max_calls: int | None,
    max_cost: float | None,
    dry_run: bool,
    cache_path: "StrPath | None",
    seed: int,
    progress: bool,
) -> tuple[list[llm.Request], list[llm.Answer | None], llm.Report]:
    """Requests about subjects, least certain first, their answers, and the report.

    `candidates` are those of each subject, `probabilities` what a classifier gives them, shape `(n_subjects, n)`; the
    rest as in :func:`scmpt_scverse.tl.annotate_with_llm`.
    """
    requests = [
        llm.build_request(
            genes,
            candidates[number],
            instruction=client.instruction,
            probabilities=None if probabilities is None else probabilities[number].tolist(),
            context=context,
            markers=markers,
            subject=subjects.kind,
            seed=seed,
        )
        for number, genes in enumerate(subjects.genes)
    ]
    with llm.AnswerCache(cache_path) as cache:
        answers, report = ask(
            client, requests, cache=cache, max_calls=max_calls, max_cost=max_cost, dry_run=dry_run, progress=progress
        )
    return requests, answers, report
