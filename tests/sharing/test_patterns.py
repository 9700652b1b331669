"""Patterns: the grammar as labelled, the limits, and nothing that takes long."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stix2patterns.validator import run_validator

from sharing.stix import patterns
from tests.patience import without_a_hang

# The validator of OASIS refuses a repeated qualifier, its matcher runs one.
TWICE_QUALIFIED = {
    "[person:age < 20] REPEATS 2 TIMES REPEATS 2 TIMES",
    "[person:age < 20] REPEATS 2 TIMES REPEATS 3 TIMES",
}


def fast_path(pattern: str) -> bool:
    return bool(patterns._SIMPLE.fullmatch(pattern))


@pytest.mark.parametrize(
    "pattern",
    [
        "[ipv4-addr:value = '198.51.100.3']",
        "[url:value = 'http://a.example/?q=it\\'s']",
        "[file:hashes.'SHA-1' = 'da39a3ee5e6b4b0d3255bfef95601890afd80709']",
        "[domain-name:value = 'a.example' OR domain-name:value = 'b.example']",
        "[ipv4-addr:value = '198.51.100.3'] OR [domain-name:value = 'a.example']",
    ],
)
def test_the_ordinary_pattern_needs_no_parser(pattern: str) -> None:
    assert fast_path(pattern)
    assert patterns.problem(pattern) is None
    assert not run_validator(pattern, stix_version="2.1")


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "ipv4-addr:value = '198.51.100.3'",
        "[ipv4-addr:value = 198.51.100.3]",
        "[ipv4-addr:value = '198.51.100.3'",
        "[file:hashes.MD5 = 'abc']",
        "[file:hashes[0] = 'abc']",
        "[file:hashes.'SHA-256' = 'da39a3ee5e6b4b0d3255bfef95601890afd80709']",
        "[url:value = 'it's']",
    ],
)
def test_a_wrong_pattern_is_refused_in_words(pattern: str) -> None:
    assert "pattern" in (patterns.problem(pattern) or "")


def test_as_many_comparisons_as_allowed_and_not_one_more() -> None:
    def ors(count: int) -> str:
        return f"[{' OR '.join(f'a-b:c = {n}' for n in range(count))}]"

    assert patterns.problem(ors(patterns.MAX_PATTERN_COMPARISONS)) is None
    refused = patterns.problem(ors(patterns.MAX_PATTERN_COMPARISONS + 1))
    assert refused is not None
    assert "comparisons" in refused


def test_words_inside_a_text_are_not_counted() -> None:
    assert patterns.problem(f"[process:command_line = '{' AND '.join('x' * 400)}']") is None


def test_the_simple_form_is_capped_as_well() -> None:
    values = " OR ".join(f"ipv4-addr:value = '10.0.0.{n}'" for n in range(400))
    assert patterns.problem(f"[{values}]") is not None


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("[file:name = 'a']", None),
        ("[x-example-com:name = 'f:a']", None),
        ("[f:name = 'a']", "f"),
        ("[file:name = 'a' AND (x_y:z = 1)]", "x_y"),
    ],
)
def test_object_types_follow_the_rules_for_type_names(pattern: str, name: str | None) -> None:
    assert patterns.misnamed(pattern) == name


HOSTILE = {
    "a thousand alternatives": f"[{' OR '.join(f'abc:b = {n}' for n in range(1000))}]",
    "most alternatives that fit": f"[{' OR '.join(f'abc:b={n}' for n in range(300))}]",
    "open parentheses": "(" * 9_999,
    "balanced parentheses": f"[{'(' * 4000}abc:b = 1{')' * 4000}]",
    "a long path": f"[abc:b{'.ccc' * 2400} = 1]",
    "many indexes": f"[abc:b{'[1]' * 3000} = 1]",
    "a long set": f"[abc:b IN ({'1,' * 4900}1)]",
    "many qualifiers": "[abc:b = 1]" + " REPEATS 2 TIMES" * 600,
    "many negations": f"[abc:b {'NOT ' * 2000}= 1]",
    "unclosed texts": "['" * 4900,
    "backslashes": f"[ipv4-addr:value = '{chr(92) * 9000}",
    "nearly simple": f"[{' OR '.join(['url:value = ' + chr(39) + 'x' + chr(39)] * 290)} OR]",
    "a number of 9,000 digits": f"[abc:b = {'9' * 9000}]",
    "a million characters": "[" + "x" * 1_000_000,
    "blanks": " " * 9_990 + "[a",
    "comments": "[abc:b = 1]" + "/**/" * 2000,
}


@pytest.mark.parametrize("pattern", HOSTILE.values(), ids=HOSTILE.keys())
def test_no_pattern_hangs_the_grammar(pattern: str) -> None:
    patterns._parsed.cache_clear()
    with without_a_hang():
        patterns.problem(pattern)
        patterns.misnamed(pattern)


TEXT = st.text(st.sampled_from("ab'\\ :.=[]()ORAND\n1é"), max_size=12)
OPERAND = st.sampled_from(["ipv4-addr:value", "file:name", "url:value", "file:hashes.MD5"])
EQUALITY = st.builds("{} = '{}'".format, OPERAND, TEXT | st.just("d" * 32))
SIMPLISH = st.builds(
    "[{}]".format,
    st.builds(lambda joint, parts: joint.join(parts), st.sampled_from([" OR ", " AND ", "OR"]),
              st.lists(EQUALITY, max_size=3)),
)  # fmt: skip


@given(SIMPLISH | st.builds("{} OR {}".format, SIMPLISH, SIMPLISH))
def test_the_fast_path_stays_within_the_grammar(pattern: str) -> None:
    if fast_path(pattern):
        assert not run_validator(pattern, stix_version="2.1")


@given(
    st.text(st.sampled_from("[]()'\\=<>:.,*0123456789abtANDORFLWEBYI NSTRP-_{}é\n"), max_size=60)
)
def test_no_text_crashes_it(pattern: str) -> None:
    assert patterns.problem(pattern) is None or isinstance(patterns.problem(pattern), str)


@pytest.mark.corpus
def test_the_labelled_patterns_of_the_validator(corpus: Path) -> None:
    for case in json.loads((corpus / "patterns" / "valid-invalid-21.json").read_bytes()):
        assert (patterns.problem(case["pattern"]) is None) == case["valid"], case["pattern"]


@pytest.mark.corpus
def test_the_labelled_patterns_of_the_matcher(corpus: Path) -> None:
    """What the matcher could run is valid; what it could not parse is not."""
    for case in json.loads((corpus / "patterns" / "match-cases-21.json").read_bytes()):
        if case.get("error") == "MatcherException" or case["pattern"] in TWICE_QUALIFIED:
            continue  # well-formed, and about the data it was run on; or see above
        runs = case.get("matched") is not None
        assert (patterns.problem(case["pattern"]) is None) == runs, case["pattern"]
