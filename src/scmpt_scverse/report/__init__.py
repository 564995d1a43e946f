"""One self-contained web page about annotated cells: an interactive embedding, a card per label, how it was made."""

from scmpt_scverse.report._report import report as report
