"""How much likelier a label is than all others together."""

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def log_odds(logits: "Tensor") -> "Tensor":
    """Logarithm of `p / (1 - p)` of every label, in double precision; shape as given, `(n_obs, n_labels)`.

    They order labels as probabilities do, and still tell apart the cells whose probability rounds to 1.
    """
    logits = logits.double()
    log_probabilities = logits.log_softmax(dim=-1)
    odds = log_probabilities - torch.log1p(-log_probabilities.exp())
    # Of the most probable label, 1 - p is the sum over the others, and not what rounding leaves of a difference.
    most_probable = logits.argmax(dim=-1, keepdim=True)
    others = logits.scatter(-1, most_probable, -torch.inf).logsumexp(dim=-1, keepdim=True)
    return odds.scatter(-1, most_probable, logits.gather(-1, most_probable) - others)
