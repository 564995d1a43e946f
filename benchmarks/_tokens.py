"""Sentences and tokens, beside Python and the tokenizer."""

import numpy as np
from anndata import AnnData
from benchmarks._measure import Line, best_seconds, pbmc
from transformers import AutoTokenizer

from scmpt_scverse import encoders, pp
from scmpt_scverse.encoders._sentence_tokens import SentenceTokenizer
from scmpt_scverse.pp._cell_sentence import sentences_of
from scmpt_scverse.pp._expression import ExpressionReader
from scmpt_scverse.pp._gene_tokens import tokenize_genes


def python_sentences(adata: AnnData) -> list[str]:
    """Cell sentences as one would write them first: densify, then sort each cell's genes."""
    genes = adata.var_names.to_numpy()
    values = adata.X.toarray()
    return [" ".join(genes[j] for j in np.argsort(-row, kind="stable") if row[j] > 0) for row in values]


def measure_tokens(n_cells: int) -> list[Line]:
    """Each figure from the matrix to what a network takes, reading and checking included."""
    cells, few = pbmc(n_cells), pbmc(700)
    sentences = pp.cell_sentences(few).tolist()
    tokenizer = AutoTokenizer.from_pretrained(encoders.get("minilm").folder)
    ids_of = SentenceTokenizer(tokenizer, 256)
    rates = {
        "cell sentences": n_cells / best_seconds(lambda: pp.cell_sentences(cells)),
        "gene tokens with bins": n_cells
        / best_seconds(
            lambda: [
                tokenize_genes(chunk.matrix, np.arange(cells.n_vars)) for chunk in ExpressionReader(cells).chunks()
            ]
        ),
        "token ids of sentences": n_cells
        / best_seconds(lambda: [ids_of(sentences_of(chunk, 256)) for chunk in ExpressionReader(cells).chunks()]),
    }
    in_python = 700 / best_seconds(lambda: python_sentences(few))
    on_strings = 700 / best_seconds(lambda: tokenizer(sentences, truncation=True, max_length=256))
    from_cells = 1 / (1 / in_python + 1 / on_strings)
    rate = rates["cell sentences"]
    lines = [Line("cell sentences", rate, "cells/s", "dense rows sorted in Python", in_python, rate / in_python)]
    for what in ("gene tokens with bins", "token ids of sentences"):
        rate = rates[what]
        lines.append(Line(what, rate, "cells/s", "tokenizer on strings", on_strings, rate / on_strings, ">= 50"))
        lines.append(Line(what, rate, "cells/s", "Python sentences and tokenizer", from_cells, rate / from_cells))
        lines.append(Line(what, rate, "cells/s", "at least 20,000 cells/s", 20_000, rate / 20_000, ">= 1"))
    return lines
