"""Options of a run of questions, and its report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scmpt_scverse._checks import check_positive, check_seed

if TYPE_CHECKING:
    import pandas as pd

    from scmpt_scverse._types import StrPath
    from scmpt_scverse.llm._base import LLMClient

#: Genes that a question shows by default: about 400 tokens.
DEFAULT_N_GENES = 100
#: Maximum number of calls per run by default, to avoid unexpected costs.
DEFAULT_MAX_CALLS = 1000


@dataclass(frozen=True)
class AskOptions:
    """What questions show, and the limits within which they are asked.

    Attributes
    ----------
    n_genes
        Genes per question, most expressed first.
    context
        Tissue, condition, species and the like; sent unchanged.
    markers
        Label to marker genes; only those of the candidates are sent.
    max_calls
        Maximum number of requests to send; `None` for no limit.
    max_cost
        Maximum cost, in the currency of the client's price; `None` for no limit.
    dry_run
        Send nothing, and report what the run would take.
    cache_path
        File of answers; `None` takes the one in the cache folder.
    seed
        Passed to the model; it also determines the order of the candidates.
    progress
        Show a progress bar.

    Raises
    ------
    ValueError
        A number is out of range.
    """

    n_genes: int = DEFAULT_N_GENES
    context: "str | Mapping[str, str] | None" = None
    markers: Mapping[str, Sequence[str]] | None = None
    max_calls: int | None = DEFAULT_MAX_CALLS
    max_cost: float | None = None
    dry_run: bool = False
    cache_path: "StrPath | None" = None
    seed: int = 0
    progress: bool = True

    def __post_init__(self) -> None:
        check_positive(self.n_genes, "n_genes")
        check_seed(self.seed)
        if self.max_calls is not None:
            check_positive(self.max_calls, "max_calls")
        if self.max_cost is not None and not self.max_cost > 0:
            raise ValueError(f"`max_cost` must be above 0; found {self.max_cost}.")

    def check_client(self, client: "LLMClient") -> None:
        """Raise the error that would stop the first request: a limit that this client cannot keep, or a missing key."""
        if self.max_cost is not None and client.price is None:
            raise ValueError(
                f"`max_cost={self.max_cost}` needs a client whose price is known; found {client!r} without one. Pass "
                "`price=` when you make the client."
            )
        if not self.dry_run:
            client.check()

    @property
    def content(self) -> dict[str, Any]:
        """The options that determine the questions."""
        return {"n_genes": self.n_genes, "context": self.context, "markers": self.markers, "seed": self.seed}


@dataclass(frozen=True, eq=False)  # comparing tables gives no truth value
class Report:
    """What a run asked and what it cost, or would ask and cost if it is a dry run.

    Attributes
    ----------
    is_dry_run
        Whether nothing was asked.
    n_cells
        Cells, or clusters, to ask about.
    n_questions
        Distinct questions about them.
    n_cached
        Number of these that were answered before.
    n_calls
        Requests sent; in a dry run, the most that would be sent.
    n_abstained, n_failed, n_left_out
        Questions on which the model abstained, that got no answer, and that a limit left out.
    input_tokens, output_tokens
        As the server counted them. In a dry run, an estimate of the input, and the most output that there can be if
        every first answer is valid.
    price
        Price of these tokens, in the currency of the client's `price`; `None` where the price is not known.
    weight
        Weight of the language model in the mixture.
    scores
        Metrics of classifier, language model and mixture on the same labelled cells, with 95 % intervals.
    """

    is_dry_run: bool
    n_cells: int
    n_questions: int
    n_cached: int
    n_calls: int
    n_abstained: int = 0
    n_failed: int = 0
    n_left_out: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    price: float | None = None
    weight: float | None = None
    scores: "pd.DataFrame | None" = None

    def __str__(self) -> str:
        """A few lines for people."""
        at_most = "at most " if self.is_dry_run else ""
        verb = "to make" if self.is_dry_run else "made"
        about = "about " if self.is_dry_run else ""
        price = "not known: give the client a `price`" if self.price is None else f"{at_most}{self.price:.4f}"
        lines = [
            f"cells or clusters  {self.n_cells}",
            f"questions          {self.n_questions}, {self.n_cached} of them answered before",
            f"calls {verb:<13}{self.n_calls}",
            f"tokens             {about}{self.input_tokens} in, {at_most}{self.output_tokens} out",
            f"price              {price}",
        ]
        return "\n".join(lines)
