"""Downloads: what is fetched, from where, reused from what, checked how. Imports no torch.

Nothing here asks the network before `download` is called, or `Downloads.start`.
"""

from __future__ import annotations

from engine.hub.download import download
from engine.hub.plan import DownloadPlan, PlannedFile, Step, plan_download
from engine.hub.record import Fault, Installed, folder_for, installed, installed_folder, verify
from engine.hub.service import Downloads, DownloadState, DownloadStatus
from engine.hub.watch import DownloadProgress, Patience

__all__ = [
    "DownloadPlan",
    "DownloadProgress",
    "DownloadState",
    "DownloadStatus",
    "Downloads",
    "Fault",
    "Installed",
    "Patience",
    "PlannedFile",
    "Step",
    "download",
    "folder_for",
    "installed",
    "installed_folder",
    "plan_download",
    "verify",
]
