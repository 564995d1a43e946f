"""The network that training begins with: from a checkpoint, or with gene embeddings from co-expression."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.decomposition import TruncatedSVD

from scmpt_scverse.encoders.pretraining._expression_summary import gene_loadings

if TYPE_CHECKING:
    from scmpt_scverse._types import FloatArray
    from scmpt_scverse.encoders._scgpt_checkpoint import ScGPTFolder, ScGPTSettings
    from scmpt_scverse.encoders._scgpt_network import ScGPTNetwork
    from scmpt_scverse.encoders.pretraining._corpus import Corpus

#: Standard deviation of the co-expression part of initial gene embeddings, and the factor on their random part, which
#: distinguishes co-expressed genes.
_COEXPRESSION_STD, _RANDOM_SHARE = 0.1, 0.3


def initial_network(
    corpus: "Corpus", settings: "ScGPTSettings", initial: "ScGPTFolder | None", *, seed: int
) -> "ScGPTNetwork":
    """A network for the corpus' vocabulary.

    With a checkpoint, all its weights are used, and genes that it does not know get random embeddings. Without one,
    genes that are expressed in the same cells start with similar embeddings.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = settings.network(len(corpus.vocabulary))
    embedding = network.encoder.embedding.weight.data  # (n_tokens, dim)
    if initial is None:
        coexpression = torch.from_numpy(_coexpression(corpus, settings.embsize, seed))
        is_known = coexpression.any(dim=1)
        embedding[is_known] *= _RANDOM_SHARE
        embedding[:, : coexpression.shape[1]] += coexpression
        return network
    weights = initial.load_network().state_dict()
    weights["encoder.embedding.weight"] = torch.cat(
        [weights["encoder.embedding.weight"], embedding[len(initial.vocabulary) :]]
    )
    network.load_state_dict(weights)
    return network


def _coexpression(corpus: "Corpus", dim: int, seed: int) -> "FloatArray":
    """Directions in which genes vary together over all studies, float32, shape `(n_tokens, up to dim)`."""
    columns = []
    for study in corpus.studies:
        loadings = gene_loadings(study.reader, study.summary)
        known = study.gene_ids >= 0
        of_tokens = np.zeros((len(corpus.vocabulary), loadings.shape[1]), dtype=np.float32)
        # Components from more cells are more reliable.
        of_tokens[study.gene_ids[known]] = loadings[known] * np.sqrt(study.reader.n_obs)
        columns.append(of_tokens)
    table = np.concatenate(columns, axis=1)
    table /= np.maximum(np.linalg.norm(table, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    n_directions = min(dim, table.shape[1] - 1)
    directions = TruncatedSVD(n_directions, random_state=seed).fit_transform(table)
    return (directions / directions.std() * _COEXPRESSION_STD).astype(np.float32)
