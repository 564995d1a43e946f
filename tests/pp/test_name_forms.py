"""Gene names in the forms of other pipelines: read where a symbol is in them, refused by name where none is."""

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from anndata.utils import make_index_unique

from scmpt_scverse import pp
from scmpt_scverse.pp import ExpressionReader, read_gene_names
from scmpt_scverse.pp._identifier_systems import CERTAIN_SYSTEMS, certain_system, is_plain

SYMBOLS = [
    *("CD3D", "CD4", "CD8A", "LYZ", "MS4A1", "NKG7", "GNLY", "ACTB", "B2M", "FTL", "FTH1", "CST3", "PPBP", "CD14"),
    *("CD19", "CD79A", "CD79B", "GZMB", "PRF1", "IL7R", "HLA-DRA", "MT-CO1", "RP11-34P13.7", "NKX2-1", "AC007325.4"),
]


def cells_named(names: list[Any], **columns: list[Any]) -> AnnData:
    values = np.arange(len(names), 0, -1, dtype=np.float32)
    return AnnData(
        values[None], var=pd.DataFrame(columns, index=[f"g{i}" if columns else n for i, n in enumerate(names)])
    )


@pytest.mark.parametrize(
    "form",
    [
        *("GRCh38_{}", "GRCh38_______{}", "GRCh38-{}", "GRCh38-2020-A_{}", "GRCh38.p13_{}", "GRCh37_{}", "hg19_{}"),
        *("hg38:{}", "hg19_premrna_{}", "T2T-CHM13_{}", "HUMAN_{}", "Homo_sapiens_{}", "mm10___{}", "mm10---{}"),
        *("GRCm39_{}", "{}_GRCh38", "{}-hg19", "rna_{}", "gene-{}", "gene:{}", "{}-201"),
        *("{}_ENSG00000167286", "{}_ENSG00000167286.14", "{}.ENSG00000167286", "{}|ENSG00000167286", "{}|915"),
        *("{} (ENSG00000167286)", "{} (915)", "ENSG00000167286_{}", "ENSG00000167286.14_{}", "ENSG00000167286|{}"),
        *("ENSG00000167286.{}", "ENSG00000182378.15_PAR_Y_{}", "{}_ENSG00000167286-1", "915|{}", "{}_NM_000732"),
        *(
            "GRCh38_{}_ENSG00000167286",
            "GRCh38_ENSG00000167286_{}",
            "{}_HGNC:1673",
            "FBgn0000001_{}",
            "ENSG00000167286|{}|8eab823",
            "ensg00000167286_{}",
            "{};ENST00000300692",
        ),
    ],
)
def test_what_is_attached_to_symbols_is_left_out_and_reported(form: str) -> None:
    adata = cells_named([form.format(symbol) for symbol in SYMBOLS])
    with pytest.warns(UserWarning, match=r"25 of 25 names in `adata.var_names` hold more than a gene symbol \(25 with"):
        reader = ExpressionReader(adata, organism="native")  # some of the genomes are of mice
    assert reader.genes.tolist() == SYMBOLS
    assert reader.names.n_renamed == 25
    report = reader.names.report("adata.var_names")
    assert report is not None
    assert any(f"Only the symbol is read, such as {s!r} in {form.format(s)!r}." in report for s in SYMBOLS)


@pytest.mark.parametrize("text", ["{}", " {}\t", '"{}"', "'{}'", "b'{}'", "{}\u00a0", "\ufeff{}"])
def test_what_is_around_symbols_is_no_part_of_them(text: str) -> None:
    names = read_gene_names([text.format(symbol) for symbol in SYMBOLS])
    assert names.symbols.tolist() == SYMBOLS
    assert names.report("adata.var_names") is None


