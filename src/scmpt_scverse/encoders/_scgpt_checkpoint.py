"""Official scGPT checkpoint folders: settings, vocabulary and weights, every encoder weight accounted for."""

import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scmpt_scverse._checks import is_of_machine, list_some
from scmpt_scverse._hashing import fingerprint_of
from scmpt_scverse._json import downloaded_json

if TYPE_CHECKING:
    from torch import Tensor

    from scmpt_scverse._types import StrPath
    from scmpt_scverse.encoders._scgpt_network import ScGPTNetwork

CLS_TOKEN = "<cls>"
#: Tokens that the official loader appends to a vocabulary without them, in this order.
SPECIAL_TOKENS = ("<pad>", CLS_TOKEN, "<eoc>")
SETTINGS_FILE, VOCABULARY_FILE = "args.json", "vocab.json"
WEIGHT_FILES = ("best_model.pt", "model.safetensors")
#: Settings with which official training code can write other architectures, and the values that are supported here (and
#: by the official `embed_data`).
_SUPPORTED = {"input_style": "binned", "input_emb_style": "continuous", "cell_emb_style": "cls", "pre_norm": False}
#: Parts that read the encoder's output, or mark genes that are being generated: embedding a cell does not use them.
_UNUSED_PARTS = (
    "decoder.",
    "cls_decoder.",
    "mvc_decoder.",
    "flag_encoder.",
    "batch_encoder.",
    "mod_encoder.",
    "grad_reverse_discriminator.",
    "sim.",
)
#: What reading a damaged file raises, besides the errors of pickle and safetensors themselves.
_UNREADABLE = (EOFError, OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError)


@dataclass(frozen=True)
class ScGPTSettings:
    """What `args.json` says about the architecture, under its own names."""

    embsize: int
    nheads: int
    d_hid: int
    nlayers: int
    pad_token: str
    pad_value: float
    n_bins: int = 51

    def network(self, n_tokens: int) -> "ScGPTNetwork":
        """A network of this architecture; its random weights come from the global generator of torch."""
        from scmpt_scverse.encoders._scgpt_network import ScGPTNetwork

        return ScGPTNetwork(
            n_tokens=n_tokens,
            dim=self.embsize,
            n_heads=self.nheads,
            hidden_dim=self.d_hid,
            n_layers=self.nlayers,
            n_bins=self.n_bins,
            pad_value=self.pad_value,
        )


@dataclass(frozen=True)
class ScGPTFolder:
    """A checkpoint folder; its weights are still on disk.

    Attributes
    ----------
    settings
        The architecture.
    vocabulary
        Token to id, special tokens included.
    weights_file
        Where the weights are.
    """

    settings: ScGPTSettings
    vocabulary: dict[str, int]
    weights_file: Path

    @property
    def genes(self) -> dict[str, int]:
        """The vocabulary without special tokens."""
        special = {*SPECIAL_TOKENS, self.settings.pad_token}
        return {token: index for token, index in self.vocabulary.items() if token not in special}

    def load_network(self) -> "ScGPTNetwork":
        """The network with the folder's weights, in float32 on the CPU."""
        import torch

        with torch.device("meta"):  # no memory, no random initial weights
            network = self.settings.network(len(self.vocabulary))
        weights = _plain_names(_read_weights(self.weights_file))
        expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
        _check_weights(weights, expected, self.weights_file)
        network.load_state_dict({name: weights[name].to(torch.float32) for name in expected}, assign=True)
        return network

    def random_network(self, seed: int) -> "ScGPTNetwork":
        """The same graph with random weights."""
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.settings.network(len(self.vocabulary))

    def fingerprint(self, preprocessing: Mapping[str, Any]) -> str:
        """Hexadecimal sha256 of settings, vocabulary, weight file and `preprocessing`, wherever the folder is."""
        record = {"settings": asdict(self.settings), "vocabulary": self.vocabulary, **preprocessing}
        return fingerprint_of([self.weights_file], self.weights_file.parent, record)


def open_folder(path: "StrPath") -> ScGPTFolder:
    """Read settings and vocabulary of an official checkpoint folder and find its weights.

    Raises
    ------
    FileNotFoundError
        The folder or one of its files is missing.
    ValueError
        A file is damaged, or describes an architecture that this package does not run.
    """
    folder = Path(path).expanduser()
    settings_file, vocabulary_file = folder / SETTINGS_FILE, folder / VOCABULARY_FILE
    weight_files = [folder / name for name in WEIGHT_FILES if (folder / name).is_file()]
    for file in (settings_file, vocabulary_file):
        if not file.is_file():
            raise _missing_file(file.name, folder)
    if not weight_files:
        raise _missing_file(" or ".join(WEIGHT_FILES), folder)
    settings = _parse_settings(downloaded_json(settings_file), settings_file)
    vocabulary = _parse_vocabulary(downloaded_json(vocabulary_file), vocabulary_file)
    if settings.pad_token not in vocabulary:
        raise ValueError(
            f"Expected the padding token {settings.pad_token!r} of {SETTINGS_FILE} in {str(vocabulary_file)!r}; it is "
            "not there. Pass files that belong together."
        )
    return ScGPTFolder(settings, vocabulary, weight_files[0])


