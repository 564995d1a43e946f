"""Whether a sentence says that a gene is expressed, or that it is not."""

import re
from collections.abc import Sequence

from scmpt_scverse.knowledge._gene_finder import Mention

#: Cues for what a sentence says about the genes that follow.
_CUE = re.compile(
    r"""
    (?P<both>\bnot\s+only\b)
    |(?P<aside>\b(?:unlike|rather\s+than|instead\s+of|in\s+contrast\s+to|compared\s+(?:to|with)|respon(?:ds?|ding|se)\s+to
        |stimulated\s+(?:by|with)|induced\s+by|targets?\s+of|distinguish\w*\s+(?:\w+\s+)?from)\b[^,]*)
    |(?P<no>(?:\b(?:not|never|neither|nor|without|cannot|fail\w*\s+to|lack\w*(?:\s+of)?|loss\s+of|absen\w+\s+of|no|non|\w+n't))
          (?:\s+[a-z]+){0,3}?(?:[\s-]+(?:express|positiv|stain|produc|secret|detect|contain|carr[iy]|have\b|has\b)[a-z]*)+
          (?:\s+(?:for|of|in))?
        |\bnegativ[a-z]*(?:\s+(?:markers?|genes?|selection|staining))?(?:\s+(?:for|of|in|are|is|include[a-z]*)\b|\s*[:(])
        |\b(?:lack[a-z]*|absence\s+of|absent\s+for|devoid\s+of|depleted\s+(?:of|in)|free\s+of|los[est]+|loss\s+of|without
          |except(?:\s+for)?|exclud(?:e|es|ed|ing))\b)
    |(?P<not>\b(?:not|no|never|nor|neither|cannot|absent|\w+n't)\b|\bnon[-\s]+(?=(?-i:[A-Z][A-Z0-9])))
    |(?P<low>\b(?:low(?:er)?|weak[a-z]*|dim|reduced|decreased|down-?regulat[a-z]*)\b)
    |(?P<yes>\b(?:(?:co-?)?express|positiv|stain|produc|secret|synthesi[sz]|contain|carr[iy]|bear|display|releas|store|high
        |strong|rich|up-?regulat|enrich|defin|characteri[sz]|identif|detect|transcri)[a-z]*\b
        |\bmark(?:s|ed)\b|\bmarkers?\s*(?::|are\b|is\b|include)|\b(?:with|have|has|but|whereas|while|however|plus)\b)
    """,
    re.IGNORECASE | re.VERBOSE,
)
#: Maximum number of words between a negation, or a low level, and the first gene that it applies to.
_MAX_WORDS = {"no": 6, "not": 2, "low": 3}
_AFTER_YES = re.compile(
    r"\s?\(?\++\)?|(?:[-\s]|\s*:\s*)?(?:positiv\w*|pos|high|hi|bright|intermediate|int)\b"
    r"|[-\s](?:express|produc|secret|bear|enrich|contain)(?:ing|ed)\b",
    re.IGNORECASE,
)
_AFTER_NO = re.compile(
    r"\(?-\)?(?![A-Za-z0-9])|\s\(-\)|(?:[-\s]|\s*:\s*)?(?:double[-\s])?(?:negative|neg|null|deficient|free|depleted)\b|-lacking\b"
    r"|\s+(?:is|are|was|were)(?:n't\b|\s+(?:not|absent|lacking|lost|undetect\w*|missing|negative)\b)"
    r"|\s+(?:absent|undetect\w*)\b|\s+\((?:not|no|absent|negative|neg)\b",
    re.IGNORECASE,
)
_AFTER_LOW = re.compile(r"[-\s]?(?:low|lo|dim|weak)\b", re.IGNORECASE)
#: Words after a name that show that another protein, or none, is meant.
_AFTER_OTHER = re.compile(
    r"[-\s]+(?:receptor|ligand|inhibitor|antagonist|agonist|antibod|signal|pathway|stimulat|treat|respon|resist|sensitiv"
    r"|depend|induc|like\b|family|associated|binding)",
    re.IGNORECASE,
)
_AFTER_CELL = re.compile(r"s?[-\s]+(?:cells?|neurons?|pyramidal|region|field|area|hippocamp\w*|layer)\b", re.IGNORECASE)
_MAKES = re.compile(
    r"(?:express|produc|secret|synthesi[sz]|contain|releas|positiv|stain|marker|store|high)\w*", re.IGNORECASE
)
_GLUE = re.compile(r"(?:\s*(?:[,/&+]|\b(?:and|or|nor)\b)\s*)+")
#: Directly before a name, it denies what is written after it: `not CD4 positive`.
_DENIED = re.compile(r"(?:\b(?:not|never)\s+|\b\w+n't\s+|\bnon[-\s])$", re.IGNORECASE)
#: A word that is spelled like a name, such as one that is no gene: `TCR`.
_NAME = re.compile(r"(?=\S*[A-Z0-9])[\w./+-]+")


