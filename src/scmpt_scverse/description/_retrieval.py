"""The default writer: templates over what was retrieved, so that nothing can be made up."""

from collections.abc import Sequence

from scmpt_scverse.description._evidence import Evidence, State
from scmpt_scverse.description._writer import Writer

#: States that a sentence names at most.
_N_STATES = 3


class RetrievalWriter(Writer):
    """Writes one or two sentences: type and definition, then genes and states."""

    name = "retrieval"

    def write(self, evidence: Sequence[Evidence]) -> list[str | None]:
        """See :meth:`Writer.write`; there is a text for each."""
        return [retrieved(each) for each in evidence]


def retrieved(evidence: Evidence) -> str:
    """The description of a group of cells, or of one cell."""
    if not evidence.candidates:
        whose = "It expresses" if evidence.is_cell else "Its cells express"
        return f"Unknown: {whose[0].lower()}{whose[1:]} no gene that the model knows."
    return " ".join(filter(None, [_type_sentence(evidence), _gene_sentence(evidence)]))


def _type_sentence(evidence: Evidence) -> str:
    label, probability = evidence.candidates[0]
    if not evidence.is_sure:
        kinds = f", only that it is a kind of {evidence.term}" if evidence.path else ""
        return f"No type is sure{kinds}; the most likely one is {label} (probability {probability:.2f})."
    if evidence.term == label:
        text = f"Most likely {label} (probability {probability:.2f})"
    else:
        most_likely = f"most likely {label}, {probability:.2f}"
        text = f"A kind of {evidence.term} (probability {evidence.probability:.2f}; {most_likely})"
    return f"{text}: {evidence.definition}." if evidence.definition else f"{text}."


def _gene_sentence(evidence: Evidence) -> str:
    parts = []
    higher = evidence.genes_of("for")
    if higher:
        parts.append(f"expresses {listed(higher)} more than the others")
    against = [
        f"{'higher' if is_higher else 'lower'} {listed(genes)}"
        for is_higher in (True, False)
        if (genes := evidence.genes_of("against", is_higher=is_higher))
    ]
    if against:
        parts.append(f"evidence against it: {' and '.join(against)}")
    if evidence.states:
        shown = "it shows" if evidence.is_cell else "states of its cells:"
        states = [_state(state, is_cell=evidence.is_cell) for state in evidence.states[:_N_STATES]]
        parts.append(f"{shown} {listed(states)}")
    if not parts:
        return ""
    sentence = "; ".join(parts)
    if higher:
        return f"It {sentence}." if evidence.is_cell else f"Its cells {sentence.replace('expresses', 'express', 1)}."
    return f"{sentence[0].upper()}{sentence[1:]}."


def _state(state: State, *, is_cell: bool) -> str:
    genes = f" ({listed(state.genes)})" if state.genes else ""
    return f"{state.name}{genes}" if is_cell else f"{100 * state.share:.0f} % {state.name}{genes}"


def listed(names: Sequence[str]) -> str:
    """`A, B and C`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
