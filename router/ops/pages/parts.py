"""A page in parts: the same markup whole for who opens it, and piece by piece for who watches."""

from collections.abc import Mapping, Sequence

import msgspec

from router.ops.html import Child, Html, Value, tag


class Parts:
    """Collects the parts of one rendering that may change while somebody looks."""

    def __init__(self) -> None:
        self.blocks: dict[str, Html] = {}
        """By the element's id."""
        self.lists: dict[str, list[str]] = {}
        """Elements whose children are blocks, which come, go and change places."""

    def block(self, name: str, id_: str, /, *children: Child, **attributes: Value) -> Html:
        """An element that is replaced as a whole."""
        made = self.blocks[id_] = tag(name, *children, id=id_, **attributes)
        return made

    def list(
        self, name: str, id_: str, /, rows: Sequence[tuple[str, Html]], **attributes: Value
    ) -> Html:
        """An element of rows, each with its own id, which is in its markup too."""
        self.blocks.update(rows)
        self.lists[id_] = [row_id for row_id, _ in rows]
        return tag(name, [row for _, row in rows], id=id_, **attributes)


class Update(msgspec.Struct, frozen=True):
    """What a page that shows an earlier rendering is told."""

    blocks: Mapping[str, str]
    lists: Mapping[str, Sequence[str]]


def difference(new: Parts, old: Parts | None) -> Update:
    """What changed; everything where there was nothing before."""
    if old is None:
        return Update(dict(new.blocks), dict(new.lists))
    blocks = {id_: html for id_, html in new.blocks.items() if old.blocks.get(id_) != html}
    lists = {id_: rows for id_, rows in new.lists.items() if old.lists.get(id_) != rows}
    return Update(blocks, lists)