def signs_of(mentions: Sequence[Mention], text: str) -> list[int]:
    """What a sentence says about the genes that it names.

    Parameters
    ----------
    mentions
        All names in the sentence, from left to right.
    text
        The sentence.

    Returns
    -------
    For each name, 1 if it is expressed, -1 if not, 0 if the sentence says neither or means something else.
    """
    makes = _MAKES.search(text)
    from_here = len(text) if makes is None else makes.end()
    signs = []
    written = zip(mentions, _signs_after(mentions, text), _signs_before(mentions, text), strict=True)
    for mention, after, before in written:
        is_meant = not _AFTER_OTHER.match(text, mention.end) and (
            not mention.needs_context or _speaks_of_expression(mention, text, from_here)
        )
        if after == 1 and _DENIED.search(text, 0, mention.start):
            after = -1
        signs.append(0 if not is_meant else before if after is None else after)
    return signs


def _is_list(between: str) -> bool:
    """Whether two names are of one list: commas or the like between them, and perhaps further names."""
    return bool(_GLUE.match(between)) and _are_names(_GLUE.split(between))


def _are_names(items: Sequence[str]) -> bool:
    return all(not item.strip() or _NAME.fullmatch(item.strip()) for item in items)


def _speaks_of_expression(mention: Mention, text: str, from_here: int) -> bool:
    if _AFTER_YES.match(text, mention.end) or _AFTER_NO.match(text, mention.end):
        return True
    return mention.start >= from_here and not _AFTER_CELL.match(text, mention.end)


def _signs_after(mentions: Sequence[Mention], text: str) -> list[int | None]:
    """The sign written after each name, or after the list that it belongs to; `None` where there is none."""
    signs: list[int | None] = []
    following: Mention | None = None
    is_denied_list = False  # `CD4 and CD8 are absent`
    for mention in reversed(mentions):
        level, start = (mention.level, 0) if mention.level else (text, mention.end)
        between = "" if following is None else text[mention.end : following.start]
        denied = _AFTER_NO.match(level, start)
        is_denied_list = (is_denied_list and _is_list(between)) or (denied is not None and denied[0].startswith(" "))
        sign: int | None
        if _AFTER_LOW.match(level, start):
            sign = 0
        elif denied or is_denied_list or (between == "-" and signs[-1] is not None):  # `CD4-CD8+`
            sign = -1
        else:
            sign = 1 if _AFTER_YES.match(level, start) else None
        is_denied_list = is_denied_list and sign == -1
        signs.append(sign)
        following = mention
    return signs[::-1]


def _signs_before(mentions: Sequence[Mention], text: str) -> list[int]:
    """The sign given by the last cue before each name; 1 (expressed) where there is no cue."""
    cues = list(_CUE.finditer(text))
    signs: list[int] = []
    n_before, reaches = 0, False
    for number, mention in enumerate(mentions):
        n_known = n_before
        while n_before < len(cues) and cues[n_before].start() < mention.start:
            n_before += 1
        if n_before == 0:
            signs.append(1)
            continue
        cue = cues[n_before - 1]
        kind = cue.lastgroup or "yes"
        if kind not in _MAX_WORDS:
            signs.append(0 if kind == "aside" and cue.end() > mention.start else 1)
            continue
        if n_before > n_known:
            words = text[cue.end() : mention.start].strip(" :(")
            first, *others = _GLUE.split(words) if kind == "no" else [words]
            is_short = "," not in first and len(first.split()) <= _MAX_WORDS[kind]
            reaches = is_short and (not others or (bool(first) and _are_names([first.split()[-1], *others])))
        else:
            previous = mentions[number - 1]
            between = text[previous.end + len(previous.level) : mention.start]
            reaches = reaches and (not between.strip() or _is_list(between))
        signs.append(1 if not reaches else 0 if kind == "low" else -1)
    return signs
