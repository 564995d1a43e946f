"""What a text model says of cells: labels, how right they are, and why."""

from scmpt_scverse.model.text_labels._annotates import (
    AnnotatesByTextMixin as AnnotatesByTextMixin,
)
from scmpt_scverse.model.text_labels._embeddings import (
    TextEmbeddings as TextEmbeddings,
)
from scmpt_scverse.model.text_labels._expectations import (
    learned_labels as learned_labels,
    training_seconds as training_seconds,
)
from scmpt_scverse.model.text_labels._explains import (
    ExplainsScoresMixin as ExplainsScoresMixin,
)
from scmpt_scverse.model.text_labels._second_opinion import (
    refine_text_labels as refine_text_labels,
)
from scmpt_scverse.model.text_labels._training import (
    Markers as Markers,
    OwnCells as OwnCells,
    checked_run as checked_run,
    fit_own_generator as fit_own_generator,
    fit_own_tower as fit_own_tower,
    fit_own_writer as fit_own_writer,
    loss_history as loss_history,
    stage_options as stage_options,
)
from scmpt_scverse.model.text_labels._translates import (
    TranslatesMixin as TranslatesMixin,
)
