"""A worker's own process: units in, receipts out, until the process that started it ends."""

import _thread
import multiprocessing
import os
import signal
import threading
import time
from multiprocessing.connection import Connection, wait

from memex_audit.errors import (
    ConfigurationError,
    EmbedderError,
    GeneratorError,
    MemexAuditError,
    StoreUnwritable,
    first_line,
)
from memex_audit.runners.work import Doing, Receipt, Work, WorkUnit
from memex_audit.work_units import Worker

GRACE_S = 20.0
# Errors that every other unit would meet too.
FATAL = (StoreUnwritable, GeneratorError, EmbedderError, ConfigurationError)


def serve(work: Work, worker: Worker, connection: Connection) -> None:
    """Do what comes through the connection until it is closed.

    Told to end (SIGTERM, Ctrl-C, the end of its parent), it leaves as after Ctrl-C: what was drawn of a
    prompt is written first.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    do: Doing | None = None
    try:
        while True:
            unit, patient = connection.recv()
            try:
                do = do or work.begin(worker)
            except Exception as error:  # noqa: BLE001 - whatever it is, no unit can be done
                connection.send(Receipt(unit=unit.name, failure=said_of(error), fatal=True))
            else:
                connection.send(done(do, unit, patient))
    except (EOFError, OSError, KeyboardInterrupt):
        return


def done(do: Doing, unit: WorkUnit, patient: bool) -> Receipt:
    """Do a unit; an error that nobody foresaw is its own, and the others go on."""
    try:
        return do(unit, patient)
    except Exception as error:  # noqa: BLE001 - as said
        return Receipt(unit=unit.name, failure=said_of(error), fatal=isinstance(error, FATAL))


def said_of(error: Exception) -> str:
    """Return an error as one line."""
    if isinstance(error, MemexAuditError):
        return str(error)
    return f"{type(error).__name__}: {first_line(error)}"


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None  # this is a process that another started
    wait([parent.sentinel])
    _thread.interrupt_main()
    time.sleep(GRACE_S)
    os._exit(1)