def _missing_file(name: str, folder: Path) -> FileNotFoundError:
    found = list_some(sorted(item.name for item in folder.iterdir())) if folder.is_dir() else "no such folder"
    return FileNotFoundError(
        f"Expected {name} in the scGPT folder {str(folder)!r}; found {found}. Pass a folder as in scGPT's model zoo: "
        f"{SETTINGS_FILE}, {VOCABULARY_FILE}, and {' or '.join(WEIGHT_FILES)}."
    )


def _parse_settings(args: dict[str, Any], file: Path) -> ScGPTSettings:
    for key, supported in _SUPPORTED.items():
        if args.get(key, supported) != supported:
            raise ValueError(
                f"Expected a scGPT checkpoint with {key} = {supported!r}; {str(file)!r} says {args[key]!r}, another "
                "architecture. Pass a checkpoint from scGPT's model zoo, or one fine-tuned with its defaults."
            )
    names = ScGPTSettings.__dataclass_fields__
    try:
        settings = ScGPTSettings(**{name: args[name] for name in names if name != "n_bins" or name in args})
    except KeyError as error:
        raise ValueError(
            f"Expected {list_some(names)} in {str(file)!r}; {error} is missing, found {list_some(args)}. "
            "Pass the args.json that belongs to the weights."
        ) from error
    for name in ("embsize", "nheads", "d_hid", "nlayers", "n_bins"):
        value = getattr(settings, name)
        if type(value) is not int or value < 1:
            raise ValueError(f"Expected a whole number of at least 1 as {name} in {str(file)!r}; found {value!r}.")
    if settings.embsize % settings.nheads:
        raise ValueError(
            f"Expected embsize to be a multiple of nheads in {str(file)!r}; found {settings.embsize} and "
            f"{settings.nheads}. Pass the args.json that belongs to the weights."
        )
    return settings


def _parse_vocabulary(vocabulary: dict[str, Any], file: Path) -> dict[str, int]:
    ids = list(vocabulary.values())
    if any(type(index) is not int for index in ids) or sorted(ids) != list(range(len(ids))):
        raise ValueError(
            f"Expected tokens with the ids 0 to {len(ids) - 1}, each once, in {str(file)!r}; found other values such "
            f"as {list_some(ids, limit=3)}. Pass the vocab.json that belongs to the weights."
        )
    missing = [token for token in SPECIAL_TOKENS if token not in vocabulary]
    return vocabulary | {token: len(vocabulary) + i for i, token in enumerate(missing)}


def _read_weights(file: Path) -> "dict[str, Tensor]":
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        content = (
            load_file(file)
            if file.suffix == ".safetensors"
            else torch.load(file, map_location="cpu", weights_only=True)  # never runs code from the file
        )
    except (SafetensorError, pickle.UnpicklingError, *_UNREADABLE) as error:
        if is_of_machine(error):
            raise
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(
            f"Expected a file of tensors in {str(file)!r}; it cannot be read ({reason}): truncated, damaged or with "
            "other objects inside. Download it again, or save it with `torch.save(model.state_dict(), ...)`."
        ) from error
    if not isinstance(content, Mapping) or not all(torch.is_tensor(tensor) for tensor in content.values()):
        raise ValueError(
            f"Expected names and tensors in {str(file)!r}; found {type(content).__name__} with other objects. "
            "Save it with `torch.save(model.state_dict(), ...)`."
        )
    return dict(content)


def _plain_names(weights: "dict[str, Tensor]") -> "dict[str, Tensor]":
    """Names as in plain PyTorch: flash-attention layers and data-parallel training name tensors differently."""
    return {
        name.removeprefix("module.")
        .replace("self_attn._impl.", "self_attn.")
        .replace("self_attn.Wqkv.", "self_attn.in_proj_"): tensor
        for name, tensor in weights.items()
    }


def _check_weights(weights: "dict[str, Tensor]", expected: dict[str, tuple[int, ...]], file: Path) -> None:
    unknown = [name for name in weights if name not in expected and not name.startswith(_UNUSED_PARTS)]
    if unknown:
        raise ValueError(
            f"Expected the tensors of a scGPT encoder in {str(file)!r}; found others: {list_some(unknown)}. More "
            "layers than args.json says, or parts such as batch normalisation per domain (`dsbn.`), would change the "
            "embedding. Pass the args.json that belongs to the weights, or a checkpoint without such parts."
        )
    for name, shape in expected.items():
        found = f"shape {tuple(weights[name].shape)}" if name in weights else "no such tensor"
        if found != f"shape {shape}":
            raise ValueError(
                f"Expected the tensor {name!r} with shape {shape} in {str(file)!r}; found {found}. Pass weights, "
                "args.json and vocab.json that belong together."
            )
        if not weights[name].isfinite().all():
            raise ValueError(
                f"Expected finite weights in {str(file)!r}; found NaN or infinity in {name!r}. Download it again."
            )
