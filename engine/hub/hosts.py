"""Where bytes may come from: the model hub and its delivery network, or one mirror the user names.

Names are checked before anything is asked, addresses before anything is connected to, and the
peer once it is: a name that resolves to this machine or to the user's own network is refused.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

from engine.errors import HostRefused

HUB: Final = "https://huggingface.co"
HUB_DOMAINS: Final = ("huggingface.co", "hf.co")
"""The hub and, below these names, its delivery network."""

ENDPOINT_VARIABLE: Final = "HF_ENDPOINT"
LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "::1")
MAX_URL_CHARACTERS: Final = 8192

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_STANDARD_PORTS: Final = (None, 443)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Hosts:
    """What may be fetched from, given the endpoint that was chosen."""

    endpoint: str

    @property
    def is_loopback(self) -> bool:
        """Whether the endpoint is a server on this machine, as a mirror of one's own may be."""
        return urlsplit(self.endpoint).hostname in LOOPBACK_NAMES

    def check_url(self, url: str) -> None:
        """Raise `HostRefused` unless this address may be asked."""
        parts = _split(url)
        chosen = urlsplit(self.endpoint)
        if (parts.scheme, parts.netloc) == (chosen.scheme, chosen.netloc):
            return
        if parts.scheme != "https" or parts.port not in _STANDARD_PORTS:
            raise _refused(url, "it is no plain https address")
        name = parts.hostname or ""
        if not any(name == domain or name.endswith(f".{domain}") for domain in HUB_DOMAINS):
            raise _refused(url, "that is not a server of the model hub")

    def check_address(self, text: str, name: str) -> None:
        """Raise `HostRefused` if a server's IP address lies on this machine or a private network.

        name: the server's, for the message.
        """
        address = _plain(ipaddress.ip_address(text.partition("%")[0]))
        if self.is_loopback and name in LOOPBACK_NAMES and address.is_loopback:
            return
        if not address.is_global or address.is_multicast:
            raise HostRefused(
                f"{name} leads to {address}, which is not an address of the public internet.",
                "Check the network, or choose another endpoint.",
            )


def choose_hosts(endpoint: str | None, environment: Mapping[str, str] = os.environ) -> Hosts:
    """Return what may be fetched from: the endpoint given, else HF_ENDPOINT, else the hub itself.

    Raise `HostRefused` for an endpoint that is not https (or http on this machine), that names a
    user, or that is more than a server.
    """
    chosen = (endpoint or environment.get(ENDPOINT_VARIABLE) or HUB).rstrip("/")
    parts = _split(chosen)
    if parts.path or parts.query or parts.fragment:
        raise _refused(chosen, "an endpoint is a server and nothing after it")
    is_loopback = parts.hostname in LOOPBACK_NAMES
    if not is_loopback and (parts.scheme != "https" or parts.port not in _STANDARD_PORTS):
        raise _refused(chosen, "it is no plain https address")
    return Hosts(endpoint=chosen)


def _split(url: str) -> SplitResult:
    """Take an address apart; raise `HostRefused` for one that could be read in two ways."""
    if len(url) > MAX_URL_CHARACTERS or not url.isascii() or not url.isprintable():
        raise _refused(url, "it is too long or not plain text")
    if " " in url or "\\" in url:
        raise _refused(url, "it is not plain text")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise _refused(url, f"it cannot be read: {error}") from error
    if parts.scheme not in {"https", "http"} or not parts.hostname or port == 0:
        raise _refused(url, "it is no web address")
    if "@" in parts.netloc:
        raise _refused(url.replace(parts.netloc, "..."), "it carries a user name or a password")
    if "%" in parts.netloc or parts.hostname.endswith("."):
        raise _refused(url, "its server is not written plainly")
    return parts


def _plain(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 one stands for, where it does."""
    if not isinstance(address, ipaddress.IPv6Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _refused(url: str, reason: str) -> HostRefused:
    return HostRefused(
        f"Nothing is fetched from {url!r:.200}: {reason}.",
        "Leave the endpoint out to use huggingface.co, or give an https mirror.",
    )
