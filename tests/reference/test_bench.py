"""`app.py bench --model PATH --against diffusers`: both paint the same requests."""

from __future__ import annotations

import json

from engine import cli
from engine.cli import bench


def test_a_model_is_measured_beside_the_reference(reference_folder, tmp_path, monkeypatch, capsys):
    complete = bench.complete
    small = {"width": 64, "height": 64, "steps": 2}
    monkeypatch.setattr(bench, "ROUNDS", 1)
    monkeypatch.setattr(bench, "complete", lambda r, *rest: complete(r.with_values(**small), *rest))
    file = tmp_path / "figures.json"
    words = ["bench", "--model", str(reference_folder), "--against", "diffusers"]
    assert cli.main([*words, "--json", str(file)], lambda *_: None) == 0
    (figures,) = json.loads(file.read_text())
    assert set(figures["seconds"]) == {"ours", "diffusers"}
    assert "ours / diffusers" in capsys.readouterr().out
