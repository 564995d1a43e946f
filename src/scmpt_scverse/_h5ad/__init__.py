"""Open `.h5ad` files, and say plainly what is wrong with those that cannot be opened; write them whole."""

from scmpt_scverse._h5ad._read import (
    check_suffix as check_suffix,
    read_cells as read_cells,
    reason as reason,
)
from scmpt_scverse._h5ad._recognise import (
    is_zarr_store as is_zarr_store,
)
from scmpt_scverse._h5ad._write import (
    SavedElsewhere as SavedElsewhere,
    check_storable as check_storable,
    free_name as free_name,
    write_cells as write_cells,
    write_in_parts as write_in_parts,
    written_whole as written_whole,
)
