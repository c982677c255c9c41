"""A worker's own process: units in, receipts out, until the process that started it ends."""

import _thread
import multiprocessing
import os
import signal
import threading
import time
from multiprocessing.connection import Connection, wait

from memex_audit.errors import first_line
from memex_audit.runners.work import Doing, Receipt, Work, WorkUnit
from memex_audit.work_units import Worker

GRACE_S = 20.0


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
                receipt = do(unit, patient)
            except Exception as error:  # noqa: BLE001 - whatever it is, the others go on or are told to stop
                receipt = receipt_of_failure(unit, error, fatal=do is None)
            connection.send(receipt)
    except (EOFError, OSError, KeyboardInterrupt):
        return


def receipt_of_failure(unit: WorkUnit, error: Exception, *, fatal: bool) -> Receipt:
    """Return the receipt of a unit that ended with an error which nobody foresaw."""
    return Receipt(unit=unit.name, failure=f"{type(error).__name__}: {first_line(error)}", fatal=fatal)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None  # this is a process that another started
    wait([parent.sentinel])
    _thread.interrupt_main()
    time.sleep(GRACE_S)
    os._exit(1)
