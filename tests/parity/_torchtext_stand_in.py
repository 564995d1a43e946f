"""What the official scGPT package needs of torchtext (unmaintained, does not load with today's torch) and of datasets.

Written from the documented behaviour of `torchtext.vocab.Vocab`; imported only by the subprocess that runs scGPT.
"""

import sys
from collections.abc import Mapping
from types import ModuleType


class Vocab:
    """Tokens and their positions."""

    def __init__(self, tokens: list[str]) -> None:
        self.vocab = tokens  # GeneVocab passes this attribute of one vocabulary to the constructor of the next
        self._index = {token: position for position, token in enumerate(tokens)}
        self._default: int | None = None

    def __len__(self) -> int:
        return len(self.vocab)

    def __contains__(self, token: str) -> bool:
        return token in self._index

    def __getitem__(self, token: str) -> int:
        if token in self._index or self._default is None:
            return self._index[token]
        return self._default

    def __call__(self, tokens: list[str]) -> list[int]:
        return [self[token] for token in tokens]

    def set_default_index(self, index: int | None) -> None:
        self._default = index

    def insert_token(self, token: str, index: int) -> None:
        self.vocab.insert(index, token)
        if index == len(self.vocab) - 1:
            self._index[token] = index
        else:
            self._index = {token: position for position, token in enumerate(self.vocab)}

    def append_token(self, token: str) -> None:
        self.insert_token(token, len(self.vocab))


def vocab(ordered_dict: Mapping[str, int], min_freq: int = 1) -> Vocab:
    return Vocab([token for token, count in ordered_dict.items() if count >= min_freq])


def install() -> None:
    """Make `import torchtext.vocab` and `import datasets` work in this process."""
    torchtext, vocab_module, datasets = ModuleType("torchtext"), ModuleType("torchtext.vocab"), ModuleType("datasets")
    vars(vocab_module).update(Vocab=Vocab, vocab=vocab)
    vars(torchtext).update(vocab=vocab_module)
    vars(datasets).update(Dataset=object, load_dataset=None)  # scGPT's data bank names them; embedding does not use it
    sys.modules |= {"torchtext": torchtext, "torchtext.vocab": vocab_module, "datasets": datasets}
