"""A plan says what will be fetched, reused and needed before anything happens."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from engine.errors import BadRequest, DiskError, FileRejected, HostRefused, NetworkError, NotFound
from engine.hub import Step, download, plan_download, verify
from engine.hub.plan import SPARE_BYTES
from engine.hub.reuse import Way
from engine.request import Precision
from engine.variants import by_name
from tests.engine.hub.server import QUICK, Fault, model, noise, planned


def steps(plan):
    return {file.source.to.partition("/")[0]: str(file.step) for file in plan.files}


def test_a_plan_asks_no_server_and_writes_no_file(hub, tmp_path):
    plan = planned(hub, model(hub), tmp_path / "models")
    assert plan.folder == tmp_path / "models" / "turbo-bf16"
    assert plan.fetch_bytes == plan.total_bytes == 1_200_000 + 1_000_001 + 5000 + 14
    assert (plan.reused_bytes, plan.needed_bytes) == (0, plan.fetch_bytes + SPARE_BYTES)
    assert hub.asked == []
    assert not (tmp_path / "models").exists()
    words = "\n".join(plan.in_words())
    for said in ("Z-Image-Turbo in bf16", "Apache-2.0", str(plan.folder), hub.endpoint):
        assert said in words


def test_the_public_models_are_planned_with_their_true_sizes(tmp_path):
    plan = plan_download(by_name("turbo"), Precision.AUTO, tmp_path)
    assert plan.precision is Precision.BF16
    assert plan.endpoint == "https://huggingface.co"
    assert "20.70 GB" in plan.in_words()[0]
    assert plan_download(by_name("turbo"), Precision.INT8, tmp_path).total_bytes < 12e9


@pytest.mark.parametrize("name", ["omni-base", "edit"])
def test_weights_that_nobody_published_cannot_be_planned(name, tmp_path):
    with pytest.raises(NotFound, match="not been published"):
        plan_download(by_name(name), Precision.AUTO, tmp_path)


def test_what_comes_with_the_program_is_not_fetched(tmp_path):
    with pytest.raises(BadRequest, match="comes with the program"):
        plan_download(by_name("demo"), Precision.AUTO, tmp_path)


def test_a_precision_that_is_not_offered_names_those_that_are(tmp_path):
    with pytest.raises(BadRequest, match="cannot be fetched in fp16") as caught:
        plan_download(by_name("turbo"), Precision.FP16, tmp_path)
    assert "bf16 or int8" in caught.value.action


def test_an_endpoint_is_checked_before_anything_else(tmp_path):
    with pytest.raises(HostRefused):
        plan_download(by_name("turbo"), Precision.AUTO, tmp_path, endpoint="http://mirror.example")


@pytest.mark.parametrize("short", range(1, 11))
def test_a_disk_that_is_too_small_is_refused_before_the_first_byte(
    hub, tmp_path, monkeypatch, short
):
    plan = planned(hub, model(hub), tmp_path)
    usage = shutil.disk_usage(tmp_path)._replace(free=plan.needed_bytes * (short - 1) // 10)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage)
    with pytest.raises(DiskError, match="GB are free"):
        download(plan, patience=QUICK)
    assert hub.asked == []
    assert not plan.folder.exists()


def test_space_that_just_suffices_is_enough(hub, tmp_path, monkeypatch):
    plan = planned(hub, model(hub), tmp_path)
    usage = shutil.disk_usage(tmp_path)._replace(free=plan.needed_bytes)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage)
    download(plan, patience=QUICK)


@pytest.mark.parametrize("inside", ["ComfyUI/models/vae/my-vae.safetensors", "deep/a/b/c/x.bin"])
def test_a_file_of_another_program_is_linked_not_fetched(hub, tmp_path, inside):
    variant = model(hub)
    weights = hub.files["transformer/weights.safetensors"]
    original = tmp_path / "other" / inside
    original.parent.mkdir(parents=True)
    original.write_bytes(weights)
    plan = planned(hub, variant, tmp_path / "models", tmp_path / "other")
    assert steps(plan)["transformer"] == "link"
    assert plan.of(Step.LINK)[0].original == original
    assert plan.reused_bytes == len(weights)
    assert str(original) in "\n".join(plan.in_words())
    folder = download(plan, patience=QUICK)
    assert (folder / "transformer/weights.safetensors").samefile(original)
    assert not any("transformer" in path for _, path, _ in hub.asked)


def test_the_usual_places_are_looked_at(hub, tmp_path):
    variant = model(hub)
    weights = hub.files["transformer/weights.safetensors"]
    blobs = tmp_path / "home/.cache/huggingface/hub/models--a--b/blobs"
    vae = tmp_path / "home/ComfyUI/models/vae"
    blobs.mkdir(parents=True)
    vae.mkdir(parents=True)
    (blobs / "0123").write_bytes(weights)
    (vae / "ae.safetensors").write_bytes(hub.files["vae/ae.safetensors"])
    snapshot = blobs.parent / "snapshots/1/transformer"
    snapshot.mkdir(parents=True)
    (snapshot / "w.safetensors").symlink_to(blobs / "0123")
    plan = planned(hub, variant, tmp_path / "models")
    assert steps(plan) == {
        "transformer": "link",
        "vae": "link",
        "tokenizer": "fetch",
        "scheduler": "fetch",
    }
    assert plan.of(Step.LINK)[0].original == blobs / "0123"


def test_a_file_of_the_right_size_with_other_bytes_is_not_taken(hub, tmp_path):
    variant = model(hub)
    other = tmp_path / "other"
    other.mkdir()
    (other / "weights.safetensors").write_bytes(noise(1_200_000, 77))
    assert steps(planned(hub, variant, tmp_path / "models", other))["transformer"] == "fetch"


def test_a_file_that_changed_since_the_plan_is_not_linked(hub, tmp_path):
    variant = model(hub)
    other = tmp_path / "other"
    other.mkdir()
    original = other / "weights.safetensors"
    original.write_bytes(hub.files["transformer/weights.safetensors"])
    plan = planned(hub, variant, tmp_path / "models", other)
    original.write_bytes(noise(1_200_000, 77))
    with pytest.raises(FileRejected, match="changed"):
        download(plan, patience=QUICK)
    assert not (plan.folder / "transformer/weights.safetensors").exists()


def test_a_model_folder_of_another_machine_needs_no_network_at_all(hub, tmp_path):
    elsewhere = download(planned(hub, model(hub), tmp_path / "elsewhere"), patience=QUICK)
    hub.asked.clear()
    for given in (elsewhere, elsewhere.parent):
        plan = planned(hub, model(hub), tmp_path / f"to-{given.name}", given)
        assert set(steps(plan).values()) == {"link"}
        assert verify(download(plan, patience=QUICK)) == ()
    assert hub.asked == []


def test_two_variants_share_what_they_have_in_common(hub, tmp_path):
    turbo = model(hub)
    download(planned(hub, turbo, tmp_path), patience=QUICK)
    plan = planned(hub, replace(turbo, name="base"), tmp_path)
    assert steps(plan)["vae"] == steps(plan)["transformer"] == "link"


def test_what_an_earlier_run_fetched_is_not_counted_again(hub, tmp_path):
    variant = model(hub)
    hub.faults.append(Fault(after=700_000))
    hub.always = Fault(status=503)
    first = planned(hub, variant, tmp_path)
    with pytest.raises(Exception, match="503"):
        download(first, patience=QUICK)
    hub.always = None
    second = planned(hub, variant, tmp_path)
    assert second.fetch_bytes == first.fetch_bytes - 700_000
    assert (first.total_bytes, first.folder) == (second.total_bytes, second.folder)


def test_a_plan_that_is_tried_again_asks_no_room_for_what_came(hub, tmp_path, monkeypatch):
    variant = model(hub)
    (download_,) = variant.downloads
    # The server alone knows the hash of the second file; the third fails.
    files = (download_.files[0], replace(download_.files[1], sha256=None), *download_.files[2:])
    plan = planned(hub, replace(variant, downloads=(replace(download_, files=files),)), tmp_path)
    whole = plan.needed_bytes
    hub.faults.extend([Fault(), Fault(after=400_000)])
    hub.always = Fault(status=503)
    with pytest.raises(NetworkError, match="503"):
        download(plan, patience=QUICK)
    assert plan.needed_bytes == whole - 1_200_000 - 400_000
    hub.faults.append(Fault())
    hub.always = Fault(status=503)
    with pytest.raises(NetworkError, match="503"):
        download(plan, patience=QUICK)
    hub.always = None
    assert plan.needed_bytes == whole - 1_200_000 - 1_000_001
    usage = shutil.disk_usage(tmp_path)._replace(free=plan.needed_bytes)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage)
    assert verify(download(plan, patience=QUICK)) == ()
    assert plan.needed_bytes == 0


def test_a_damaged_file_needs_its_room_again(hub, tmp_path):
    variant = model(hub)
    folder = download(planned(hub, variant, tmp_path), patience=QUICK)
    (folder / "vae/ae.safetensors").write_bytes(bytes(1_000_001))
    assert planned(hub, variant, tmp_path).needed_bytes == 1_000_001 + SPARE_BYTES


def test_a_copy_that_is_made_needs_no_room(hub, tmp_path, monkeypatch):
    variant = model(hub)
    other = tmp_path / "other"
    other.mkdir()
    (other / "weights").write_bytes(hub.files["transformer/weights.safetensors"])
    monkeypatch.setattr("engine.hub.plan.way_to", lambda source, folder: Way.COPY)
    plan = planned(hub, variant, tmp_path / "models", other)
    assert steps(plan)["transformer"] == "copy"
    assert plan.needed_bytes == plan.total_bytes + SPARE_BYTES
    download(plan, patience=QUICK)
    assert plan.needed_bytes == 0


def test_a_model_that_is_whole_needs_nothing(hub, tmp_path):
    variant = model(hub)
    download(planned(hub, variant, tmp_path), patience=QUICK)
    hub.asked.clear()
    plan = planned(hub, variant, tmp_path)
    assert set(steps(plan).values()) == {"here"}
    assert (plan.fetch_bytes, plan.needed_bytes) == (0, 0)
    download(plan, patience=QUICK)
    assert hub.asked == []
