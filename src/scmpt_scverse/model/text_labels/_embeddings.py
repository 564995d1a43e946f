"""Embeddings of texts by the text encoder of a model, those of late kept."""

from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scmpt_scverse import encoders
from scmpt_scverse.encoders import TextEncoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scmpt_scverse._types import FloatArray, StrPath

#: Texts whose embeddings are kept.
_MOST_TEXTS = 4096


class TextEmbeddings:
    """Embeds texts, of which many are read again, as where labels are explained.

    Parameters
    ----------
    given
        The name, folder or hub id of a sentence-transformers model, or an encoder.

    Attributes
    ----------
    encoder
        Reads texts.
    storable
        What was given, as it can be saved: a folder with its whole path, like a name; an encoder by its name.
    """

    def __init__(self, given: "StrPath | TextEncoder") -> None:
        encoder = given if isinstance(given, TextEncoder) else encoders.get(given)
        if not isinstance(encoder, TextEncoder):
            raise TypeError(
                f"Expected an encoder of texts, with a method `encode_texts`; found {encoder.name!r}. Pass a "
                'sentence-transformers model, such as "minilm".'
            )
        self.encoder = encoder
        if isinstance(given, str | PathLike):
            self.storable = str(Path(given).resolve()) if Path(given).is_dir() else fspath(given)
        else:
            self.storable = encoder.name
        self._kept: dict[str, FloatArray] = {}

    def __call__(self, texts: "Sequence[str]") -> "FloatArray":
        """Embeddings of texts, float32 of shape `(n_texts, dim)`."""
        new = [text for text in dict.fromkeys(texts) if text not in self._kept]
        if new:
            if len(self._kept) + len(new) > _MOST_TEXTS:
                self._kept, new = {}, list(dict.fromkeys(texts))
            # A label is encoded once for many cells, so that exactness costs nothing.
            found = self.encoder.encode_texts(new, precision="float32")
            self._kept |= dict(zip(new, found, strict=True))
        return np.stack([self._kept[text] for text in texts])

    @property
    def identity(self) -> dict[str, str]:
        """Name and fingerprint of the encoder, as labels record them."""
        return {"encoder": self.encoder.name, "fingerprint": self.encoder.fingerprint}

    @property
    def origin(self) -> dict[str, str]:
        """Name and fingerprint of the encoder, as pseudo-cells record them."""
        return {"text_encoder": self.encoder.name, "text_encoder_fingerprint": self.encoder.fingerprint}

    def check_fingerprint(self, trained_with: str) -> None:
        """Raise `ValueError` unless the encoder is the one that a model was trained with."""
        if self.encoder.fingerprint != trained_with:
            raise ValueError(
                f"The text encoder {self.encoder.name!r} on this machine is not the one that the model was trained "
                "with: its files differ. Install the version it was trained with, or train again."
            )
