"""What the pickers of models and adapters offer, and what they say about it."""

from __future__ import annotations

import asyncio

import gradio as gr
import pytest

from engine import Availability, Fit, Forecast, NotFound, Request
from tests.ui.building import built, handlers_of
from tests.ui.fake_catalogue import model, put_lora
from tests.ui.test_handlers import VISIT, event, fields, named, run, told_by
from ui import strings
from ui.chosen import Chosen, read_chosen, write_chosen
from ui.components import picker
from ui.context import PageContext
from ui.tabs.form_handlers import FormHandlers
from ui.tabs.job_handlers import JobHandlers
from ui.tabs.lora_handlers import LoraHandlers
from ui.tabs.offers import Offers


@pytest.fixture
def loras(demo) -> LoraHandlers:
    return handlers_of(demo, LoraHandlers)


@pytest.fixture
def adapters(engine):
    """Adapters in the folder, one of them in a sub-folder."""
    for name in ("ink", "half", "stranger", "broken", "styles/film"):
        put_lora(engine.settings.lora_folder, name)


def listed(demo) -> dict:
    """What the page is told of models and adapters, by the ids of its parts."""
    return {part.elem_id: told for part, told in handlers_of(demo, Offers).list_models().items()}


def test_a_model_is_listed_with_its_precision_size_and_fit():
    mine = model("Mine", size=2_050_000_000)
    assert picker.label(mine, Fit.FITS) == "Mine · fp16 · 2.0 GB · fits"
    assert picker.label(mine, Fit.TIGHT) == "Mine · fp16 · 2.0 GB · fits, slower"
    assert picker.label(mine, Fit.IMPOSSIBLE) == "Mine · fp16 · 2.0 GB · too large"
    assert picker.label(mine, None) == "Mine · fp16 · 2.0 GB"


def test_the_fit_in_the_picker_is_the_forecast_of_the_usual_picture(demo, engine):
    def foresee(request: Request) -> Forecast:
        if request.model != "demo-base":
            raise NotFound("It is not here.")
        assert (request.width, request.count) == (None, 1)
        return Forecast(fit=Fit.TIGHT, needed_bytes=1, budget_bytes=2)

    engine.forecast = foresee
    titles = {name: label for label, name in listed(demo)["model"]["choices"]}
    assert titles["demo-base"].endswith("fits, slower")
    assert "fits" not in titles["demo-turbo"]


def test_what_can_be_fetched_is_not_in_the_picker_and_what_is_damaged_is(demo, engine):
    broken = model("old", availability=Availability.DAMAGED, note="old/x is cut short.")
    engine.shelves.added["old"] = broken
    titles = {name: label for label, name in listed(demo)["model"]["choices"]}
    assert {"demo-turbo", "base", "old"} <= set(titles)
    assert not {"de-turbo", "edit"} & set(titles)
    assert titles["old"] == "old · damaged"


def test_a_damaged_model_says_what_is_wrong_with_it(demo, form, engine):
    note = "old/<x> is cut short."
    engine.shelves.added["old"] = model("old", availability=Availability.DAMAGED, note=note)
    told = named(demo, form.choose_model("old", "", ""))
    assert "old/&lt;x&gt; is cut short." in told["model-note"]


def test_a_model_that_is_not_here_says_where_it_is_fetched(demo, form):
    assert "Settings" in named(demo, form.choose_model("de-turbo", "", ""))["model-note"]


def test_a_model_of_which_nothing_says_what_it_is_is_asked_about_once(demo, form, engine, tmp_path):
    path = tmp_path / "mine.safetensors"
    path.touch()
    asked = named(demo, form.choose_model(str(path), "", ""))
    assert 'data-variant="base"' in asked["model-note"]
    answered = named(demo, form.settle(event(variant="base"), str(path), "", ""))
    assert answered["model-note"] == ""
    assert (answered["steps"]["value"], answered["guidance-scale"]["value"]) == (30, 4.0)
    assert named(demo, form.choose_model(str(path), "", ""))["model-note"] == ""


def test_visitors_are_not_asked_and_may_not_answer(engine):
    engine.shelves.added["mine"] = model("mine", sure=False)
    guest = handlers_of(built(PageContext(engine=engine, owner=False)), FormHandlers)
    assert guest.choose_model("mine", "", "")[guest.form.model_note] == ""
    with pytest.raises(gr.Error, match="only on the computer itself"):
        guest.settle(event(variant="base"), "mine", "", "")


def test_a_control_that_a_model_ignores_is_off_and_says_why(demo, form):
    told = named(demo, form.choose_model("twinflow-turbo", "", ""))
    for name, reason in (("shift", "fixed times"), ("sampler", "no other")):
        assert told[name]["interactive"] is False
        assert reason in told[name]["info"]
    told = named(demo, form.choose_model("base", "", ""))
    assert told["shift"]["interactive"] is told["sampler"]["interactive"] is True
    assert told["sampler"]["info"] == ""


