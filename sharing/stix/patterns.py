"""The grammar of STIX patterns, checked within limits. No pattern is ever executed here."""

import re
from typing import Final

from stix2patterns.validator import run_validator

MAX_CHARS: Final = 10_000
MAX_COMPARISONS: Final = 300

# The one form nearly every indicator has; the grammar's parser costs a quarter of a millisecond.
_SIMPLE: Final = re.compile(
    r"\[(?:ipv4-addr|ipv6-addr|domain-name|url|email-addr):value = '(?:[^'\\]|\\['\\])+'\]"
    r"|\[file:hashes\.(?:MD5|'MD5'|'SHA-1'|'SHA-256') = '[0-9a-fA-F]{32,64}'\]"
)
_OPERATOR: Final = re.compile(r"\b(?:AND|OR|FOLLOWEDBY)\b")


def problem(pattern: str) -> str | None:
    """What is wrong with a pattern of type ``stix``, in words for its author; None when nothing."""
    if len(pattern) > MAX_CHARS:
        return f"the pattern has {len(pattern)} characters; {MAX_CHARS} are the most"
    if _SIMPLE.fullmatch(pattern):
        return None
    if len(_OPERATOR.findall(pattern)) >= MAX_COMPARISONS:
        return f"the pattern has more than {MAX_COMPARISONS} comparisons; split the indicator"
    try:
        found = run_validator(pattern, stix_version="2.1")
    except RecursionError:
        return "the pattern is nested too deeply"
    return f"the pattern is not valid: {found[0][:200]}" if found else None
