"""The engine: takes requests and paints them, without a page. Importing it leaves torch alone."""

from __future__ import annotations

from engine.errors import (
    BadRequest,
    BugError,
    DiskError,
    ErrorReport,
    FileRejected,
    NotFound,
    NumericalError,
    OutOfMemory,
    QueueFull,
    ResourceError,
    StudioError,
    UserError,
    WorkerLost,
    from_report,
)
from engine.errors import Cancelled as CancelledError
from engine.events import (
    Cancelled,
    Done,
    Failed,
    JobEvent,
    Picture,
    Progress,
    Queued,
    Result,
    Stage,
    Started,
    Warned,
)
from engine.hardware import Choice, Tuning
from engine.hub.plan import DownloadPlan
from engine.hub.service import Downloads, DownloadState, DownloadStatus
from engine.hub.watch import DownloadProgress
from engine.images.metadata import read_recipe, request_from_recipe
from engine.jobs.order import Output
from engine.lora.library import LoraEntry
from engine.lora.report import LoraReport, Verdict
from engine.memory.forecast import Advice, Fit, Forecast, Note, Remedy
from engine.presets import HardwarePreset
from engine.request import (
    MAX_COUNT,
    MAX_PIXELS,
    MAX_PROMPT_CHARACTERS,
    MAX_SEED,
    MAX_SIDE,
    MAX_STEPS,
    MIN_SIDE,
    SIDE_MULTIPLE,
    Device,
    Fill,
    LongPrompt,
    Lora,
    Precision,
    Region,
    Request,
    Task,
)
from engine.service import Engine, Status
from engine.service.catalogue import Availability, Catalogue, ModelEntry
from engine.settings import Profile, Settings, Theme
from engine.variants import Ignored, Limits, Size, Variant
from engine.variants.step_saving import STEP_CACHE_CHOICES, TRUNCATION_CHOICES, Saving

__all__ = [
    "MAX_COUNT",
    "MAX_PIXELS",
    "MAX_PROMPT_CHARACTERS",
    "MAX_SEED",
    "MAX_SIDE",
    "MAX_STEPS",
    "MIN_SIDE",
    "SIDE_MULTIPLE",
    "STEP_CACHE_CHOICES",
    "TRUNCATION_CHOICES",
    "Advice",
    "Availability",
    "BadRequest",
    "BugError",
    "Cancelled",
    "CancelledError",
    "Catalogue",
    "Choice",
    "Device",
    "DiskError",
    "Done",
    "DownloadPlan",
    "DownloadProgress",
    "DownloadState",
    "DownloadStatus",
    "Downloads",
    "Engine",
    "ErrorReport",
    "Failed",
    "FileRejected",
    "Fill",
    "Fit",
    "Forecast",
    "HardwarePreset",
    "Ignored",
    "JobEvent",
    "Limits",
    "LongPrompt",
    "Lora",
    "LoraEntry",
    "LoraReport",
    "ModelEntry",
    "NotFound",
    "Note",
    "NumericalError",
    "OutOfMemory",
    "Output",
    "Picture",
    "Precision",
    "Profile",
    "Progress",
    "QueueFull",
    "Queued",
    "Region",
    "Remedy",
    "Request",
    "ResourceError",
    "Result",
    "Saving",
    "Settings",
    "Size",
    "Stage",
    "Started",
    "Status",
    "StudioError",
    "Task",
    "Theme",
    "Tuning",
    "UserError",
    "Variant",
    "Verdict",
    "Warned",
    "WorkerLost",
    "from_report",
    "read_recipe",
    "request_from_recipe",
]