def test_the_stamp_changes_with_the_folder_of_adapters_and_the_list_of_models(page, engine):
    stamps = [page.shelf.stamp()]
    page.shelf._looked -= 60
    put_lora(engine.settings.lora_folder, "new")
    stamps.append(page.shelf.stamp())
    page.shelf.change()
    stamps += [page.shelf.stamp(), page.shelf.stamp()]
    assert len(set(stamps)) == 3


def test_an_empty_folder_of_adapters_says_so(demo):
    assert listed(demo)["lora-add"]["info"].startswith("The LoRA folder is empty.")


def test_adapters_of_sub_folders_are_offered_in_every_tab(demo, adapters):
    found = listed(demo)
    for name in ("lora-add", "edit-lora-add", "inpaint-lora-add"):
        assert ("styles/film", "styles/film.safetensors") in found[name]["choices"]


def shown(demo, updates) -> str:
    return named(demo, updates)["loras"]["panel"]


def chosen(*names: str) -> str:
    """Return what the form holds of some adapters."""
    return write_chosen(Chosen(name=f"{name}.safetensors") for name in names)


def test_an_adapter_is_added_with_the_truth_about_it(demo, loras, adapters):
    told = named(demo, loras.add("ink.safetensors", "", "turbo"))
    assert read_chosen(told["loras"]["value"]) == (Chosen(name="ink.safetensors"),)
    for fact in ("210 of 210 modules", "rank 16", "alpha 16", "diffusers", "trained for Turbo"):
        assert fact in told["loras"]["panel"]
    assert "data:image/jpeg" in told["loras"]["panel"]
    assert told["lora-add"]["value"] is None
    assert told["loras-section"]["label"] == "LoRA · 1 on"
    assert told["lora-partial"]["visible"] is False
    assert told["compare"]["visible"] is True


def test_what_a_stranger_wrote_into_an_adapter_stays_text(demo, loras, adapters):
    panel = shown(demo, loras.add("stranger.safetensors", "", "turbo"))
    assert "made for &lt;b&gt;SDXL&lt;/b&gt;" in panel
    assert "&lt;i&gt;attn" in panel
    assert 'data-word="&lt;script&gt;"' in panel
    assert "<script" not in panel


def test_the_verdict_has_a_colour(demo, loras, adapters):
    for name, level in (("ink", "good"), ("half", "warn"), ("stranger", "bad")):
        assert f'class="lora {level}"' in shown(demo, loras.add(f"{name}.safetensors", "", "base"))


def test_leave_is_asked_for_only_where_an_adapter_fits_in_part(demo, loras, adapters):
    told = named(demo, loras.add("half.safetensors", chosen("ink"), "turbo"))
    assert told["lora-partial"]["visible"] is True
    assert "Use “Allow partial LoRAs” to apply" in told["loras"]["panel"]


def test_an_adapter_is_added_once(loras, adapters):
    with pytest.raises(gr.Error, match="in the list already"):
        loras.add("ink.safetensors", chosen("ink"), "turbo")


@pytest.mark.parametrize("name", ["", "  ", None])
def test_nothing_is_added_for_nothing(loras, name):
    told = loras.add(name, chosen("ink"), "turbo")
    assert told[loras._parts.loras]["value"] == chosen("ink")


@pytest.mark.parametrize(("name", "fault"), [("broken", "damaged"), ("nowhere", "no LoRA")])
def test_an_adapter_that_cannot_be_read_is_refused(loras, adapters, name, fault):
    with pytest.raises(gr.Error, match=fault):
        loras.add(f"{name}.safetensors", "", "turbo")


def test_an_adapter_that_broke_meanwhile_keeps_its_place_with_the_reason(demo, form, adapters):
    panel = shown(demo, form.choose_model("base", "", chosen("broken", "ink")))
    assert 'class="lora bad"' in panel
    assert "is damaged" in panel
    assert 'class="lora good"' in panel


def test_removing_the_last_adapter_leaves_nothing(demo, loras):
    told = named(demo, loras.remove(event(value=""), "turbo"))
    assert (told["loras"]["panel"], told["compare"]["visible"]) == ("", False)
    assert told["loras-section"]["label"] == "LoRA"


def test_an_adapter_that_is_off_does_not_count(loras):
    off = write_chosen([Chosen(name="a", on=False), Chosen(name="b")])
    assert loras.switch(event(value=off))["label"] == "LoRA · 1 on"


@pytest.mark.parametrize("value", ["{", 7, "[7]"])
def test_an_odd_list_of_adapters_is_refused(loras, value):
    with pytest.raises(gr.Error, match="damaged"):
        loras.remove(event(value=value), "turbo")
    with pytest.raises(gr.Error, match="damaged"):
        loras.switch(event(value=value))


def test_every_handler_that_may_change_the_panel_does(form, loras, adapters):
    recipe = {"version": 1, "request": Request(prompt="x", model="base").to_json()}
    for told in (
        form.choose_model("base", "", ""),
        form._take_over(recipe, "base"),
        loras.add("", "", "base"),
        loras.remove(event(value=chosen("ink")), "base"),
    ):
        assert "panel" in told[loras._parts.loras]


