"""What every part of the page needs to know."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from engine import (
    Availability,
    BadRequest,
    Engine,
    FileRejected,
    Lora,
    LoraReport,
    ModelEntry,
    NotFound,
    Request,
    Variant,
    Verdict,
)
from ui import strings
from ui.shelf import Shelf
from ui.visitors import Visitors


@dataclass(frozen=True, slots=True, kw_only=True)
class PageContext:
    """The engine behind a page and who may do what.

    owner: the page is for this computer alone, so its user may open folders and change settings.
    notices: what was wrong with the settings file. shelf: the models and adapters on offer.
    """

    engine: Engine
    owner: bool = True
    notices: tuple[str, ...] = ()
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
        return next(here, known[0])

    def find_model(self, name_or_path: str) -> ModelEntry:
        """Return the model of a name or path; only the owner may look at paths.

        Raise `BadRequest`, `NotFound`, or `FileRejected`.
        """
        if not self.owner and not self.has_model(name_or_path):
            raise BadRequest(strings.FOREIGN_MODEL, strings.FOREIGN_MODEL_ACTION)
        return self.shelf.find(name_or_path) or self.engine.catalogue.look(name_or_path)

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
        model = self.find_model(request.model)
        if model.availability is Availability.FETCH:
            raise NotFound(strings.not_here(model.title), strings.NOT_HERE_ACTION)
        if model.availability is not Availability.HERE:
            raise NotFound(model.note)
        for lora in request.loras:
            self._admit_lora(lora, request)

    def _admit_lora(self, lora: Lora, request: Request) -> None:
        report = self.report(lora.name, request.model)
        partly = request.lora_partial and report.verdict is Verdict.PARTLY
        if lora.weight and not report.usable and not partly:
            raise FileRejected(report.sentence)
