"""Collect every text for people, and keep the Japanese catalogue in step with the code.

``python -m tools.messages`` (developers) reads templates and Python, adds to the ``.po`` what is
new, untranslated, drops what is gone, and compiles the ``.mo``. Both are committed, so that a hub
runs without gettext. docs/translating.md says how to work with it.
"""

import ast
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import polib
from django.utils.translation.template import templatize

from crc.members.retold import CONTEXT, kept
from crc.outbound import words
from sharing.stix import extract, port, titles, wellknown

ROOT: Final = Path(__file__).resolve().parent.parent
PO: Final = ROOT / "crc" / "locale" / "ja" / "LC_MESSAGES" / "django.po"
MO: Final = PO.with_suffix(".mo")
# What the code calls gettext by.
_SINGULAR: Final = frozenset({"gettext", "gettext_lazy", "gettext_noop", "_", "__"})
_PLURAL: Final = frozenset({"ngettext", "ngettext_lazy"})
_TEXT = r"""u?("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
_CALL: Final = re.compile(rf"\b(?:n?gettext|_)\({_TEXT}(?:, {_TEXT})?")


@dataclass
class Message:
    """One text, the context and the plural that it may have, and the files that say it."""

    msgid: str
    context: str = ""
    plural: str = ""
    files: set[str] = field(default_factory=set)


def messages() -> dict[tuple[str, str], Message]:
    """Every text for people, by context and msgid."""
    found: dict[tuple[str, str], Message] = {}
    for file in sources():
        text = (ROOT / file).read_text("utf-8")
        marked = in_python(text) if file.endswith(".py") else in_template(text)
        for context, msgid, plural in marked:
            message = found.setdefault((context, msgid), Message(msgid, context))
            message.plural = message.plural or plural
            message.files.add(file)
    for context, msgid in vocabulary():
        message = found.setdefault((context, msgid), Message(msgid, context))
        message.files.add("sharing/stix")
    return found


def sources() -> list[str]:
    """The modules and templates of the hub, from its root."""
    command = ["git", "ls-files", "-co", "--exclude-standard", "crc", "sharing", "alerts"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    files = sorted(f for f in listed.split("\n") if f.endswith(".py") or "/templates/" in f)
    return [f for f in files if (ROOT / f).exists()]


def vocabulary() -> Iterator[tuple[str, str]]:
    """The words of modules that know no gettext; they are translated where shown."""
    for said in (*port.ATTACKS.values(), *port.SYSTEMS.values(), *port.IMPACTS.values()):
        yield "", said.label
    for attack in port.ATTACKS.values():
        yield from ((CONTEXT, attack.label), (CONTEXT, attack.label.lower()))
    for system in port.SYSTEMS.values():
        yield CONTEXT, system.label.lower()
    for title in titles.TITLES:
        yield CONTEXT, title
    outbound = [text for name, text in vars(words).items() if name.isupper()]
    for reason in (*wellknown.reasons(), *extract.REASONS, titles.INCIDENT, *outbound):
        yield CONTEXT, reason


def in_python(text: str) -> Iterator[tuple[str, str, str]]:
    """Each ``(context, msgid, plural)`` that a module marks."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            said = [a.value for a in node.args[:2] if isinstance(a, ast.Constant)]
            if name in _SINGULAR and len(said) == 1:
                yield "", said[0], ""
            elif name in _PLURAL and len(said) == 2:
                yield "", said[0], said[1]
            elif name == kept.__name__ and len(said) == 1:
                yield CONTEXT, said[0], ""


def in_template(text: str) -> Iterator[tuple[str, str, str]]:
    """Each ``(context, msgid, plural)`` that a template marks."""
    for singular, plural in _CALL.findall(templatize(text)):
        yield "", ast.literal_eval(singular), ast.literal_eval(plural) if plural else ""


def update(catalogue: polib.POFile, wanted: dict[tuple[str, str], Message]) -> None:
    """Add what is new, untranslated, and drop what is gone. Order: by file, then by text."""
    have = {(entry.msgctxt or "", entry.msgid): entry for entry in catalogue}
    catalogue.clear()
    for key in sorted(wanted, key=lambda key: (min(wanted[key].files), key)):
        message = wanted[key]
        entry = have.get(key) or polib.POEntry(msgid=message.msgid, msgctxt=message.context or None)
        if message.plural and not entry.msgid_plural:
            entry.msgstr_plural, entry.msgstr = {0: entry.msgstr}, ""
        entry.msgid_plural = message.plural
        entry.occurrences = [(file, "") for file in sorted(message.files)]
        entry.flags = ["python-format"] if "%(" in message.msgid else []
        catalogue.append(entry)


if __name__ == "__main__":
    po = polib.pofile(str(PO), wrapwidth=100)
    update(po, messages())
    po.save()
    po.save_as_mofile(str(MO))
    for missing in po.untranslated_entries():
        print(f"untranslated: {missing.msgid}")  # noqa: T201
