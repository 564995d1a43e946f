"""Models on disk: registry and settings, weights, and what they learned of themselves; where pretrained ones are."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from scmpt_scverse._checks import check_share, did_you_mean, list_some
from scmpt_scverse._folders import BUNDLED_MODELS, check_folder
from scmpt_scverse._h5ad import read_cells, write_cells, written_whole
from scmpt_scverse._hardware import resolve_device
from scmpt_scverse._hub import HUB_PREFIX, fetched
from scmpt_scverse._saved_files import named, read_model, saved_class, undamaged, under, write_model
from scmpt_scverse.description import TaughtWriter
from scmpt_scverse.generation import TextGenerator
from scmpt_scverse.modalities import ExpressionSource, cell_keys
from scmpt_scverse.model._predictions import predictions_of
from scmpt_scverse.module import FUSIONS
from scmpt_scverse.trust import Calibration, Novelty, TrainingRecord
from scmpt_scverse.zero_shot import TextModel

if TYPE_CHECKING:
    from scmpt_scverse._types import StrPath
    from scmpt_scverse.encoders import TextEncoder
    from scmpt_scverse.model._scmmgpt import SCMMGPT
    from scmpt_scverse.model._scmpt import SCMPT

_CELLS, _JOINED = "adata.h5ad", "mdata.h5mu"
#: Of a layer: a head that has none may say so however few weights it has.
_HARMLESS_SIZE = 100_000
_TEXT_CONTENT = ("model", "registry", "init_params", "is_trained", "genes", "types", "text_encoder_fingerprint")
_SPLITS = ("train_indices", "validation_indices", "test_indices")
_CONTENT = ("model", "registry", "init_params", "is_trained", "history", "modalities", "record", *_SPLITS)


def save_model(model: "SCMPT", folder: Path, prefix: str, *, overwrite: bool) -> None:
    """See :meth:`scmpt_scverse.SCMPT.save`."""
    make_folder(folder, overwrite=overwrite)
    content = {
        "model": type(model).__name__,
        "registry": model.registry,
        "init_params": model.init_params_["non_kwargs"],
        "is_trained": model.is_trained_,
        "history": model.history_ or {},
        "modalities": model.modalities.state(),
        "record": model.record.state(),
        "min_confidence": model.min_confidence,
        "max_novelty": model.max_novelty,
        **{name: getattr(model, name) for name in _SPLITS},
    }
    arrays = named("module", model.module.state_dict())
    for name, part in (("calibration", model.calibration), ("novelty", model.novelty)):
        arrays |= {} if part is None else named(name, part.arrays())
    write_model(folder, prefix, content, arrays)


def make_folder(folder: Path, *, overwrite: bool) -> None:
    """Make the folder of a model; `ValueError` where it exists, without `overwrite`."""
    if folder.exists() and not overwrite:
        raise ValueError(f"{folder} exists already. Pass another folder, or `overwrite=True`.")
    folder.mkdir(parents=True, exist_ok=True)
    check_folder(folder)


def save_data(data: Any, folder: Path, prefix: str, **options: Any) -> None:
    """Save the data of a model beside it; `options` of `data.write`."""
    if hasattr(data, "mod") or options:
        data.write(folder / f"{prefix}{_JOINED if hasattr(data, 'mod') else _CELLS}", **options)
    else:
        with written_whole(folder / f"{prefix}{_CELLS}") as partial:
            write_cells(data, partial)


def load_model(
    model_class: "type[SCMPT]",
    folder: Path,
    prefix: str,
    adata: Any,
    accelerator: str,
    device: int | str,
    *,
    encoders: Mapping[str, Any] | None,
    fusion: Any,
) -> Any:
    """See :meth:`scmpt_scverse.SCMPT.load`."""
    content, arrays = read_model(folder, prefix, _CONTENT, class_name=model_class.__name__)
    registry, options = content["registry"], content["init_params"]
    with undamaged(folder):
        if not isinstance(registry, dict):
            raise TypeError("it has no registry")
        _check_sizes(options, arrays)
        head = options["fusion"]
    if fusion is None and head not in FUSIONS.names():
        raise ValueError(
            f"The head {head!r} of this model is not registered; registered are "
            f"{list_some(FUSIONS.names())}. Install the package that registers it, or pass its class as `fusion=`."
        )
    if fusion is not None:
        options = {**options, "fusion": fusion}
    data = saved_data(folder, prefix) if adata is None else adata
    if data is None:
        raise ValueError(
            f"Expected data saved with the model in {folder}; found none. Pass `adata=`, or `adata=False` for none."
        )
    has_data = data is not None and data is not False
    if has_data:
        with undamaged(folder):
            setup_options = {"source_registry": registry, **registry["setup_args"]}
            setup = getattr(model_class, registry.get("setup_method_name", "setup_anndata"))
        setup(data, **setup_options)
    with undamaged(folder):
        model = model_class(data, **options) if has_data else model_class(registry=registry, **options)
        model.modalities.restore(content["modalities"])
    model._loaded_from = str(folder)
    model.modalities.use(encoders or {})
    with undamaged(folder, ValueError):
        _restore(model, content, arrays)
    if adata is None:
        _check_own_data(model, folder)
    where = f"cuda:{device}" if isinstance(device, int) else device
    if where == "auto":
        where = "auto" if accelerator in {"auto", "gpu", "cuda"} else accelerator
    model.module.to(resolve_device(where)).eval()
    return model


def _check_own_data(model: "SCMPT", folder: Path) -> None:
    """Refuse data that an earlier model left in the folder: rows of this model's training are not theirs."""
    adata, modalities = model._query(None, None, None, None)
    if model.record.digest and not model.record.is_of(cell_keys(adata, modalities.source)):
        raise ValueError(
            f"Expected data saved with the model in {folder}; found others than it was trained on: those of a model "
            "that was saved there before, or changed since. Pass `adata=`, or `adata=False` for none; save with "
            "`save_anndata=True` to replace them."
        )


