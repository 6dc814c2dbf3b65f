"""What the page and the terminal say about sharing."""

from __future__ import annotations

from typing import Final

SHARE: Final = "Share"
SHARE_INFO: Final = (
    "Opens a smaller page for guests under a public link, with a password. Guests can paint with "
    "the models on your list; they see no settings, no folders and none of your pictures. What "
    "they see passes through servers of Gradio. Stop when you are done."
)
START: Final = "Start sharing"
STOP: Final = "Stop sharing"
STARTING: Final = "Opening the link…"
LINK: Final = "Link"
USER: Final = "User"
KEY: Final = "Password"
OWN_KEY: Final = "Password for guests"
OWN_KEY_INFO: Final = "At least 12 characters; empty: one is made up."
LIMIT: Final = "Ends by itself after"
LIMITS: Final = (("1 hour", 1), ("4 hours", 4), ("8 hours", 8))
COPY: Final = "Copy"
COPIED: Final = "Copied"
QR: Final = "The link as a QR code"
BADGE: Final = "Shared"
SHORT_KEY: Final = "The password for guests has fewer than 12 characters."
SHORT_KEY_ACTION: Final = "Take a longer one, or leave it out to get one made up."
ENDED_LIMIT: Final = "The time was up: sharing has ended."
ENDED_LOST: Final = "The link was lost, so sharing has ended. Start it again for a new link."
CANCELLED: Final = "Sharing was stopped before the link was open."
NO_TUNNEL: Final = "There is no program for a public link on this kind of computer."
NO_TUNNEL_ACTION: Final = "Use --host to reach the page from your own network."
NO_ANSWER: Final = "the program that holds it said nothing"
TUNNEL_ACTION: Final = (
    "Check the network and try again; on Windows, Defender may have blocked the program frpc."
)
LOGIN: Final = "User name: guest. The password comes from whoever gave you the link."
SHARING_UNKNOWN: Final = "That is not on offer."
GUESTS_WAITING_ACTION: Final = "Wait until one is done."
GUEST_LIMIT_ACTION: Final = "Ask for less, or for a smaller picture."


def tunnel_failed(reason: str) -> str:
    """Say why there is no public link."""
    return f"The public link could not be opened: {reason:.300}"


def guests(count: int) -> str:
    """Say how many guests there are."""
    return {0: "No guest is here.", 1: "1 guest is here."}.get(count, f"{count} guests are here.")


def ends_in(seconds: int) -> str:
    """Say how much time sharing has left."""
    minutes = -(-seconds // 60)
    hours, rest = divmod(minutes, 60)
    left = f"{hours} h {rest} min" if hours else f"{minutes} min"
    return f"Ends by itself in {left}."


def guests_waiting(count: int) -> str:
    """Refuse another job of guests."""
    return f"{count} pictures of guests wait already, and no more fit."


def beyond_guests(what: str, value: int, most: int) -> str:
    """Refuse what is too much for a guest."""
    return f"{value:,} {what} are more than a guest may ask for ({most:,})."
