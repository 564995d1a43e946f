"""Telegram: the type, how probable it is, and one gene."""

from collections.abc import Sequence

from scmpt_scverse.description import Evidence, Writer


class Telegram(Writer):
    """Writes a few words; nothing where no type is sure, so that the default text stands."""

    def write(self, evidence: Sequence[Evidence]) -> list[str | None]:
        """See `Writer.write`."""
        return [self._one(each) if each.is_sure else None for each in evidence]

    def _one(self, evidence: Evidence) -> str:
        genes = "".join(f", {gene}" for gene in evidence.genes_of("for")[:1])
        return f"{evidence.term} {evidence.probability:.0%}{genes}"
