"""Links of the pages lead to files and headings that exist."""

import json
import re
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from tests.docs._blocks import DOCS, PAGES, ROOT, text_of

_CODE_BLOCK = re.compile(r"^(`{3,}).*?^\1$", re.DOTALL | re.MULTILINE)
#: Code holds no links.
_CODE = re.compile(r"^(`{3,}).*?^\1$|`[^`\n]*`", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^()\s]+(?:\([^()\s]*\))?)\)")
_CARD = re.compile(r"^:link: (\S+)$", re.MULTILINE)
_ROLE = re.compile(r"\{doc\}`[^`<]*<?([^`<>]+)>?`")
_REFERENCE = re.compile(r"^\s*(doi|url) = \{(.+)\},?$", re.MULTILINE)
_EXTERNAL = ("http://", "https://", "mailto:")
API_PAGES = sorted(path.relative_to(ROOT).as_posix() for path in DOCS.glob("api/*.md"))


def links_of(page: str) -> list[str]:
    return _LINK.findall(_CODE.sub("", text_of(page)))


def anchors_of(page: str) -> set[str]:
    """The anchors of the headings, as MyST and GitHub make them; a heading that occurs again gets a number."""
    found: dict[str, int] = {}
    anchors = set()
    for heading in re.findall(r"^#{1,3} (.+)$", _CODE_BLOCK.sub("", text_of(page)), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        anchors.add(f"{slug}-{found[slug]}" if slug in found else slug)
        found[slug] = found.get(slug, 0) + 1
    return anchors


def problem_of(page: str, link: str) -> str | None:
    """What is wrong with a link inside of the repository."""
    path, _, anchor = link.partition("#")
    target = (ROOT / page).parent / path if path else ROOT / page
    if path and page.startswith("docs/") and not target.exists():
        # Notebooks are copied next to the pages when they are built.
        target = ROOT / target.resolve().relative_to(DOCS) if "tutorials" in path else target
    if not target.is_file():
        return f"{page}: no file {link}"
    if anchor and target.suffix == ".md" and anchor not in anchors_of(target.resolve().relative_to(ROOT).as_posix()):
        return f"{page}: no heading {link}"
    return None


@pytest.mark.parametrize("page", [*PAGES, *API_PAGES])
def test_links_to_files_and_headings(page: str) -> None:
    inside = [link for link in links_of(page) if not link.startswith(_EXTERNAL)]
    assert [problem for link in inside if (problem := problem_of(page, link))] == []


@pytest.mark.parametrize("page", [*PAGES, *API_PAGES])
def test_links_of_cards_and_roles(page: str) -> None:
    names = _CARD.findall(text_of(page)) + _ROLE.findall(text_of(page))
    assert [name for name in names if not is_page(page, name)] == []


def is_page(page: str, name: str) -> bool:
    """Whether a name without suffix is a page; a build copies the tutorials next to the pages."""
    path = (ROOT / page).parent / name
    return path.with_suffix(".md").is_file() or (ROOT / path.relative_to(DOCS)).with_suffix(".ipynb").is_file()


def external_links() -> list[str]:
    """Of pages, notebooks, and the list of references."""
    links = [link for page in [*PAGES, *API_PAGES] for link in links_of(page)]
    for notebook in sorted((ROOT / "tutorials").glob("*.ipynb")):
        cells = [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "markdown"]
        links += [link for cell in cells for link in _LINK.findall(_CODE.sub("", "".join(cell["source"])))]
    for kind, value in _REFERENCE.findall((DOCS / "references.bib").read_text()):
        links.append(f"https://doi.org/{value}" if kind == "doi" else value)
    return sorted({link for link in links if link.startswith(_EXTERNAL)})


def test_external_links_are_well_formed() -> None:
    links = external_links()
    assert len(links) > 50
    assert [link for link in links if not (urlsplit(link).scheme == "https" and "." in urlsplit(link).netloc)] == []


def status_of(link: str) -> int | None:
    """What the server says, or `None` if it is not reached."""
    request = urllib.request.Request(link, method="HEAD", headers={"User-Agent": "Mozilla/5.0"})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


@pytest.mark.network
def test_external_links_are_answered() -> None:
    links = external_links()
    with ThreadPoolExecutor(16) as pool:
        found = dict(zip(links, pool.map(status_of, links), strict=True))
    if set(found.values()) == {None}:
        pytest.skip("no network")
    # Other errors are those of servers that refuse programs, or HEAD.
    assert [link for link, status in found.items() if status in {404, 410}] == []


@pytest.mark.parametrize(
    ("link", "problem"),
    [("nowhere.md", "no file"), ("user_guide/scmpt.md#nothing", "no heading"), ("user_guide/scmpt.md#idea", None)],
)
def test_a_wrong_link_is_found(link: str, problem: str | None) -> None:
    found = problem_of("docs/index.md", link)
    assert (found is None) if problem is None else (problem in (found or ""))
