"""What every part of the page needs to know."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine import BadRequest, Engine, Variant
from ui import strings
from ui.visitors import Visitors


@dataclass(frozen=True, slots=True, kw_only=True)
class PageContext:
    """The engine behind a page and who may do what.

    owner: the page is for this computer alone, so its user may open folders and change settings.
    notices: what was wrong with the settings file.
    """

    engine: Engine
    owner: bool = True
    notices: tuple[str, ...] = ()
    visitors: Visitors = field(default_factory=Visitors)

    @property
    def models(self) -> tuple[Variant, ...]:
        """The models whose weights are here."""
        known = self.engine.models()
        return tuple(m for m in known if m.folder is not None and m.folder.is_dir())

    @property
    def first_model(self) -> Variant:
        """The model to begin with; one without weights says so when it is asked to paint."""
        return (self.models or self.engine.models())[0]

    @property
    def model_choices(self) -> list[tuple[str, str]]:
        """Title and name of each model to choose from."""
        return [(m.title, m.name) for m in self.models or (self.first_model,)]

    def find_model(self, name_or_path: str) -> Variant:
        """Return the model of a name or folder; only the owner may look into folders.

        Raise `BadRequest`, `NotFound`, or `FileRejected`.
        """
        if not self.owner and name_or_path not in {name for _, name in self.model_choices}:
            raise BadRequest(strings.FOREIGN_MODEL, strings.FOREIGN_MODEL_ACTION)
        return self.engine.model(name_or_path)

    def has_model(self, name_or_path: str) -> bool:
        """Say whether a model can be chosen."""
        return name_or_path in {name for _, name in self.model_choices}
