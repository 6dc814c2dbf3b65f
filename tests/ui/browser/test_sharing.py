"""Sharing as owner and guest see it: one starts it, the other comes by the link."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.ui.browser.conftest import ARGUMENTS, wait_until_ready
from tests.ui.conftest import another_page, free_port
from tests.ui.fake_engine import FakeEngine
from tests.ui.tunnels import fake_tunnel
from ui.launch import LaunchOptions

pytestmark = pytest.mark.browser


@pytest.fixture
def house(tmp_path):
    """A page whose owner can share it by a tunnel to this computer."""
    with FakeEngine(tmp_path) as engine:
        options = LaunchOptions(port=free_port(), browser=False)
        with another_page(engine, options, fake_tunnel(tmp_path)) as page:
            yield page


@pytest.fixture
def outside(browser, chromium):
    """A browser that finds the tunnel's server at this computer."""
    rules = "--host-resolver-rules=MAP *.gradio.live 127.0.0.1"
    started = browser.browser_type.launch(executable_path=chromium, args=[*ARGUMENTS, rules])
    yield started
    started.close()


def test_a_guest_comes_by_the_link_is_counted_and_is_put_out(house, browser, outside):
    owner = browser.new_page()
    owner.goto(house.url)
    wait_until_ready(owner)
    owner.get_by_role("tab", name="Settings").click()
    owner.locator("#start-sharing").click()
    card = owner.locator("#share")
    expect(card).to_contain_text("No guest is here.")
    expect(owner.locator("#status .shared")).to_have_text("Shared")
    share = house.sharing.state()
    asked: list[str] = []
    guest = outside.new_page()
    guest.on("request", lambda request: asked.append(request.url))
    guest.goto(share.url)
    guest.get_by_label("username").fill("guest")
    guest.get_by_label("password").fill(share.password)
    guest.get_by_role("button", name="Login").click()
    wait_until_ready(guest)
    expect(guest.get_by_role("tab", name="Generate")).to_be_visible()
    expect(guest.get_by_role("tab", name="Settings")).to_have_count(0)
    expect(card).to_contain_text("1 guest is here.")
    owner.locator("#stop-sharing").click()
    expect(owner.locator("#start-sharing")).to_be_visible()
    expect(card).not_to_contain_text(share.password)
    with pytest.raises(Exception, match="ERR_CONNECTION_REFUSED"):
        guest.goto(share.url)
    assert [url for url in asked if not url.startswith((share.url, "data:", "blob:"))] == []
    owner.close()
