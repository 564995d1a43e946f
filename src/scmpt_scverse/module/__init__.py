"""Trainable modules: classifiers over frozen embeddings, text models, generators. Tensors and arrays, no AnnData."""

from scmpt_scverse.module._cell_to_text import (
    CellToText as CellToText,
    TokenReader as TokenReader,
)
from scmpt_scverse.module._cell_tokens import CellTokens as CellTokens
from scmpt_scverse.module._cell_writer import CellWriter as CellWriter
from scmpt_scverse.module._classifier import (
    Classifier as Classifier,
    Fit as Fit,
    FitOptions as FitOptions,
    HeldOut as HeldOut,
    Rows as Rows,
    in_batches as in_batches,
)
from scmpt_scverse.module._data_module import (
    CellSplit as CellSplit,
    checked_validation_size as checked_validation_size,
    split_cells as split_cells,
)
from scmpt_scverse.module._describe_loss import (
    DescribedCells as DescribedCells,
    Frame as Frame,
)
from scmpt_scverse.module._fusion_base import (
    FusionHead as FusionHead,
    HeadOptions as HeadOptions,
)
from scmpt_scverse.module._fusion_classifier import (
    FUSIONS as FUSIONS,
    FusionClassifier as FusionClassifier,
    fusion_name as fusion_name,
)
from scmpt_scverse.module._generator import (
    CellGenerator as CellGenerator,
    CountedCells as CountedCells,
    TextCondition as TextCondition,
)
from scmpt_scverse.module._generator_decoders import (
    DECODERS as DECODERS,
    Condition as Condition,
    Decoder as Decoder,
    DecoderSizes as DecoderSizes,
)
from scmpt_scverse.module._generator_network import GeneratorOptions as GeneratorOptions
from scmpt_scverse.module._profile_tower import (
    TowerOptions as TowerOptions,
    ridge_weights as ridge_weights,
)
from scmpt_scverse.module._qformer import QFormerOptions as QFormerOptions
from scmpt_scverse.module._soft_prompt import (
    WriterOptions as WriterOptions,
    check_adapter as check_adapter,
)
from scmpt_scverse.module._standardisation import (
    Standardisation as Standardisation,
)
from scmpt_scverse.module._text_alignment import (
    Scale as Scale,
    TextAlignment as TextAlignment,
    unit_profiles as unit_profiles,
)
from scmpt_scverse.module._token_steps import TokenStudy as TokenStudy
from scmpt_scverse.module._tower_training import LabelledStudy as LabelledStudy
from scmpt_scverse.module._training_plan import (
    Trainable as Trainable,
    TrainingPlan as TrainingPlan,
    step_of_state as step_of_state,
)
from scmpt_scverse.module._training_run import (
    TrainingPrecision as TrainingPrecision,
    TrainingRun as TrainingRun,
    interruptible as interruptible,
)
