"""Messages on the terminal and in run.log."""

import logging
import re

import pytest

from pipeline import logs

logger = logging.getLogger("pipeline.some.module")


def test_terminal_shows_the_message_alone_and_warnings_with_their_level(capsys):
    logger.debug("details")
    logger.info("three rows: %d", 3)
    logger.warning("slow disk")
    printed = capsys.readouterr()
    assert printed.err == "three rows: 3\nwarning: slow disk\n" and printed.out == ""


def test_messages_are_shown_once_after_a_second_configuration(capsys):
    logs.configure()
    logger.info("once")
    assert capsys.readouterr().err == "once\n"


def test_run_log_holds_earlier_and_later_messages_with_their_time(tmp_path):
    with logs.collected() as log:
        logger.info("before the folder is known")
        log.open(tmp_path)
        logger.debug("details")
        assert len((tmp_path / "run.log").read_text().splitlines()) == 2  # each message is written immediately
        logger.warning("afterwards")
    logger.info("of another run")
    levels = [line.split(" ", 2)[1:] for line in (tmp_path / "run.log").read_text().splitlines()]
    assert levels == [
        ["INFO", "before the folder is known"],
        ["DEBUG", "details"],
        ["WARNING", "afterwards"],
    ]
    for line in (tmp_path / "run.log").read_text().splitlines():
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ", line)


def test_run_log_is_appended_to(tmp_path):
    for message in ("first process", "second process"):
        with logs.collected() as log:
            log.open(tmp_path)
            logger.info(message)
    first, second = (tmp_path / "run.log").read_text().splitlines()
    assert first.endswith("first process") and second.endswith("second process")


def test_message_that_a_full_disk_refuses_is_dropped(tmp_path, capsys):
    (tmp_path / "run.log").symlink_to("/dev/full")
    with logs.collected() as log:
        log.open(tmp_path)
        logger.info("cannot be written")
    assert capsys.readouterr().err == "cannot be written\n"


def test_run_log_that_cannot_be_opened_is_an_os_error(tmp_path):
    with logs.collected() as log, pytest.raises(OSError):
        log.open(tmp_path / "gone")
