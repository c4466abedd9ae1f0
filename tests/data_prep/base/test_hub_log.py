"""Warnings of requests to the hub: one line of each kind."""

from __future__ import annotations

import logging

import pytest

from data_prep.base import hub_log


def test_a_hub_that_does_not_answer_is_one_line(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_log, "_said", set())
    for name in hub_log.BARS:
        monkeypatch.delenv(name, raising=False)
    hub_log.quieten()
    hub_log.quieten()
    logger = logging.getLogger("huggingface_hub.utils._http")
    for attempt in range(1, 6):  # as huggingface_hub 2.4 words it
        logger.warning("'[Errno -2] Name or service not known' thrown while requesting HEAD https://huggingface.co/x")
        logger.warning(f"Retrying in 1s [Retry {attempt}/5].")
    logger.warning("Rate limited. Waiting 60.0s before retry [Retry 1/5].")
    logger.error("the end")
    assert caplog.messages == ["the end"]
    assert capsys.readouterr().err.splitlines() == [
        "warning: no answer from the Hugging Face hub; trying again for up to half a minute",
        "warning: the Hugging Face hub limits requests; waiting for it"]