def test_a_trigger_word_goes_to_the_end_of_the_prompt_once(loras):
    word = event(word="inkwash style")
    assert loras.add_word(word, "") == "inkwash style"
    assert loras.add_word(word, "a hill, ") == "a hill, inkwash style"
    assert loras.add_word(word, "an Inkwash style hill") == "an Inkwash style hill"


def test_a_recipe_brings_its_adapters_back_and_names_the_lost_ones(demo, form, adapters):
    request = Request(prompt="x", model="base").to_json()
    request["loras"] = [{"name": "film.safetensors", "weight": 0.4}, {"name": "gone", "weight": 1}]
    told = named(demo, form._take_over({"version": 1, "request": request}, "base"))
    assert read_chosen(told["loras"]["value"]) == (
        Chosen(name="styles/film.safetensors", weight=0.4),
    )
    assert "“gone” is not here" in told["dropped"]
    assert told["lora-partial"]["value"] is False


def test_a_size_is_written_as_people_read_it():
    sizes = {812: "1 kB", 2_400: "2 kB", 2_400_000: "2.4 MB", 81_000_000: "81 MB"}
    sizes |= {10**9: "1.0 GB", 20_700_000_000: "20.7 GB"}
    assert {size: strings.file_size(size) for size in sizes} == sizes


def test_visitors_use_listed_adapters_only(engine, adapters, tmp_path):
    put_lora(tmp_path, "private")
    guest = built(PageContext(engine=engine, owner=False))
    handlers = handlers_of(guest, LoraHandlers)
    assert "210 of 210" in shown(guest, handlers.add("ink.safetensors", "", "turbo"))
    for name in (str(tmp_path / "private.safetensors"), "../private.safetensors", "private"):
        with pytest.raises(gr.Error, match="only on the computer itself"):
            handlers.add(name, "", "turbo")
        listed = shown(guest, handlers.shown((Chosen(name=name),), "turbo"))
        assert "only on the computer itself" in listed
        with pytest.raises(gr.Error, match="only on the computer itself"):
            run(handlers_of(guest, JobHandlers), engine, loras=write_chosen([Chosen(name=name)]))


def test_an_adapter_that_does_not_fit_stops_a_job_before_it_starts(demo, engine, adapters):
    jobs = handlers_of(demo, JobHandlers)
    with pytest.raises(gr.Error, match="not for Z-Image"):
        run(jobs, engine, loras=chosen("stranger"))
    with pytest.raises(gr.Error, match="does not fit this model"):
        run(jobs, engine, loras=chosen("half"))
    with pytest.raises(gr.Error, match="not for Z-Image"):
        run(jobs, engine, loras=chosen("stranger"), lora_partial=True)
    assert list(engine.settings.output_folder.glob("*")) == []
    assert run(jobs, engine, loras=chosen("half"), lora_partial=True)
    off = write_chosen([Chosen(name="stranger.safetensors", on=False), Chosen(name="x", weight=0)])
    assert run(jobs, engine, loras=off.replace('"x"', '"ink.safetensors"'))


def compared(jobs: JobHandlers, engine, **changes) -> list:
    handler = jobs.compare(("b", "t"), (), VISIT, **fields(engine, **changes))
    return asyncio.run(told_by(handler))


def test_a_comparison_paints_one_seed_without_and_with_the_adapter(demo, engine, adapters):
    jobs = handlers_of(demo, JobHandlers)
    told = compared(jobs, engine, loras=chosen("ink"), count=4)
    (shown,) = [updates[jobs._parts.shown] for updates in told if jobs._parts.shown in updates][-1:]
    assert [picture.request["loras"] for picture in shown] == [
        [{"name": "ink.safetensors", "weight": 1.0}],
        [],
    ]
    assert shown[0].request["seed"] == shown[1].request["seed"]
    pair = named(demo, told[-1])["results"]
    assert pair.index("Without LoRA") < pair.index("With ink 1")


def test_a_comparison_needs_an_adapter_that_is_on(demo, engine, adapters):
    jobs = handlers_of(demo, JobHandlers)
    for none in ("", write_chosen([Chosen(name="ink.safetensors", on=False)])):
        with pytest.raises(gr.Error, match="No LoRA is switched on"):
            compared(jobs, engine, loras=none)


def test_a_comparison_that_is_stopped_midway_paints_nothing_more(demo, engine, adapters):
    jobs = handlers_of(demo, JobHandlers)
    engine.go_on.clear()

    async def stopped() -> list:
        handler = jobs.compare(("b", "t"), (), VISIT, **fields(engine, loras=chosen("ink")))
        jobs.stop((await anext(handler))[jobs._parts.job])
        engine.go_on.set()
        return await told_by(handler)

    assert "Stopped" in named(demo, asyncio.run(stopped())[-1])["stage"]
    assert len(jobs._page.visitors.unwatched("b")) == 1
    assert list(engine.settings.output_folder.glob("*.png")) == []