@pytest.mark.parametrize(
    ("system", "identifiers"),
    [
        ("Ensembl ids", ["ENSG00000167286", "ENSG00000167286.5", "ENSMUSG00000032094", "ENSG00000167286-1"]),
        ("Ensembl ids", ["GRCh38_ENSG00000167286", "ENSG00000167286_at", "ENSG00000167286_NA", "ENSDARG00000000001"]),
        ("Ensembl transcript ids", ["ENST00000300692", "ENST00000300692.8", "ENSMUST00000034602"]),
        ("Ensembl transcript ids", ["ENST00000456328.2|ENSG00000223972.5|OTTHUMG00000000961.2|-|DDX11L1-202|DDX11L1|"]),
        ("Ensembl protein or exon ids", ["ENSP00000300692", "ENSE00001152295"]),
        ("RefSeq accessions", ["NM_000732", "NM_000732.4", "NR_046018.2", "XM_005271561", "NP_000723.1"]),
        ("UCSC transcript ids", ["uc001aaa.3", "uc010nxq.1"]),
        ("Entrez gene ids", ["915", "920.0", "925", "GeneID:3458"]),
        ("HGNC ids", ["HGNC:1673", "HGNC:1678"]),
        ("ids of Mouse Genome Informatics", ["MGI:88331"]),
        ("FlyBase ids", ["FBgn0000490", "FBtr0070000"]),
        ("WormBase ids", ["WBGene00000001"]),
        ("ZFIN ids", ["ZDB-GENE-990415-8"]),
        ("TAIR locus ids", ["AT1G01010", "ATCG00020", "AT5G67640.1"]),
        ("systematic names of yeast", ["YAL001C", "YBR020W", "YDR320C-A"]),
        ("Illumina probe names", ["ILMN_1343291", "ILMN_2209417"]),
        ("Affymetrix probe sets", ["1007_s_at", "AFFX-BioB-3_at", "11715100_at", "TC0100006432.hg.1"]),
        ("Agilent probe names", ["A_23_P100001", "A_33_P3230166"]),
        ("methylation probes", ["cg00000029"]),
        ("genomic intervals (ATAC peaks)", ["chr1:9776-10668", "chr1-9776-10668", "chrX_9776_10668"]),
        ("loci of a transcript assembly", ["XLOC_000001", "MSTRG.12.1"]),
        ("UniProt entries", ["sp|P04234|CD3D_HUMAN", "CD3D_HUMAN"]),
        ("UniProt accessions", ["P04234", "P07766", "A0A024R161", "Q9Y6K9-2"]),
        ("GenBank accessions", ["AK000123", "BC039035.1", "M12824"]),
        ("dates that a spreadsheet made of symbols", ["1-Mar", "Sep-02", "2016-03-01 00:00:00"]),
        ("row numbers", ["0", "1", "2"]),
    ],
)
def test_identifiers_of_other_systems_are_refused_by_name(system: str, identifiers: list[str]) -> None:
    with pytest.raises(ValueError, match=rf"gene symbols in `adata.var_names`; found {re.escape(system)} such as"):
        pp.cell_sentences(cells_named(identifiers))
    missing = [None] * len(identifiers)
    with pytest.raises(ValueError, match=rf"in `adata.var\['name'\]`; found {re.escape(system)} such as"):
        pp.cell_sentences(cells_named([*identifiers, *missing], name=[*identifiers, *missing]), gene_symbols="name")


def test_the_advice_suits_the_system() -> None:
    for names, advice in [
        (["ENST00000300692"], r"Sum the transcripts of each gene first"),
        (["ILMN_1343291"], "Map probes to gene symbols with the annotation of the array"),
        (["FBgn0000490"], "Map them to gene symbols first"),
    ]:
        with pytest.raises(ValueError, match=f"{advice}.*Pass `gene_symbols=` with the column"):
            pp.cell_sentences(cells_named(names))


@pytest.mark.parametrize(
    "symbol",
    [
        *("P2RY12", "B3GNT2", "H2AC11", "C1orf43", "7SK", "5S_rRNA", "Y_RNA", "U6", "NKX2-1", "IGHV1-2", "MIR24-1"),
        *("AC012345.1", "RP11-34P13.7", "CTD-2006H14.2", "XXyac-YRM2039.2", "ERCC-00002", "MT-ND1", "mt-Nd1", "RS1"),
        *(
            "DM1-AS",
            "NR4A1",
            "NM23",
            "SEPT2",
            "MARCH1",
            "DEC1",
            "MM",
            "CG12345",
            "zgc:112234",
            "si:ch211-1.1",
            "Gm12345",
        ),
        *("LOC105370000", "LINC01128", "HERVK_113", "H3.3", "TC1", "ENSA", "ENSAP1", "2010111I01Rik", "RGD1306001"),
        *("hsa-miR-21-5p", "CD3_TotalSeqB", "T05G5.1", "CHMP2A", "RATB", "humanin", "GRCh", "HG3", "Rn18s", "MM1-AS"),
    ],
)
def test_symbols_stay(symbol: str) -> None:
    names = read_gene_names([*SYMBOLS, symbol])
    assert names.symbols.tolist() == [*SYMBOLS, symbol]
    assert not names.systems
    assert not names.parts


def test_names_that_look_plain_are_no_identifiers() -> None:
    """The short way gives what the long one does."""
    examples = ["YAL001C", "AT1G01010", "FBgn0000490", "CCDS8394", "WBGene00000001", "cg00000029"]
    assert all(certain_system(name) is not None and not is_plain(name) for name in examples)
    assert all(certain_system(name) is None for name in SYMBOLS if is_plain(name))
    assert len({system.name for system in CERTAIN_SYSTEMS}) == len(CERTAIN_SYSTEMS)


def test_a_number_that_makes_names_unique_is_left_out_where_the_name_itself_is_there() -> None:
    adata = cells_named(["CD3D", "CD3D-1", "CD3D-2", "CD3D-1-1", "LYZ", "LYZ.1", "NKX2-1", "AC012345.1"])
    reader = ExpressionReader(adata)  # without a warning
    assert reader.genes.tolist() == ["CD3D", "LYZ", "NKX2-1", "AC012345.1"]
    assert (reader.n_merged, reader.names.n_renamed) == (4, 4)
    assert reader.rows(0, 1).matrix.toarray().tolist() == [[8 + 7 + 6 + 5, 4 + 3, 2, 1]]


