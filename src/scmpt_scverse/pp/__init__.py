"""From AnnData to what frozen encoders read: cell sentences and gene tokens."""

from scmpt_scverse.pp._cell_sentence import cell_sentences

__all__ = ["cell_sentences"]
