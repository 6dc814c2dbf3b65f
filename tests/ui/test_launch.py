"""Who may reach the page, and that the environment has no say in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from engine import UserError
from tests.ui.conftest import another_page, free_port
from ui.launch import CACHE, LaunchOptions, clear_environment, decide, open_page, sweep

ROOT = Path(__file__).parents[2]
HOSTILE = {
    "GRADIO_SHARE": "True",
    "GRADIO_SERVER_NAME": "0.0.0.0",
    "GRADIO_SERVER_PORT": "7999",
    "GRADIO_ALLOWED_PATHS": "/",
    "GRADIO_MCP_SERVER": "True",
    "GRADIO_ROOT_PATH": "/elsewhere",
    "GRADIO_RUN_HISTORY": "True",
    "GRADIO_SSR_MODE": "True",
    "GRADIO_NUM_WORKERS": "2",
    "GRADIO_ANALYTICS_ENABLED": "True",
    "GRADIO_WATCH_DIRS": "/",
    "GRADIO_VIBE_MODE": "1",
    "GRADIO_LOCAL_DEV_MODE": "1",
    "GRADIO_TEMP_DIR": "/",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "SPACE_ID": "someone/else",
    "SYSTEM": "spaces",
}
PROBE = """
import json, sys
from pathlib import Path
from tests.ui.fake_engine import FakeEngine
from ui.launch import LaunchOptions, open_page
with FakeEngine(Path(sys.argv[1])) as engine:
    with open_page(engine, LaunchOptions(port=int(sys.argv[2]), browser=False)) as page:
        demo = page._demo
        print(json.dumps({
            "url": page.url, "share": demo.share, "share_url": demo.share_url,
            "host": demo.server_name, "allowed": demo.allowed_paths, "root": demo.root_path,
            "mcp": demo.mcp_server, "history": demo.run_history, "ssr": demo.ssr_mode,
            "monitoring": demo.enable_monitoring, "dev": demo.dev_mode, "vibe": demo.vibe_mode,
            "analytics": demo.analytics_enabled, "cache": demo.GRADIO_CACHE,
            "torch": "torch" in sys.modules,
        }))
"""


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.5.5.5"])
def test_on_this_computer_no_password_is_needed(host):
    exposure = decide(LaunchOptions(host=host))
    assert exposure.loopback
    assert exposure.password is None


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "studio.local", "10.0.0.1"])
def test_beyond_it_one_is_made_up_and_it_is_long(host):
    exposure = decide(LaunchOptions(host=host))
    assert not exposure.loopback
    assert len(exposure.password) >= 12
    assert decide(LaunchOptions(host=host)).password != exposure.password


def test_a_given_password_is_kept_everywhere():
    assert decide(LaunchOptions(host="0.0.0.0", password="secret")).password == "secret"
    assert decide(LaunchOptions(password="secret")).password == "secret"


def test_of_a_page_with_a_public_link_the_password_is_for_the_guests():
    assert decide(LaunchOptions(share=True, password="secret")).password is None
    assert decide(LaunchOptions(share=True)).owner
    assert decide(LaunchOptions(host="0.0.0.0", share=True, password="x")).password == "x"


@pytest.mark.parametrize("options", [LaunchOptions(password=""), LaunchOptions(host=" ")])
def test_empty_values_are_refused(options):
    with pytest.raises(UserError, match="empty"):
        decide(options)


@pytest.mark.parametrize("port", [0, -1, 70000])
def test_a_port_that_cannot_be_is_refused(engine, port):
    with pytest.raises(UserError, match=str(port)):
        open_page(engine, LaunchOptions(port=port, browser=False))


def test_a_port_that_is_taken_is_named(engine, served):
    port = int(served.url.rstrip("/").rsplit(":", 1)[1])
    with pytest.raises(UserError, match=f"Port {port} is taken"):
        open_page(engine, LaunchOptions(port=port, browser=False))


def test_a_page_opens_on_a_machine_too_busy_to_answer_at_once(engine, monkeypatch):
    monkeypatch.setattr("gradio.networking.url_ok", lambda url: False)
    with another_page(engine, LaunchOptions(browser=False)) as page:
        assert urllib.request.urlopen(page.url, timeout=30).status == 200


def test_the_environment_is_cleared_and_points_to_our_own_folder(tmp_path):
    environment = {**HOSTILE, "PATH": "/bin", "no_proxy": "intranet"}
    clear_environment(environment, tmp_path)
    assert not set(environment) & (
        set(HOSTILE) - {"GRADIO_ANALYTICS_ENABLED", "GRADIO_TEMP_DIR", "HTTP_PROXY"}
    )
    assert environment["GRADIO_ANALYTICS_ENABLED"] == "False"
    assert environment["GRADIO_TEMP_DIR"].startswith(str(tmp_path))
    assert environment["no_proxy"].startswith("intranet,localhost")
    assert environment["PATH"] == "/bin"


def test_old_copies_are_swept_and_fresh_ones_kept(tmp_path):
    folder = tmp_path / CACHE / "a"
    folder.mkdir(parents=True)
    old, fresh = folder / "old.png", folder / "fresh.png"
    for path in (old, fresh):
        path.write_bytes(b"x")
    os.utime(old, (0, 0))
    sweep(tmp_path)
    assert not old.exists()
    assert fresh.exists()


def test_a_hostile_environment_opens_nothing(tmp_path):
    port = free_port()
    environment = {**os.environ, **HOSTILE, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(tmp_path), str(port)],
        env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "url": f"http://127.0.0.1:{port}/", "share": False, "share_url": None,
        "host": "127.0.0.1", "allowed": [], "root": "", "mcp": False, "history": False,
        "ssr": False, "monitoring": False, "dev": False, "vibe": False, "analytics": False,
        "cache": str(tmp_path / "data" / "page"), "torch": False,
    }  # fmt: skip


def test_the_options_and_the_page_are_imported_without_torch_and_the_options_without_gradio():
    check = (
        "import sys, ui.launch; assert 'gradio' not in sys.modules; "
        "import ui.shell; assert not {'torch', 'transformers', 'diffusers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check], cwd=ROOT, check=True, timeout=300)