def test_anndata_makes_unique_what_is_read_as_one_gene() -> None:
    names = make_index_unique(pd.Index(["CD3D", "LYZ", "CD3D", "CD3D"]))
    assert names.tolist() == ["CD3D", "LYZ", "CD3D-1", "CD3D-2"]
    assert ExpressionReader(cells_named(names.tolist())).genes.tolist() == ["CD3D", "LYZ"]


def test_a_prefix_of_unknown_meaning_needs_all_names_and_symbols_behind_it() -> None:
    assert read_gene_names([f"sct_{symbol}" for symbol in SYMBOLS]).symbols.tolist() == SYMBOLS
    for names in (
        [f"gene_{i}" for i in range(50)],  # numbers behind it
        [f"sct_{symbol}" for symbol in SYMBOLS[:10]],  # few
        [f"sct_{symbol}" if i % 2 else symbol for i, symbol in enumerate(SYMBOLS)],  # half
        ["Y_RNA", *SYMBOLS],
    ):
        assert read_gene_names(names).symbols.tolist() == names


@pytest.mark.parametrize(
    "forms",
    [("GRCh38_{}", "mm10___{}"), ("hg19_{}", "GRCm38_{}"), ("{}_GRCh38", "{}_mm10"), ("HUMAN_{}", "MOUSE_{}")],
)
def test_two_species_are_refused(forms: tuple[str, str]) -> None:
    adata = cells_named([forms[i % 2].format(symbol) for i, symbol in enumerate(SYMBOLS)])
    with pytest.raises(
        ValueError, match="genes of one species in `adata.var_names`; found 13 of human such as .* and 12"
    ):
        ExpressionReader(adata)


def test_two_species_of_identifiers_beside_symbols_are_refused() -> None:
    with pytest.raises(ValueError, match="found 1 of human such as 'CD3D_ENSG00000167286' and 1 of mouse"):
        ExpressionReader(cells_named(["CD3D_ENSG00000167286", "Cd3d_ENSMUSG00000032094"]))


def test_two_assemblies_of_one_species_are_read() -> None:
    with pytest.warns(UserWarning, match="hold more than a gene symbol"):
        reader = ExpressionReader(cells_named(["GRCh38_CD3D", "hg19_CD3D", "hg19_LYZ"]))
    assert reader.genes.tolist() == ["CD3D", "LYZ"]


def test_a_transgene_is_no_second_species() -> None:
    names = [f"GRCh38_{symbol}{i}" for i in range(8) for symbol in SYMBOLS]
    with pytest.warns(UserWarning, match="hold more than a gene symbol"):
        reader = ExpressionReader(cells_named([*names, "mm10_Cre"]))
    assert reader.genes[-1] == "Cre"


def test_identifiers_beside_symbols_have_none() -> None:
    adata = cells_named(["CD3D", "ENSMUSG00000032094", "NM_000732", "ILMN_1343291", "LYZ"])
    with pytest.warns(UserWarning, match="3 of 5 names in `adata.var_names` are no gene symbols"):
        reader = ExpressionReader(adata)
    assert reader.genes.tolist() == ["CD3D", "LYZ"]
    assert reader.n_without_symbol == 3
    chunk = reader.rows(0, 1)
    assert chunk.without_symbol is not None
    assert chunk.without_symbol.tolist() == [4 + 3 + 2]
    assert ExpressionReader(cells_named(SYMBOLS)).rows(0, 1).without_symbol is None


def test_a_few_symbols_among_identifiers_are_not_what_to_read() -> None:
    spike_ins = ["ERCC-00002", "ERCC-00003"]
    identifiers = [f"ENSG{i:011d}" for i in range(19)]
    with pytest.raises(ValueError, match="found Ensembl ids such as"):
        ExpressionReader(cells_named([*spike_ins, *identifiers]))
    with pytest.warns(UserWarning, match="18 of 20 names in `adata.var_names` are no gene symbols"):
        assert ExpressionReader(cells_named([*spike_ins, *identifiers[:18]])).genes.tolist() == spike_ins


@pytest.mark.parametrize(
    "missing", ["", "NA", "nan", "None", "<NA>", "N/A", "---", "-", "?", None, float("nan"), pd.NA]
)
def test_missing_names(missing: Any) -> None:
    assert read_gene_names(["CD3D", missing]).symbols.tolist() == ["CD3D", ""]


@pytest.mark.parametrize("as_categories", [False, True])
def test_bytes_are_text(as_categories: bool) -> None:
    names = pd.Series([b"CD3D", "HLA-É".encode(), b"ENSG00000167286"], index=["a", "b", "c"], dtype=object)
    adata = cells_named(["a", "b", "c"])
    adata.var["feature_name"] = names.astype("category") if as_categories else names
    assert ExpressionReader(adata, gene_symbols="feature_name").genes.tolist() == ["CD3D", "HLA-É"]
    if not as_categories:  # anndata warns of an index of categories
        adata.var_names = pd.Index(names)
        assert ExpressionReader(adata).genes.tolist() == ["CD3D", "HLA-É"]
