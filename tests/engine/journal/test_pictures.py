"""Pictures are found again by words, model, adapter, date, favourite and session."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import BadRequest, Lora, NotFound, Picture, Request, Search
from engine.journal import pictures as pictures_module
from engine.journal import store as store_module
from engine.journal.pictures import Album
from engine.journal.store import open_store


@pytest.fixture(params=["indexed", "plain"])
def album(request, data_folder, monkeypatch):
    """An album, with FTS5 and as it is where SQLite lacks it."""
    if request.param == "plain":
        plain = store_module._WORDS[1]
        monkeypatch.setattr(store_module, "_WORDS", (plain, plain))
    store, notices = open_store(data_folder)
    assert notices == () and store.indexed == (request.param == "indexed")
    yield Album(store)
    store.close()


def picture(name: str, prompt: str, **values) -> Picture:
    request = Request(prompt=prompt, **values).to_json()
    return Picture(path=Path("/out") / name, recipe={"request": request}, width=64, height=32)


@pytest.fixture
def filled(album, monkeypatch):
    made = [
        ("a red fox in the snow", {"model": "demo-base"}, ""),
        ("a blue castle, Schloß Neuschwanstein", {"loras": (Lora("ink.safetensors", 0.5),)}, ""),
        ("一只猫咪在森林里", {"negative": "fox"}, ""),
        (
            "the fox of a visitor",
            {"loras": (Lora("ink.safetensors"), Lora("oil.safetensors"))},
            "v",
        ),
    ]
    for number, (prompt, values, session) in enumerate(made):
        monkeypatch.setattr(pictures_module.time, "time", lambda number=number: 1000.0 + number)
        album.add((picture(f"{number}.png", prompt, **values),), session, 1.5)
    return album


def names(album, **search) -> list[str]:
    return [found.path.stem for found in album.find(Search(**search))]


def test_the_newest_come_first(filled):
    assert names(filled) == ["3", "2", "1", "0"]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("fox", ["3", "0"]),
        ("FOX red", ["0"]),
        ("sno", ["0"]),
        ("猫咪", ["2"]),
        ("森林", ["2"]),
        ("咪猫", []),
        ("ink", ["3", "1"]),
        ("demo-base", ["0"]),
        ("zebra", []),
        ("   ", ["3", "2", "1", "0"]),
        ("!!!", []),
        ('"', []),
        ("fox OR castle", []),
        ("100%", []),
    ],
)
def test_words_are_found_in_prompt_model_and_adapters(filled, words, found):
    assert names(filled, words=words) == found


def test_other_filters_narrow_a_search(filled):
    assert names(filled, model="demo-base") == ["0"]
    assert names(filled, lora="ink.safetensors") == ["3", "1"]
    assert names(filled, lora="ink") == []
    assert names(filled, since=1001.0, until=1003.0) == ["2", "1"]
    assert names(filled, session="v") == ["3"]
    assert names(filled, session="", words="fox") == ["0"]
    assert names(filled, session="", lora="ink.safetensors", words="castle") == ["1"]


def test_a_search_goes_on_where_the_page_before_ended(filled):
    first = filled.find(Search(most=3))
    assert names(filled, before=first[-1].id) == ["0"]
    assert names(filled, words="fox", before=first[0].id) == ["0"]


def test_favourites_are_marked_and_unmarked(filled):
    (found,) = filled.find(Search(words="red"))
    filled.favour(found.id, favourite=True)
    assert names(filled, favourites=True) == ["0"]
    assert filled.picture(found.id, "").favourite is True
    filled.favour(found.id, favourite=False)
    assert names(filled, favourites=True) == []


def test_the_trash_is_apart(filled):
    (found,) = filled.find(Search(words="red"))
    filled.throw(found.id, Path("/trash/0.png"))
    assert names(filled, words="fox") == ["3"]
    assert names(filled, trash=True) == ["0"]
    assert filled.picture(found.id, None).file == Path("/trash/0.png")
    filled.throw(found.id, None)
    assert names(filled, trash=True) == []


def test_what_is_struck_out_is_found_no_more(filled):
    (found,) = filled.find(Search(words="castle"))
    filled.drop(found.id)
    assert names(filled, words="castle") == []
    assert names(filled, lora="ink.safetensors") == ["3"]
    with pytest.raises(NotFound):
        filled.picture(found.id, None)


def test_anothers_picture_is_not_found(filled):
    (found,) = filled.find(Search(session="v"))
    with pytest.raises(NotFound, match="not in the history"):
        filled.picture(found.id, "w")
    assert filled.picture(found.id, None) == filled.picture(found.id, "v") == found


def test_a_file_painted_anew_keeps_its_place_and_gets_new_words(filled):
    (old,) = filled.find(Search(words="castle"))
    filled.add((picture("1.png", "a green tower", model="turbo"),), "", 9.0)
    (new,) = filled.find(Search(words="tower"))
    assert new.id == old.id and new.model == "turbo" and new.seconds == 9.0
    assert names(filled, words="castle") == names(filled, words="ink", session="") == []
    assert len(names(filled)) == 4


def test_models_and_adapters_are_listed_once_and_for_a_session(filled):
    assert filled.names(None) == (
        ("demo-base", "demo-turbo"),
        ("ink.safetensors", "oil.safetensors"),
    )
    assert filled.names("")[1] == ("ink.safetensors",)
    assert filled.names("nobody") == ((), ())


def test_recipes_come_back_as_they_were(album):
    made = picture("x.png", 'quote " brace } emoji 🦊\n\x01 rtl \u202e', seed=7)
    album.add((made,), "", 0.0)
    (found,) = album.find(Search())
    assert found.recipe == {"request": {**made.recipe["request"]}}
    assert found.request["seed"] == 7


@pytest.mark.parametrize(
    "recipe", [{}, {"request": None}, {"request": {"loras": 3}}, {"request": {"loras": [1, {}]}}]
)
def test_odd_recipes_are_kept(album, recipe):
    album.add((Picture(path=Path("/x.png"), recipe=recipe, width=1, height=1),), "", 0.0)
    (found,) = album.find(Search())
    assert found.recipe == recipe and isinstance(found.request, dict)


@pytest.mark.parametrize(
    "values",
    [
        {"words": None}, {"words": "a\0b"}, {"model": "m" * 5000}, {"most": 0}, {"most": 10**6},
        {"before": 2**63}, {"before": -1}, {"before": 1.5}, {"before": "1"},
        {"since": 2**63}, {"since": float("nan")}, {"until": -(2**70)}, {"until": "today"},
    ],
)  # fmt: skip
def test_a_search_that_cannot_be_is_refused(values):
    with pytest.raises(BadRequest):
        Search(**values)