def _restore(model: "SCMPT", content: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
    """Give a new model what a saved one had learned."""
    weights = {name: torch.from_numpy(values) for name, values in under(arrays, "module").items()}
    for name, expected in model.module.state_dict().items():
        if name in weights and weights[name].dtype != expected.dtype:
            raise TypeError(f"{name!r} holds {weights[name].dtype}, not {expected.dtype}")
    model.module.load_state_dict(weights)
    calibration, novelty = under(arrays, "calibration"), under(arrays, "novelty")
    model.calibration = Calibration.from_arrays(calibration) if calibration else None
    model.novelty = Novelty.from_arrays(novelty) if novelty else None
    if novelty and [novelty[name].ndim for name in ("means", "precision", "usual")] != [2, 2, 1]:
        raise IndexError("its measure of novelty has other dimensions")
    model.record = TrainingRecord(**{**content["record"], "batches": tuple(content["record"]["batches"])})
    model.history_, model.is_trained_ = content["history"], content["is_trained"]
    for name in ("min_confidence", "max_novelty"):
        check_share(content.get(name, getattr(model, name)), name)
        setattr(model, name, content.get(name, getattr(model, name)))
    for name in _SPLITS:
        setattr(model, name, content[name])
    if model.calibration is not None:
        cells = [getattr(model.calibration, name) for name in ("confidence", "is_correct", "true_scores", "folds")]
        if len({values.shape for values in cells}) > 1 or cells[0].ndim != 1:
            raise IndexError("its calibration is of other numbers of cells")
        state = model.module.head.state_dict()
        for fold in model.calibration.fold_states:
            if any(name not in state or values.shape != state[name].shape for name, values in fold.items()):
                raise IndexError("the heads of its folds have other shapes")
    if model.is_trained and model.modalities.genes.not_fitted:
        raise KeyError(f"the genes of {list_some(model.modalities.genes.not_fitted)}")
    if model.is_trained:  # one cell shows whether sizes agree
        one = {name: np.zeros((1, dim), dtype=np.float32) for name, dim in model.modalities.dims.items()}
        predictions_of(model.module, model.novelty, one)


def save_text_model(
    model: "SCMMGPT", trained: "TextModel", folder: Path, prefix: str, *, overwrite: bool, half: bool
) -> None:
    """See :meth:`scmpt_scverse.SCMMGPT.save`; `half` stands for weights in float16."""
    make_folder(folder, overwrite=overwrite)
    content = {
        "model": type(model).__name__,
        "registry": model.registry,
        "init_params": {**model.init_params_["non_kwargs"], "background": model.background},
        "is_trained": model.is_trained_,
        **trained.state(),
        "text_encoder_fingerprint": model.text_encoder.fingerprint,
        "trained_on": model._trained_on,
        "generator": None if model.generator is None else model.generator.state(),
        "writer": None if model.writer is None else model.writer.state(),
    }
    arrays = trained.arrays() | ({} if model.generator is None else named("generator", model.generator.arrays()))
    arrays |= {} if model.writer is None else named("writer", model.writer.cells.arrays())
    dtype = np.float16 if half else np.float32
    arrays = {name: values.astype(dtype) if values.ndim else values for name, values in arrays.items()}
    write_model(folder, prefix, content, arrays)


def load_text_model(
    model_class: "type[SCMMGPT]", folder: Path, prefix: str, adata: Any, *, text_encoder: "TextEncoder | None"
) -> Any:
    """See :meth:`scmpt_scverse.SCMMGPT.load`."""
    content, arrays = read_model(folder, prefix, _TEXT_CONTENT, class_name=model_class.__name__)
    with undamaged(folder):
        options, registry = dict(content["init_params"]), content["registry"]
        setup_options = {"source_registry": registry, **registry["setup_args"]}
    if text_encoder is not None:
        options["text_encoder"] = text_encoder
    data = saved_data(folder, prefix) if adata is None else adata
    if data is None or data is False:
        model = model_class(registry=registry, **options)
    else:
        model_class.setup_anndata(data, **setup_options)
        model = model_class(data, **options)
    model._loaded_from = str(folder)
    model._encode.check_fingerprint(content["text_encoder_fingerprint"])
    with undamaged(folder, ValueError):
        trained = TextModel.from_saved(arrays, content, model._encode)
        model.alignment, model.types, model.genes = trained.alignment, trained.types, trained.genes
        model._trained_on = str(content.get("trained_on", ""))
        ExpressionSource.registered(registry, model.genes)  # raises where its orthologs are none
        if content.get("generator") is not None:
            model.generator = TextGenerator.from_saved(under(arrays, "generator"), content["generator"])
        if content.get("writer") is not None:
            model.writer = TaughtWriter.from_saved(under(arrays, "writer"), content["writer"])
            if model.writer.cells.prompt.dim != trained.alignment.tower.axes.shape[1]:
                raise ValueError("its writer reads other axes than those of its tower")
        model._become_trained()
    return model


def pretrained_names(class_name: str | None = None) -> list[str]:
    """Names of the models that come with this package: all, or those of a class."""
    folders = [path for path in BUNDLED_MODELS.iterdir() if path.is_dir()] if BUNDLED_MODELS.is_dir() else []
    return sorted(path.name for path in folders if class_name in {None, saved_class(path)})


def pretrained_folder(name: "StrPath") -> Path:
    """The folder of a model: of one that comes with this package or, by `hf:org/name`, from the hub; else the path."""
    if str(name).startswith(HUB_PREFIX):
        return fetched(name)
    # Not any path below `BUNDLED_MODELS`: "." and "" are folders there, too.
    return BUNDLED_MODELS / str(name) if str(name) in pretrained_names() else Path(name).expanduser()


def checked_pretrained(name: "StrPath", class_name: str) -> Path:
    """The folder of a model; `FileNotFoundError` where there is none, naming those of a class."""
    folder = pretrained_folder(name)
    if not folder.is_dir():
        known = pretrained_names(class_name)
        raise FileNotFoundError(
            f"Expected a pretrained model of this package ({list_some(known)}) or the folder of a saved one; found "
            f"nothing at {folder}.{did_you_mean(str(name), known)} Check the name or the path."
        )
    return folder


def _check_sizes(options: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
    """Refuse sizes of a network far beyond the weights that are there, before it takes the memory."""
    encoders = [each for each in options["encoders"].values() if isinstance(each, Mapping)]
    sizes = [options["n_hidden"], options["n_layers"], *(each.get("embedding_dim", 1) for each in encoders)]
    most = max(_HARMLESS_SIZE, *(values.size for values in arrays.values()))
    for size in sizes:
        if isinstance(size, bool) or not isinstance(size, int) or not 0 < size <= most:
            raise TypeError(f"{size!r} is no size of its network")


def saved_data(folder: Path, prefix: str) -> Any:
    """The data saved with a model; `None` where there are none."""
    cells, joined = folder / f"{prefix}{_CELLS}", folder / f"{prefix}{_JOINED}"
    if cells.is_file():
        return read_cells(cells)
    if joined.is_file():
        import mudata

        return mudata.read_h5mu(joined)
    return None
