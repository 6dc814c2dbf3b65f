"""What every part of the page needs to know."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from engine import (
    INPUT_PREFIX,
    Availability,
    BadRequest,
    Engine,
    FileRejected,
    Lora,
    LoraReport,
    ModelEntry,
    NotFound,
    Presets,
    Request,
    Variant,
    Verdict,
)
from ui import strings
from ui.shelf import Shelf
from ui.visitors import Visitors

if TYPE_CHECKING:
    from ui.guests import Guests
    from ui.sharing import Sharing

VISITOR: Final = "visitor"
"""Whose a job is that a program asked for and not the owner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageContext:
    """The engine behind a page and who may do what.

    owner: the page is for this computer alone, so its user may open folders and change settings.
    notices: what was wrong with the settings file. sharing: what starts and ends a page for
    guests, on the owner's alone. guests: on such a page, who they are and what they may.
    shelf: the models and adapters on offer.
    """

    engine: Engine
    owner: bool = True
    notices: tuple[str, ...] = ()
    sharing: Sharing | None = None
    guests: Guests | None = None
    visitors: Visitors = field(default_factory=Visitors)
    shelf: Shelf = field(init=False)

    def __post_init__(self) -> None:
        """Put up the shelf."""
        object.__setattr__(self, "shelf", Shelf(self.engine))

    @property
    def first_model(self) -> Variant:
        """The model to begin with; one without weights says so when it is asked to paint."""
        known = self.engine.models()
        here = (m for m in known if m.folder is not None and m.folder.is_dir())
        return self._with_own_defaults(next(here, known[0]))

    @property
    def presets(self) -> Presets:
        """The styles, presets and word lists; guests get those of the program alone."""
        return self.engine.presets if self.owner else Presets()

    def find_model(self, name_or_path: str) -> ModelEntry:
        """Return the model of a name or path; only the owner may look at paths.

        Raise `BadRequest`, `NotFound`, or `FileRejected`.
        """
        if not self.owner and not self.has_model(name_or_path):
            raise BadRequest(strings.FOREIGN_MODEL, strings.FOREIGN_MODEL_ACTION)
        found = self.shelf.find(name_or_path) or self.engine.catalogue.look(name_or_path)
        return replace(found, variant=self._with_own_defaults(found.variant))

    def has_model(self, name_or_path: str) -> bool:
        """Say whether a model can be chosen from the list."""
        return name_or_path in {model.name for model in self.shelf.offered()}

    def report(self, lora: str, model: str) -> LoraReport:
        """Say how an adapter fits a model; raise an error of the tree.

        Visitors may ask for the names on the list and for nothing else.
        """
        if not self.owner and lora not in {entry.name for entry in self.shelf.loras()}:
            raise BadRequest(strings.FOREIGN_LORA, strings.FOREIGN_LORA_ACTION)
        report = self.engine.catalogue.lora(lora, model)
        here = f"“{strings.LORA_PARTIAL}”"
        sentence = report.sentence.replace(strings.LORA_PARTIAL_OPTION, here)
        return replace(report, sentence=sentence)

    def admit(self, request: Request) -> None:
        """Raise an error of the tree for a request that may not, or cannot, be painted."""
        _check_inputs(request)
        model = self.find_model(request.model)
        if model.availability is Availability.FETCH:
            raise NotFound(strings.not_here(model.title), strings.NOT_HERE_ACTION)
        if model.availability is not Availability.HERE:
            raise NotFound(model.note)
        # After the model's name was found on the list, for this opens what it names.
        if self.guests is not None:
            self.guests.check(request)
        for lora in request.loras:
            self._admit_lora(lora, request)

    def session(self, browser: str) -> str | None:
        """Return whose jobs and pictures a browser may see: its own, None = the owner sees all."""
        return None if self.owner else browser or VISITOR

    def submit(self, request: Request, browser: str = "") -> str:
        """Have a request painted and return its job's id; raise an error of the tree.

        browser: the id of the one that asks; a visitor sees what it asked for and nothing else.
        """
        session = self.session(browser) or ""
        if self.guests is not None:
            return self.guests.submit(request, session)
        return self.engine.submit(request, session=session)

    def _with_own_defaults(self, variant: Variant) -> Variant:
        """Return a variant with what the user would rather begin with."""
        own: dict[str, Any] = dict(self.presets.defaults(variant.name)[0])
        return replace(variant, defaults=replace(variant.defaults, **own)) if own else variant

    def _admit_lora(self, lora: Lora, request: Request) -> None:
        report = self.report(lora.name, request.model)
        partly = request.lora_partial and report.verdict is Verdict.PARTLY
        if lora.weight and not report.usable and not partly:
            raise FileRejected(report.sentence)


def _check_inputs(request: Request) -> None:
    """Refuse pictures that are named by a path: only what was sent to the page is opened."""
    masks = [request.mask, *(region.mask for region in request.regions)]
    named = (*request.images, *(mask for mask in masks if mask is not None))
    if not all(name.startswith(INPUT_PREFIX) for name in named):
        raise BadRequest(strings.FOREIGN_PICTURE, strings.FOREIGN_PICTURE_ACTION)
