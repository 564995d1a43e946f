"""What a text model says of cells: labels, how right they are, and why."""

from scmpt_scverse.model.text_labels._annotates import (
    DEFAULT_TEXT_KEY_ADDED as DEFAULT_TEXT_KEY_ADDED,
    AnnotatesByTextMixin as AnnotatesByTextMixin,
)
from scmpt_scverse.model.text_labels._describes import (
    DescribesMixin as DescribesMixin,
)
from scmpt_scverse.model.text_labels._embeddings import (
    TextEmbeddings as TextEmbeddings,
)
from scmpt_scverse.model.text_labels._explains import (
    ExplainsScoresMixin as ExplainsScoresMixin,
)
from scmpt_scverse.model.text_labels._second_opinion import (
    AsksAboutTextLabelsMixin as AsksAboutTextLabelsMixin,
)
from scmpt_scverse.model.text_labels._teaching import (
    check_teaching as check_teaching,
    write_taught_labels as write_taught_labels,
)
from scmpt_scverse.model.text_labels._training import (
    checked_run as checked_run,
    fit_own_generator as fit_own_generator,
    fit_own_writer as fit_own_writer,
    known_markers as known_markers,
    labels_and_groups as labels_and_groups,
    loss_history as loss_history,
    stage_options as stage_options,
    training_sources as training_sources,
)
