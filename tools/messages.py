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

from sharing.stix import extract, port, wellknown

ROOT: Final = Path(__file__).resolve().parent.parent
PO: Final = ROOT / "crc" / "locale" / "ja" / "LC_MESSAGES" / "django.po"
MO: Final = PO.with_suffix(".mo")
# What the code calls gettext by; ``kept`` is crc.members.retold's.
_SINGULAR: Final = frozenset({"gettext", "gettext_lazy", "gettext_noop", "kept", "_", "__"})
_PLURAL: Final = frozenset({"ngettext", "ngettext_lazy"})
_TEXT = r"""u?("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
_CALL: Final = re.compile(rf"\b(?:n?gettext|_)\({_TEXT}(?:, {_TEXT})?")


@dataclass
class Message:
    """One text, its plural, empty when it has none, and the files that say it."""

    msgid: str
    plural: str = ""
    files: set[str] = field(default_factory=set)


def messages() -> dict[str, Message]:
    """Every text for people, by msgid."""
    found: dict[str, Message] = {}
    for file in sources():
        text = (ROOT / file).read_text("utf-8")
        for msgid, plural in in_python(text) if file.endswith(".py") else in_template(text):
            message = found.setdefault(msgid, Message(msgid))
            message.plural = message.plural or plural
            message.files.add(file)
    for msgid in vocabulary():
        found.setdefault(msgid, Message(msgid)).files.add("sharing/stix")
    return found


def sources() -> list[str]:
    """The modules and templates of the hub, from its root."""
    command = ["git", "ls-files", "-co", "--exclude-standard", "crc", "sharing", "alerts"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    files = sorted(f for f in listed.split("\n") if f.endswith(".py") or "/templates/" in f)
    return [f for f in files if (ROOT / f).exists()]


def vocabulary() -> Iterator[str]:
    """The words of ``sharing.stix``, which knows no gettext; they are translated where shown."""
    for words in (*port.ATTACKS.values(), *port.SYSTEMS.values(), *port.IMPACTS.values()):
        yield words.label
    yield from wellknown.reasons()
    yield from extract.REASONS


def in_python(text: str) -> Iterator[tuple[str, str]]:
    """Each msgid that a module marks, with its plural."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            said = [a.value for a in node.args[:2] if isinstance(a, ast.Constant)]
            if name in _SINGULAR and len(said) == 1:
                yield said[0], ""
            elif name in _PLURAL and len(said) == 2:
                yield said[0], said[1]


def in_template(text: str) -> Iterator[tuple[str, str]]:
    """Each msgid that a template marks, with its plural."""
    for singular, plural in _CALL.findall(templatize(text)):
        yield ast.literal_eval(singular), ast.literal_eval(plural) if plural else ""


def update(catalogue: polib.POFile, wanted: dict[str, Message]) -> None:
    """Add what is new, untranslated, and drop what is gone. Order: by file, then by text."""
    have = {entry.msgid: entry for entry in catalogue}
    catalogue.clear()
    for message in sorted(wanted.values(), key=lambda m: (min(m.files), m.msgid)):
        entry = have.get(message.msgid) or polib.POEntry(msgid=message.msgid)
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
