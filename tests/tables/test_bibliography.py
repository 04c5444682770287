import re

import pytest
from tables_by_hand import run_of

from robustbench_rec import BACKBONES, DATASETS, LOSSES, PERTURBATIONS
from robustbench_rec.records.run import read_run
from robustbench_rec.tables.bibliography import bibliography, known

REGISTRIES = (LOSSES, BACKBONES, DATASETS, PERTURBATIONS)
OURS = [(registry, name) for registry in REGISTRIES for name in registry.ours]
WITHOUT = {
    "loss untrained",
    "backbone popularity",
    "backbone random",
    "perturbation clean",
    "perturbation hidden_positives",
    "perturbation popularity_shift",
}
"""Components of ours that nobody published."""


def fields(entry):
    return dict(re.findall(r"^  (\w+) = \{(.*)\},?$", entry, flags=re.MULTILINE))


def check_bibtex(text):
    """Fail where BibTeX would: an entry is not closed, or "@" stands between entries."""
    depth, keys = 0, []
    for line in text.splitlines():
        if depth == 0 and (begun := re.fullmatch(r"@\w+\{([\w:-]+),", line)):
            keys.append(begun[1])
        elif depth == 0:
            assert "@" not in line
            continue
        depth += line.count("{") - line.count("}")
        assert depth >= 0
    assert depth == 0
    assert len(keys) == len(set(keys))
    return keys


@pytest.mark.parametrize(("registry", "name"), OURS, ids=lambda one: getattr(one, "kind", one))
def test_each_component_of_ours_has_the_entries_that_its_source_tells_of(registry, name):
    component, source = f"{registry.kind} {name}", registry[name].source
    entries = [fields(entry) for entry in known().get(component, ())]
    assert bool(entries) == (component not in WITHOUT)
    for entry in entries:
        assert "used_by" not in entry
        if f"arXiv {entry.get('eprint')}" not in source:
            check_against(source, entry)


def check_against(source, entry):
    """Fail unless a source tells of the year, authors and, but for journals, venue of an entry."""
    first, *others = (name.split()[-1] for name in entry["author"].split(" and "))
    assert re.search(rf"\b{first}\b", source)
    if f"{first} et al." not in source:
        assert all(re.search(rf"\b{other}\b", source) for other in others)
    venue = re.search(r"\((\w+)\)$", entry.get("booktitle", ""))
    assert f"{venue[1]} {entry['year']}" in source if venue else entry["year"] in source


ENTRIES = sorted({entry for entries in known().values() for entry in entries})


@pytest.mark.parametrize("text", ENTRIES, ids=lambda text: re.search(r"\{(.*),", text)[1])
def test_a_paper_can_use_an_entry_as_it_stands(text):
    check_bibtex(text)
    entry = fields(text)
    assert {"author", "title", "year"} < set(entry)
    assert ("journal" if text.startswith("@article") else "booktitle") in entry
    names = entry["author"].split(" and ")
    assert len(names) > 1
    assert all(re.fullmatch(r"[A-Z][\w.-]*( [\w.-]+)+", name) for name in names)
    assert {"doi", "eprint"} & set(entry)
    assert re.fullmatch(r"10\.\d{4,}/\S+", entry.get("doi", "10.1000/1"))
    assert re.fullmatch(r"\d{4}\.\d{4,5}", entry.get("eprint", "0000.00000"))
    assert entry.get("archiveprefix") == ("arXiv" if "eprint" in entry else None)


@pytest.mark.parametrize("text", ENTRIES, ids=lambda text: re.search(r"\{(.*),", text)[1])
def test_styles_leave_the_capitals_of_names_in_titles(text):
    """Many BibTeX styles write what stands outside braces in lower case."""
    title = fields(text)["title"]
    while title != (bare := re.sub(r"\{[^{}]*\}", "", title)):
        title = bare
    assert not re.search(r"\w[A-Z]|\$|Bayes|nyi\b", title)


def test_every_entry_is_of_a_component():
    held = {f"{registry.kind} {name}" for registry, name in OURS}
    assert known().keys() <= held


def test_the_bibliography_of_a_run_has_what_it_used_once(checkout):
    text = bibliography(read_run(checkout / "results" / "reference" / "movielens"))
    keys = check_bibtex(text)
    assert keys[0] == "robustbench_rec"
    assert {"harper2015movielens", "koren2009matrix", "he2020lightgcn", "drrl2025"} <= set(keys)
    assert "schnabel2016recommendations" not in keys
    assert "note = {Suite movielens, protocol 2, version 0.1.0}" in text
    assert "\n% backbone random: what chance reaches (no entry)\n" in text
    assert "loss untrained" not in text


def test_a_loss_that_is_not_applicable_is_cited(tmp_path):
    apart = (("directau", "negative_contamination"),)
    run = run_of(tmp_path, {("bpr", 0.0, 0): 0.2}, not_applicable=apart)
    keys = check_bibtex(bibliography(run))
    assert {"wang2022directau", "drrl2025", "yang2024psl"} <= set(keys)


@pytest.mark.parametrize("hostile", ["x@y{z", "}\n@misc{evil,", "% {{", "a\\b", "SL@K"])
def test_hostile_names_break_no_bibtex(tmp_path, hostile):
    cell = ("bpr", 0.0, 0)
    names = {cell: {"dataset": hostile, "backbone": f"b{hostile}"}}
    run = run_of(tmp_path, {cell: 0.2}, elsewhere=names, suite=hostile)
    text = bibliography(run)
    keys = check_bibtex(text)
    assert keys == ["robustbench_rec", "rendle2009bpr"]
    assert ": no source is known\n" in text
