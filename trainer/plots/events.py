"""TensorBoard event files without torch: scalars and figures through tensorboard's own writer."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tensorboard.summary.writer.record_writer import RecordWriter

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class EventFile:
    """A new event file in `folder`, a context that flushes and closes it.

    suffix: end of the file's name. purge_step: TensorBoard hides values of earlier files of the folder from this step
    on, for a run that is resumed from an earlier step.
    """

    def __init__(self, folder: Path, *, suffix: str = "", purge_step: int | None = None) -> None:
        self._writer = EventFileWriter(str(folder), filename_suffix=suffix)
        if purge_step is not None:
            self._add(Event(step=purge_step, file_version="brain.Event:2"))
            self._add(Event(step=purge_step, session_log=SessionLog(status=SessionLog.START)))

    def scalar(self, tag: str, value: float, step: int = 0) -> None:
        """Add a number (stored as fp32)."""
        self._add(Event(step=step, summary=Summary(value=[Summary.Value(tag=tag, simple_value=value)])))

    def figure(self, tag: str, figure: Figure, step: int = 0, description: str = "") -> None:
        """Add a figure as a PNG image; the description is Markdown."""
        from trainer.plots.style import to_png  # here, so that scalars need no matplotlib

        png = to_png(figure)
        width, height = (int.from_bytes(png[at : at + 4]) for at in (16, 20))  # of the header (PNG, section 11.2.2)
        image = Summary.Image(width=width, height=height, colorspace=4, encoded_image_string=png)
        metadata = SummaryMetadata(summary_description=description) if description else None
        self._add(Event(step=step, summary=Summary(value=[Summary.Value(tag=tag, image=image, metadata=metadata)])))

    def text(self, tag: str, markdown: str, step: int = 0) -> None:
        """Add a text, which TensorBoard renders as Markdown."""
        from tensorboard.plugins.text.summary_v2 import text_pb

        self._add(Event(step=step, summary=text_pb(tag, markdown)))

    def close(self) -> None:
        """Write what is buffered and close the file."""
        self._writer.close()

    def _add(self, event: Event) -> None:
        event.wall_time = time.time()
        self._writer.add_event(event)

    def hyper_parameters(self, values: Mapping[str, bool | float | str], name: str) -> None:
        """Add the hyper-parameters of a training, which the hparams plugin compares by the scalars of this folder."""
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb

        self._add(Event(summary=hparams_pb(dict(values), trial_id=name, start_time_secs=0)))

    def __enter__(self) -> EventFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


class TimelessEventFile(EventFile):
    """An event file without times, process and host, in its content and its name: equal for equal values."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / "events.out.tfevents.0").open("wb")
        self._records = RecordWriter(self._file)
        self._add(Event(file_version="brain.Event:2"))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _add(self, event: Event) -> None:
        self._records.write(event.SerializeToString(deterministic=True))
