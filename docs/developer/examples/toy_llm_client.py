"""A client without a language model: it chooses the candidate whose marker genes a question shows most of."""

from collections.abc import Generator, Iterable, Mapping, Sequence

from scmpt_scverse import llm

MARKERS = {"B cell": ("CD79A", "MS4A1"), "Monocyte": ("LYZ", "S100A9"), "T cell": ("CD3D", "IL7R")}


class MarkerOverlapClient(llm.LLMClient):
    """Chooses by the number of marker genes among the genes that a question shows; abstains where there are none."""

    model = "marker-overlap-1"  # a new name for new rules: answers are stored by it
    instruction = "Name the candidate with the most marker genes."
    price = (0.0, 0.0)

    def __init__(self, markers: Mapping[str, Sequence[str]] = MARKERS) -> None:
        self.markers = {label: sorted(genes) for label, genes in markers.items()}

    @property
    def parameters(self) -> dict[str, str | int | float | bool | list[str] | None]:
        """Whatever changes an answer, in plain values: it is part of the key of stored answers."""
        return {f"markers of {label}": genes for label, genes in self.markers.items()}

    def answer(self, requests: Iterable[llm.Request]) -> Generator[tuple[llm.Request, llm.Answer], None, None]:
        """Yield each request with its answer, probabilities in the order of its candidates."""
        for request in requests:
            found = [set(self.markers.get(label, ())) & set(request.genes) for label in request.candidates]
            n_found = sum(map(len, found))
            if n_found == 0:
                yield request, llm.Answer("abstained", reason="no marker gene among the genes shown")
                continue
            seen = ", ".join(sorted(set().union(*found)))
            yield request, llm.Answer("answered", tuple(len(one) / n_found for one in found), f"It shows {seen}.")
