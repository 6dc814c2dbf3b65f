"""The log stays small, on its lines, and free of secrets."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from engine import log
from engine.errors import DiskError

engine_logger = logging.getLogger("engine.example")


@pytest.fixture(autouse=True)
def _restored_logging():
    levels = {name: logging.getLogger(name).level for name in ("engine", "ui")}
    yield
    root = logging.getLogger()
    for handler in [each for each in root.handlers if each.get_name() == "atelier"]:
        root.removeHandler(handler)
        handler.close()
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def _text(folder: Path) -> str:
    return (folder / "studio.log").read_text(encoding="utf-8")


def test_information_is_kept_and_details_are_not(data_folder):
    log.set_up(data_folder / "logs", verbose=False)
    engine_logger.info("a model was loaded")
    engine_logger.debug("the prompt was: a red cat")
    logging.getLogger("somebody.else").info("chatter")
    assert "INFO" in _text(data_folder / "logs")
    assert "a model was loaded" in _text(data_folder / "logs")
    assert "red cat" not in _text(data_folder / "logs")
    assert "chatter" not in _text(data_folder / "logs")


def test_details_are_kept_on_request_and_shown_on_stderr(data_folder, capsys):
    log.set_up(data_folder, verbose=True)
    engine_logger.debug("the prompt was: a red cat")
    assert "a red cat" in _text(data_folder)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "a red cat" in captured.err


def test_without_verbose_the_terminal_stays_silent(capsys, monkeypatch):
    # Without a handler logging has one of last resort, which writes to stderr.
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    log.set_up(None, verbose=False)
    engine_logger.error("a job failed")
    assert capsys.readouterr() == ("", "")


def test_setting_up_twice_writes_each_record_once(data_folder, tmp_path):
    log.set_up(tmp_path / "first", verbose=False)
    log.set_up(data_folder, verbose=False)
    engine_logger.info("once")
    assert _text(data_folder).count("once") == 1
    assert _text(tmp_path / "first") == ""


def test_five_files_of_two_megabytes_are_kept(data_folder, monkeypatch):
    assert log.FILE_BYTES == 2_000_000
    monkeypatch.setattr(log, "FILE_BYTES", 2_000)
    log.set_up(data_folder, verbose=False)
    for _ in range(130):
        engine_logger.info("x" * 100)
    files = list(data_folder.iterdir())
    assert len(files) == 5
    assert all(file.stat().st_size <= 2_000 for file in files)


def test_a_command_has_a_file_of_its_own(data_folder):
    log.set_up(data_folder, verbose=False, name="generate")
    engine_logger.info("from the command")
    assert "from the command" in (data_folder / "generate.log").read_text()
    assert [path.name for path in data_folder.iterdir()] == ["generate.log"]


def test_a_message_cannot_forge_a_line_or_command_the_terminal(data_folder):
    log.set_up(data_folder, verbose=False)
    engine_logger.info("a\n2030-01-01 ERROR forged\x1b[2J\x9b\x7f \ud800")
    assert len(_text(data_folder).splitlines()) == 1
    assert "\x1b" not in _text(data_folder)
    assert "\x9b" not in _text(data_folder)


@pytest.mark.parametrize(
    "text",
    [
        "hf_ABCdef0123456789s3cret",
        "password=s3cret",
        "Password: s3cret",
        "{'token': 's3cret'}",
        "secret = s3cret",
        "client_secret=s3cret",
        "Authorization: Bearer-s3cret",
        "authorization: Bearer s3cret",
        "?token=s3cret",
        "GRADIO_PASSWORD=s3cret",
    ],
)
def test_secrets_are_hidden(data_folder, text):
    log.set_up(data_folder, verbose=False)
    engine_logger.info("got %s from the environment", text)
    engine_logger.info(text)
    try:
        raise ValueError(text)
    except ValueError:
        engine_logger.exception("failed")
    assert "s3cret" not in _text(data_folder)
    assert "Traceback" in _text(data_folder)


def test_words_that_only_look_like_secrets_stay(data_folder):
    log.set_up(data_folder, verbose=False)
    engine_logger.info("12 tokens: the tokenizer: is fine")
    assert "12 tokens: the tokenizer: is fine" in _text(data_folder)


def test_the_home_folder_is_not_named(data_folder):
    log.set_up(data_folder, verbose=False)
    engine_logger.info("saved %s", Path.home() / "pictures" / "a.png")
    assert str(Path.home()) not in _text(data_folder)
    assert "pictures" in _text(data_folder)


@pytest.mark.parametrize("home", ["/", None])
def test_a_user_without_a_home_of_his_own_is_logged_all_the_same(data_folder, monkeypatch, home):
    def found():
        if home is None:
            raise RuntimeError("Could not determine home directory.")
        return Path(home)

    monkeypatch.setattr(Path, "home", found)
    log.set_up(data_folder, verbose=False)
    engine_logger.info("saved /data/a.png")
    assert "saved /data/a.png" in _text(data_folder)


def test_a_disk_that_fills_up_ends_no_job_and_floods_no_terminal(data_folder, capsys):
    log.set_up(data_folder, verbose=False)
    own = [each for each in logging.getLogger().handlers if each.get_name() == "atelier"]
    handler = next(each for each in own if hasattr(each, "stream"))

    class Full:
        def write(self, _text):
            raise OSError(28, "No space left on device")

        seek = tell = flush = close = lambda *_arguments: 0

    handler.stream.close()
    handler.stream = Full()
    engine_logger.info("lost")
    assert capsys.readouterr() == ("", "")


def test_a_log_that_cannot_be_opened_is_an_error_with_advice(data_folder):
    (data_folder / "studio.log").mkdir()
    with pytest.raises(DiskError, match="data-dir"):
        log.set_up(data_folder, verbose=False)
