"""The engine: takes requests and paints them, without a page. Importing it leaves torch alone."""

from __future__ import annotations

from engine.chains import Chain, trace
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
    Outside,
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
from engine.hub.relay import Relay, RelaySource, prepare_relay
from engine.hub.service import Downloads, DownloadState, DownloadStatus
from engine.hub.watch import DownloadProgress
from engine.images.measure import picture_size
from engine.images.metadata import read_recipe, request_from_recipe
from engine.inputs import PREFIX as INPUT_PREFIX
from engine.inputs import Inputs, find_input
from engine.jobs.order import Output
from engine.journal.jobs import JobState
from engine.journal.pictures import PastPicture, Search
from engine.lora.library import LoraEntry
from engine.lora.report import LoraReport, Verdict
from engine.memory.forecast import Advice, Fit, Forecast, Note, Remedy
from engine.presets import HardwarePreset, Preset, Presets, Shape, Style
from engine.prompts import MOST_TOKENS, TRAINED_TOKENS, Expansion, Reading, Wildcards
from engine.request import (
    DRAWN_SEEDS,
    MAX_CONTEXT,
    MAX_COUNT,
    MAX_EXTENSION,
    MAX_FEATHER,
    MAX_PIXELS,
    MAX_PROMPT_CHARACTERS,
    MAX_REGIONS,
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
from engine.service.batch import CONTACT_SHEET, list_pictures, plan_batch
from engine.service.catalogue import Availability, Catalogue, ModelEntry
from engine.service.grid import GRID_PARAMETERS, Axis, labels_of, plan_grid
from engine.service.history import History
from engine.service.queue import Queue, QueuedJob
from engine.service.series import (
    MAX_ITEMS,
    Item,
    ItemReport,
    ItemState,
    Series,
    SeriesPlan,
    SeriesReport,
    SheetPlan,
)
from engine.service.stores import Keep, Kept
from engine.settings import Attention, FileType, Language, Profile, Settings, Theme, models_folder
from engine.sheets import Cell, Sheet
from engine.variants import Ignored, Limits, Size, Variant
from engine.variants.step_saving import STEP_CACHE_CHOICES, TRUNCATION_CHOICES, Saving

__all__ = [
    "CONTACT_SHEET",
    "DRAWN_SEEDS",
    "GRID_PARAMETERS",
    "INPUT_PREFIX",
    "MAX_CONTEXT",
    "MAX_COUNT",
    "MAX_EXTENSION",
    "MAX_FEATHER",
    "MAX_ITEMS",
    "MAX_PIXELS",
    "MAX_PROMPT_CHARACTERS",
    "MAX_REGIONS",
    "MAX_SEED",
    "MAX_SIDE",
    "MAX_STEPS",
    "MIN_SIDE",
    "MOST_TOKENS",
    "SIDE_MULTIPLE",
    "STEP_CACHE_CHOICES",
    "TRAINED_TOKENS",
    "TRUNCATION_CHOICES",
    "Advice",
    "Attention",
    "Availability",
    "Axis",
    "BadRequest",
    "BugError",
    "Cancelled",
    "CancelledError",
    "Catalogue",
    "Cell",
    "Chain",
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
    "Expansion",
    "Failed",
    "FileRejected",
    "FileType",
    "Fill",
    "Fit",
    "Forecast",
    "HardwarePreset",
    "History",
    "Ignored",
    "Inputs",
    "Item",
    "ItemReport",
    "ItemState",
    "JobEvent",
    "JobState",
    "Keep",
    "Kept",
    "Language",
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
    "Outside",
    "PastPicture",
    "Picture",
    "Precision",
    "Preset",
    "Presets",
    "Profile",
    "Progress",
    "Queue",
    "QueueFull",
    "Queued",
    "QueuedJob",
    "Reading",
    "Region",
    "Relay",
    "RelaySource",
    "Remedy",
    "Request",
    "ResourceError",
    "Result",
    "Saving",
    "Search",
    "Series",
    "SeriesPlan",
    "SeriesReport",
    "Settings",
    "Shape",
    "Sheet",
    "SheetPlan",
    "Size",
    "Stage",
    "Started",
    "Status",
    "StudioError",
    "Style",
    "Task",
    "Theme",
    "Tuning",
    "UserError",
    "Variant",
    "Verdict",
    "Warned",
    "Wildcards",
    "WorkerLost",
    "find_input",
    "from_report",
    "labels_of",
    "list_pictures",
    "models_folder",
    "picture_size",
    "plan_batch",
    "plan_grid",
    "prepare_relay",
    "read_recipe",
    "request_from_recipe",
    "trace",
]
