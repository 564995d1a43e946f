"""A model on disk: its registry and settings, weights, and what it learned of itself."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata
import torch

from scmpt_scverse._checks import list_some
from scmpt_scverse._hardware import resolve_device
from scmpt_scverse._saved_files import damaged, named, read_model, under, write_model
from scmpt_scverse.model._training import TrainingRecord
from scmpt_scverse.module import FUSIONS
from scmpt_scverse.trust import Calibration, Novelty

if TYPE_CHECKING:
    from scmpt_scverse.model._scmpt import SCMPT

_SPLITS = ("train_indices", "validation_indices", "test_indices")
_CONTENT = ("model", "registry", "init_params", "is_trained", "history", "modalities", "record", *_SPLITS)


def save_model(model: "SCMPT", folder: Path, prefix: str, *, overwrite: bool) -> None:
    """See :meth:`scmpt_scverse.SCMPT.save`."""
    if folder.exists() and not overwrite:
        raise ValueError(f"{folder} exists already. Pass another folder, or `overwrite=True`.")
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "model": type(model).__name__,
        "registry": model.registry,
        "init_params": model.init_params_["non_kwargs"],
        "is_trained": model.is_trained_,
        "history": model.history_ or {},
        "modalities": model.modalities.state(),
        "record": model.record.state(),
        **{name: getattr(model, name) for name in _SPLITS},
    }
    arrays = named("module", model.module.state_dict())
    for name, part in (("calibration", model.calibration), ("novelty", model.novelty)):
        arrays |= {} if part is None else named(name, part.arrays())
    write_model(folder, prefix, content, arrays)


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
    content, arrays = read_model(folder, prefix, _CONTENT)
    if content["model"] != model_class.__name__:
        raise ValueError(
            f"Expected a saved {model_class.__name__} in {folder}; found a {content['model']}. Load it with that class."
        )
    registry, options = content["registry"], content["init_params"]
    if fusion is None and options["fusion"] not in FUSIONS.names():
        raise ValueError(
            f"The head {options['fusion']!r} of this model is not registered; registered are "
            f"{list_some(FUSIONS.names())}. Install the package that registers it, or pass its class as `fusion=`."
        )
    if fusion is not None:
        options = {**options, "fusion": fusion}
    data = _data(folder, prefix) if adata is None else adata
    if data is not None and data is not False:
        setup = getattr(model_class, registry.get("setup_method_name", "setup_anndata"))
        setup(data, source_registry=registry, **registry["setup_args"])
        model = model_class(data, **options)
    else:
        model = model_class(registry=registry, **options)
    model.modalities.restore(content["modalities"])
    model.modalities.use(encoders or {})
    try:
        weights = {name: torch.from_numpy(values) for name, values in under(arrays, "module").items()}
        model.module.load_state_dict(weights)
    except RuntimeError as error:  # a weight is missing, or has another shape
        raise damaged(folder, error) from error
    where = f"cuda:{device}" if isinstance(device, int) else device
    if where == "auto":
        where = "auto" if accelerator in {"auto", "gpu", "cuda"} else accelerator
    model.module.to(resolve_device(where)).eval()
    calibration, novelty = under(arrays, "calibration"), under(arrays, "novelty")
    model.calibration = Calibration.from_arrays(calibration) if calibration else None
    model.novelty = Novelty.from_arrays(novelty) if novelty else None
    model.record = TrainingRecord(**{**content["record"], "batches": tuple(content["record"]["batches"])})
    model.history_, model.is_trained_ = content["history"], content["is_trained"]
    for name in _SPLITS:
        setattr(model, name, content[name])
    return model


def _data(folder: Path, prefix: str) -> Any:
    """The data saved with a model."""
    cells, joined = folder / f"{prefix}adata.h5ad", folder / f"{prefix}mdata.h5mu"
    if cells.is_file():
        return anndata.read_h5ad(cells)
    if joined.is_file():
        import mudata

        return mudata.read_h5mu(joined)
    raise ValueError(
        f"Expected data saved with the model in {folder}; found none. Pass `adata=`, or `adata=False` for none."
    )
