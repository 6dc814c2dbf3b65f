"""Carries out a plan: links what is here, fetches what is not, and writes down what there is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from engine.hub.hosts import choose_hosts
from engine.hub.plan import DownloadPlan, PlannedFile, Step
from engine.hub.record import HASHES_NAME, Record, RecordedFile, write_record
from engine.hub.reuse import Hashes, bring, changed
from engine.hub.watch import DownloadProgress, Meter, Patience, Watch
from engine.storage import make_folder

if TYPE_CHECKING:
    from engine.hub.fetch import Line

DEFAULT_PATIENCE = Patience()


def download(
    plan: DownloadPlan,
    on_progress: Callable[[DownloadProgress], None] = lambda progress: None,
    cancelled: Callable[[], bool] = lambda: False,
    *,
    patience: Patience = DEFAULT_PATIENCE,
) -> Path:
    """Make a model folder as planned and return it.

    on_progress: told a few times a second, from this thread. cancelled: asked several times a
    second. Raise `Cancelled` when it says so, `DiskError` before the first byte if there is not
    room for all, `NetworkError`, `DownloadCorrupt`, `NotFound` or `HostRefused`; what came until
    then is kept, and the same plan made anew goes on from there.
    """
    plan.check_space()
    watch = Watch(cancelled)
    hashes = Hashes(plan.folder.parent / HASHES_NAME)
    make_folder(plan.folder)
    done: list[RecordedFile] = []
    with ExitStack() as stack:
        stack.callback(_remove_empty, plan.folder)
        meter = Meter(sum(file.source.size for file in plan.files), on_progress)
        line: Line | None = None
        for file in plan.files:
            watch.check()
            meter.begin(file.source.to)
            if file.step is Step.FETCH and line is None:
                line = _connect(plan, stack, patience, watch, meter)
            done.append(_bring(file, line, hashes, watch))
            meter.settle(sum(other.source.size for other in plan.files[: len(done)]))
            _write(plan, done)
        meter.report()
    return plan.folder


def _remove_empty(folder: Path) -> None:
    """Remove a folder that nothing came into."""
    for path in (*sorted(folder.rglob("*"), reverse=True), folder):
        # Whatever holds something stays: a folder that is not empty cannot be removed this way.
        with suppress(OSError):
            path.rmdir()


def _connect(
    plan: DownloadPlan, stack: ExitStack, patience: Patience, watch: Watch, meter: Meter
) -> Line:
    """Make ready to fetch; only now is the network's code brought in."""
    from engine.hub.fetch import Line
    from engine.hub.wire import Wire

    hosts = choose_hosts(plan.endpoint)
    wire = stack.enter_context(Wire(hosts, patience, watch))
    return Line(wire=wire, hosts=hosts, patience=patience, watch=watch, meter=meter)


def _bring(file: PlannedFile, line: Line | None, hashes: Hashes, watch: Watch) -> RecordedFile:
    """Put one file in its place, unless it lies there already, and return what it is."""
    sha256 = file.source.sha256
    if sha256 is None or not _lies_there(file, sha256, hashes, watch):
        sha256 = _get(file, line, hashes, watch)
        hashes.remember(file.path, sha256)
    return RecordedFile(
        to=file.source.to,
        source=f"{file.source.repo}/{file.source.path}",
        size=file.path.stat().st_size,
        sha256=sha256,
    )


def _get(file: PlannedFile, line: Line | None, hashes: Hashes, watch: Watch) -> str:
    """Bring a file and return its SHA-256."""
    if file.step is not Step.FETCH or line is None:
        return _reuse(file, hashes, watch)
    from engine.hub.fetch import fetch, look_up

    wanted = look_up(file.source, line)
    if wanted.sha256 is not None and _lies_there(file, wanted.sha256, hashes, watch):
        return wanted.sha256
    return fetch(wanted, file.path, line)


def _reuse(file: PlannedFile, hashes: Hashes, watch: Watch) -> str:
    """Link or copy a file of this machine, if it still is what it was when it was planned."""
    original = file.original or file.path
    sha256 = hashes.sha256(original, watch)
    if file.sha256 not in {None, sha256}:
        raise changed(original)
    if file.original is not None:
        bring(original, file.path, sha256, watch)
    return sha256


def _lies_there(file: PlannedFile, sha256: str, hashes: Hashes, watch: Watch) -> bool:
    """Whether an earlier run of the same plan, or another process, has brought the file."""
    return file.path.is_file() and hashes.sha256(file.path, watch) == sha256


def _write(plan: DownloadPlan, done: list[RecordedFile]) -> None:
    write_record(
        plan.folder,
        Record(
            variant=plan.variant,
            precision=plan.precision,
            complete=len(done) == len(plan.files),
            files=tuple(done),
        ),
    )
