"""A chain of edits: a tree of pictures, each but the first made from another by a request.

Pictures are named by their content (`engine.inputs`), and a recipe names the picture it began with;
so a chain needs no file of its own: it is found again from its last picture.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from engine.errors import BadRequest, FileRejected, NotFound
from engine.images.metadata import read_recipe, request_from_recipe
from engine.inputs import Inputs
from engine.request import Request

MAX_STEPS: Final = 64
"""From a picture back to its origin."""
MAX_PICTURES: Final = 512
"""In one tree; the oldest leaves make room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One picture of a chain. name: as `Engine.keep_input` gave it.

    parent: the picture that it was made from, None for an origin. request: how it was made, None
    for a picture that came from elsewhere.
    """

    name: str
    parent: str | None = None
    request: Request | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """The pictures of a tree, each after its parent. at: where the user stands, None in an empty
    chain.
    """

    links: tuple[Link, ...] = ()
    at: str | None = None

    def find(self, name: str) -> Link:
        """Return the link of a picture; raise `NotFound`."""
        for link in self.links:
            if link.name == name:
                return link
        raise NotFound(
            f"The picture {name!r:.80} is no step of this chain.", "Choose one of its pictures."
        )

    def has(self, name: str | None) -> bool:
        """Say whether a picture belongs to the chain."""
        return any(link.name == name for link in self.links)

    def grown(self, name: str, request: Request) -> Chain:
        """Return the chain with a picture made from another, whose place in the tree follows.

        Where the user stands stays. A picture that is there already is not added again.
        """
        if self.has(name):
            return self
        parent = request.images[0] if request.images else None
        grown = self if parent is None or self.has(parent) else self._with(Link(name=parent))
        return grown._with(Link(name=name, parent=parent, request=request))._pruned()

    def walked(self, name: str) -> Chain:
        """Return the chain with the user standing at another picture; raise `NotFound`."""
        return replace(self, at=self.find(name).name)

    def children(self, name: str | None) -> tuple[Link, ...]:
        """Return what was made from a picture, oldest first; for None the origins."""
        return tuple(link for link in self.links if link.parent == name)

    def way(self, name: str) -> tuple[Link, ...]:
        """Return the links from the origin to a picture, both included; raise `NotFound`."""
        found = [self.find(name)]
        while found[-1].parent is not None:
            found.append(self.find(found[-1].parent))
        return tuple(reversed(found))

    def replay(self, name: str) -> tuple[Request, ...]:
        """Return the requests that lead to a picture, to be made of another one.

        Each makes one picture of the size of its input; seeds stay. Raise `NotFound`, or
        `BadRequest` where no request leads there.
        """
        steps = [link.request for link in self.way(name) if link.parent and link.request]
        if not steps:
            raise BadRequest(
                "This picture is where its chain begins: there is no step to replay.",
                "Choose a picture that an edit made.",
            )
        return tuple(step.with_values(count=1, width=None, height=None) for step in steps)

    def _with(self, link: Link) -> Chain:
        return replace(self, links=(*self.links, link))

    def _pruned(self) -> Chain:
        """Return the chain with no more pictures than it may have; where one stands stays."""
        links = list(self.links)
        while len(links) > MAX_PICTURES:
            parents = {link.parent for link in links} | {self.at, links[-1].name}
            links.remove(next(link for link in links if link.name not in parents))
        return replace(self, links=tuple(links))


def trace(name: str, inputs: Inputs) -> Chain:
    """Return the chain that leads to a kept picture, read from the recipes in the files.

    It ends at a picture without a readable recipe, made from no picture, or made from one that is
    not kept any more. Raise `NotFound` where the picture itself is not kept.
    """
    inputs.path(name)
    found: list[Link] = []
    here: str | None = name
    while here is not None and len(found) < MAX_STEPS:
        link = _read(here, inputs)
        if link.parent is not None and any(link.parent == earlier.name for earlier in found):
            link = Link(name=here)
        found.append(link)
        here = link.parent
    if here is not None:
        found.append(Link(name=here))
    return Chain(links=tuple(reversed(found)), at=name)


def _read(name: str, inputs: Inputs) -> Link:
    """Return a picture with what its recipe says; a stranger's recipe is checked first."""
    try:
        request, _ = request_from_recipe(read_recipe(inputs.path(name)))
    except (FileRejected, NotFound):
        return Link(name=name)
    parent = request.images[0] if request.images else None
    if parent is not None and not _is_kept(parent, inputs):
        return Link(name=name)
    return Link(name=name, parent=parent, request=request)


def _is_kept(name: str, inputs: Inputs) -> bool:
    try:
        inputs.path(name)
    except NotFound:
        return False
    return True
