"""Run the training of an encoder in Lightning, from its beginning or from where it was interrupted."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import lightning.pytorch as pl
import pandas as pd
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from scmpt_scverse._hardware import training_precision
from scmpt_scverse._loading_bar import no_lightning_notices
from scmpt_scverse.encoders.pretraining._batches import BatchMaker
from scmpt_scverse.encoders.pretraining._initial_network import initial_network
from scmpt_scverse.encoders.pretraining._loss_history import LossHistory
from scmpt_scverse.encoders.pretraining._objectives import PretrainingModule
from scmpt_scverse.encoders.pretraining._streams import PretrainingData
from scmpt_scverse.module import TrainingPlan, interruptible, step_of_state

if TYPE_CHECKING:
    from torch import Tensor

    from scmpt_scverse.encoders._scgpt_checkpoint import ScGPTFolder, ScGPTSettings
    from scmpt_scverse.encoders.pretraining._corpus import Corpus
    from scmpt_scverse.encoders.pretraining._recipe import PretrainingRecipe

_CHECKPOINT = "last"
#: Steps between two evaluations on held-out cells, from each of which a run can resume; an epoch if that is shorter.
_MAX_ROUND_STEPS = 500


@dataclass(frozen=True)
class Fitted:
    """The result of training.

    Attributes
    ----------
    encoder_weights, decoder_weights
        Weights under official names, on the CPU.
    history
        One row per round: step, epoch, learning rate, losses.
    is_first_process
        Whether this process, of those that train together, writes the files.
    wait_for_all
        Returns when every process has called it.
    """

    encoder_weights: "dict[str, Tensor]"
    decoder_weights: "dict[str, Tensor]"
    history: pd.DataFrame
    is_first_process: bool
    wait_for_all: Callable[[], None]


@no_lightning_notices()
def fit(
    corpus: "Corpus",
    settings: "ScGPTSettings",
    recipe: "PretrainingRecipe",
    initial: "ScGPTFolder | None",
    *,
    folder: Path,
    accelerator: str,
    devices: int | list[int] | str,
    strategy: str,
    progress: bool,
) -> Fitted:
    """Train; the folder keeps the last checkpoint, from which training resumes if there is one."""
    batches = BatchMaker(corpus, settings, batch_size=recipe.batch_size, n_visible=recipe.n_visible, seed=recipe.seed)
    n_processes = _n_processes(accelerator, devices)
    steps_per_epoch = max(1, batches.steps_per_epoch // n_processes)
    n_steps = recipe.max_epochs * steps_per_epoch
    history = LossHistory(n_steps=n_steps, steps_per_epoch=steps_per_epoch, progress=progress)
    trainer = pl.Trainer(
        accelerator=accelerator,
        devices=devices,
        # A step reads the summary head of one study, so the others get no gradient in it.
        strategy="ddp_find_unused_parameters_true" if strategy == "auto" and n_processes > 1 else strategy,
        precision=training_precision(accelerator),
        max_epochs=-1,
        max_steps=n_steps,
        val_check_interval=min(steps_per_epoch, _MAX_ROUND_STEPS),
        check_val_every_n_epoch=None,
        gradient_clip_val=recipe.max_gradient_norm,
        callbacks=[history, ModelCheckpoint(folder, filename=_CHECKPOINT, enable_version_counter=False)],
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    network = initial_network(corpus, settings, initial, seed=recipe.seed)
    n_components = [study.summary.components.shape[1] for study in corpus.studies]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        module = PretrainingModule(network, settings, n_components=n_components, weights=recipe.objectives)
    plan = TrainingPlan(module, lr=recipe.lr, n_steps=n_steps, n_warmup=max(1, round(recipe.warmup * n_steps)))
    state = folder / f"{_CHECKPOINT}.ckpt"
    if state.is_file():
        step_of_state(state)
    with interruptible(), warnings.catch_warnings():
        # It holds the record of the run, and the checkpoint to resume from.
        warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
        trainer.fit(plan, datamodule=PretrainingData(batches), ckpt_path=str(state) if state.is_file() else None)
    if trainer.global_step < n_steps:
        raise RuntimeError(f"Training stopped at step {trainer.global_step} of {n_steps}. Call again to resume.")
    weights = {name: tensor.detach().cpu() for name, tensor in module.state_dict().items()}
    return Fitted(
        {name.removeprefix("network."): tensor for name, tensor in weights.items() if name.startswith("network.")},
        {name: tensor for name, tensor in weights.items() if name.startswith(("decoder.", "mvc_decoder."))},
        pd.DataFrame(history.rounds),
        trainer.is_global_zero,
        trainer.strategy.barrier,
    )


def _n_processes(accelerator: str, devices: int | list[int] | str) -> int:
    """How many processes Lightning will start."""
    if isinstance(devices, list):
        return len(devices)
    n_gpus = torch.cuda.device_count() if accelerator in {"auto", "gpu", "cuda"} else 0
    if devices in {"auto", "-1", -1}:
        return max(1, n_gpus)
    return len(devices.split(",")) if isinstance(devices, str) and "," in devices else int(devices)
