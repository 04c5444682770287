"""A page as a file: its policy, its escapes, and that the same run gives the same bytes."""

import base64
import hashlib
import json
import re
from html import unescape
from html.parser import HTMLParser

import pytest
from pages import content_of, run_with

from robustbench_rec.records.run import read_run
from robustbench_rec.report.contents import contents
from robustbench_rec.report.numbers import isolated
from robustbench_rec.report.page import as_json, page, script_text

MARKUP = "</script><img src=x onerror=alert(1)>&amp;\u2028'\""


def script_and_style(text):
    return [re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL) for tag in ("script", "style")]


def test_the_policy_allows_this_style_and_script_and_nothing_else(tmp_path):
    text = page(contents([run_with(tmp_path / "r")]))
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    rules = dict(one.strip().split(" ", 1) for one in unescape(policy).split(";"))
    ([script], [style]) = script_and_style(text)
    for rule, held in (("script-src", script), ("style-src", style)):
        digest = base64.b64encode(hashlib.sha256(held.encode()).digest()).decode()
        assert rules.pop(rule) == f"'sha256-{digest}'"
    assert rules == {
        "default-src": "'none'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_a_page_has_no_style_attribute_no_handler_and_names_no_other_file(tmp_path):
    seen = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attributes):
            seen.append((tag, dict(attributes)))

    Reader().feed(page(contents([run_with(tmp_path / "r")])))
    for _, attributes in seen:
        assert not [name for name in attributes if name == "style" or name.startswith("on")]
        for name in ("src", "href"):
            assert attributes.get(name, "data:,") in ("data:,", "#main")


def test_the_script_writes_no_markup_and_evaluates_nothing():
    text = script_text()
    for word in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "fetch(",
    ):
        assert word not in text
    assert not re.search(r"\bFunction\(|XMLHttpRequest|WebSocket|importScripts|\.style=", text)


@pytest.mark.parametrize(
    "name", [MARKUP, "x" * 500, "\u202e\u0007abc", "=1+1", "\u0627\u0644\u062e"]
)
def test_names_of_any_kind_stay_text(tmp_path, name):
    suite_text = f"name = 's'\nabout = {json.dumps(name)}\n"
    claim = {
        "says": name,
        "kind": "keeps-more",
        "loss": "bpr",
        "than": "ccl",
        "perturbation": "noise",
    }
    held = run_with(tmp_path / "r", about=name, suite_text=suite_text, claims=[claim])
    text = page(contents([held]))
    shown = "".join(char if char.isprintable() else " " for char in name)
    (run,) = content_of(text)["runs"]
    assert run["about"] == shown
    assert {row["says"] for row in run["claims"]["rows"]} == {shown}
    assert text.count("</script>") == 2
    assert "<img" not in text


def test_a_name_that_reads_from_right_to_left_is_isolated_in_sentences():
    assert isolated("psl") == "psl"
    assert isolated("\u05d0\u05d1") == "\u2068\u05d0\u05d1\u2069"
    assert isolated("a\u202eb") == "a b"  # an override is no character to print


def test_a_title_is_escaped(tmp_path):
    text = page({"title": MARKUP, "runs": []})
    assert "<title>&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;&amp;amp;" in text


def test_json_in_a_script_is_json_and_ends_no_script():
    text = as_json({"says": MARKUP})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"says": MARKUP}
    with pytest.raises(ValueError, match="JSON"):
        as_json({"value": float("nan")})


def test_the_same_run_gives_the_same_page(tmp_path):
    run_with(tmp_path / "r")
    one, other = (page(contents([read_run(tmp_path / "r")])) for _ in range(2))
    assert one == other
