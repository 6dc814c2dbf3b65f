"""What an adapter will take is known before a weight of it is read."""

from __future__ import annotations

from collections import Counter
from itertools import chain

import pytest

from engine.lora.apply import apply
from engine.lora.branch import Branched
from engine.lora.file import read_lora
from engine.lora.size import added_numbers
from tests.engine.lora.models import fitted
from tests.engine.lora.writer import CORPUS, Book


@pytest.mark.parametrize("name", sorted(CORPUS))
def test_what_is_foretold_of_a_file_is_what_is_put_beside_the_model(
    name, base, transformer, tmp_path
):
    book = Book(base, 1)
    CORPUS[name][0](book)
    adapter = fitted(read_lora(book.save(tmp_path / "a.safetensors")))
    told = Counter()
    for module, numbers in added_numbers(adapter.found):
        told[module] += numbers
    apply(transformer, [adapter])
    found = {
        path: sum(t.numel() for t in chain(module.terms.parameters(), module.terms.buffers()))
        for path, module in transformer.named_modules()
        if isinstance(module, Branched)
    }
    assert told.keys() == found.keys()
    for module, numbers in found.items():
        assert numbers <= told[module] <= 1.2 * numbers + 512, module
