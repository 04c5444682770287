"""CITATION.cff agrees with the project, and on the founding paper with the bibliography."""

import re
import tomllib

import pytest

from robustbench_rec import __version__
from robustbench_rec.tables.bibliography import known


@pytest.fixture
def citation(checkout) -> str:
    return (checkout / "CITATION.cff").read_text(encoding="utf-8")


def values(text: str, key: str) -> list[str]:
    """Return what stands behind a key, at any depth."""
    return re.findall(rf'^[ -]*{key}: "?(.*?)"?$', text, flags=re.MULTILINE)


def test_the_citation_file_says_what_the_project_says(checkout, citation):
    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert values(citation, "cff-version") == ["1.2.0"]
    assert len(values(citation, "message")) == 1
    assert values(citation, "version") == [__version__]
    assert values(citation, "license") == [project["license"]]
    assert values(citation, "name") == [author["name"] for author in project["authors"]]
    assert values(citation, "title")[0] == f"{project['name']}: {project['description']}"


def test_the_citation_file_names_the_founding_paper_as_the_bibliography_does(citation):
    (entry,) = known()["loss drrl"]
    _, _, paper = citation.partition("\nreferences:\n")
    people = zip(values(paper, "given-names"), values(paper, "family-names"), strict=True)
    assert f"author = {{{' and '.join(' '.join(person) for person in people)}}}" in entry
    (title,) = values(paper, "title")
    in_bibtex = title.replace("Rényi", r"{R{\'e}nyi}")
    assert f"title = {{{in_bibtex}}}" in entry
    assert f"booktitle = {{{values(paper, 'collection-title')[0]}}}" in entry
    assert f"year = {{{values(paper, 'year')[0]}}}" in entry
    assert f"eprint = {{{values(paper, 'value')[0].removeprefix('arXiv:')}}}" in entry
