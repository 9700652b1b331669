"""STIX bundles of any size: into a collection, and out of one."""

import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from crc.members.models import Organisation
from sharing.checking import Checked, check
from sharing.intake import take_in
from sharing.models import Collection, Door, Submission
from sharing.moving.tally import Tally
from sharing.stix import reading
from sharing.stix.markings import Tlp
from sharing.stix.reading import BadJson
from sharing.stix.reading.stream import Broken, Piece
from sharing.store import Outcome, Result

CHUNK: Final = 1_000
# Objects may be a thousand times larger than usual; memory should not be.
CHUNK_BYTES: Final = 16 * 1_048_576
_FETCHED: Final = 500


def bring_in(
    pieces: Iterable[Piece],
    *,
    collection: Collection,
    source: Organisation,
    tally: Tally,
    on_chunk: Callable[[Tally], None] = lambda tally: None,
) -> None:
    """Take the objects of a file in, a transaction and a receipt for each chunk.

    ``tally`` is right also when this raises Broken: what came before is in by then.
    """
    level = Tlp(collection.tlp) if collection.tlp else None
    default, at_most = level or Tlp.AMBER_STRICT, level or Tlp.RED
    statements: frozenset[str] = frozenset()
    for chunk in _chunks(pieces):
        # Of the file so far; those who write definitions first are understood.
        statements |= reading.statements(chunk)
        receipt = take_in(
            [*_checked(chunk, default, at_most, statements)],
            submission=Submission(source=source, door=Door.IMPORT),
            into=[collection],
            actor="operator",
        )
        tally.add(receipt.results)
        on_chunk(tally)


def _chunks(pieces: Iterable[Piece]) -> Iterator[list[Any]]:
    """Values, with BadJson in place of what cannot be kept. Raises Broken after the last chunk."""
    chunk: list[Any] = []
    size = 0
    try:
        for piece in pieces:
            chunk.append(_value(piece))
            size += piece.size
            if len(chunk) == CHUNK or size > CHUNK_BYTES:
                yield chunk
                chunk, size = [], 0
    except Broken:
        if chunk:
            yield chunk
        raise
    if chunk:
        yield chunk


def _value(piece: Piece) -> Any:
    try:
        return piece.value()
    except BadJson as bad:
        return BadJson(f"at byte {piece.at}: {bad}")


def _checked(
    values: list[Any], default: Tlp, at_most: Tlp, statements: frozenset[str]
) -> Iterator[Checked]:
    for value in values:
        if isinstance(value, BadJson):
            yield Result("", "", Outcome.REFUSED, str(value))
        else:
            yield from check([value], default_tlp=default, at_most=at_most, statements=statements)


def bundle(collection: Collection, *, all_versions: bool) -> Iterator[str]:
    """The text of a bundle of what is in a collection, oldest first, bodies as they came.

    A bundle of nothing has no ``objects``: STIX allows no empty list.
    """
    rows = collection.placements.order_by("date_added")
    if not all_versions:
        rows = rows.filter(latest=True)
    lead = ',"objects":[\n'
    yield f'{{"type":"bundle","id":"bundle--{uuid.uuid4()}"'
    for body in rows.values_list("object__body", flat=True).iterator(chunk_size=_FETCHED):
        yield f"{lead}{body}"
        lead = ",\n"
    yield "\n]}\n" if lead == ",\n" else "}\n"
