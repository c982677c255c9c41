"""The file of a ledger: opened, brought to this version's tables, looked at for damage, kept aside."""

import secrets
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from memex_audit.errors import LedgerError
from memex_audit.records import prompt_set_digest

BUSY_SECONDS = 5.0
# "memx": a database that is no ledger is told from one by it.
APPLICATION_ID = 0x6D656D78
# Shared memory beside the file is what WAL needs; a network's file system does not offer it to other hosts.
LOCAL_FILE_SYSTEMS = {"bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "tmpfs", "xfs", "zfs"}
MOUNTS = Path("/proc/self/mountinfo")
FOREIGN = "another program's database"
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _first_tables(connection: sqlite3.Connection) -> None:
    connection.execute(
        "CREATE TABLE runs (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,"
        " model TEXT NOT NULL, created TEXT NOT NULL, verdict TEXT NOT NULL, rate REAL,"
        " model_fingerprint TEXT NOT NULL, settings_digest TEXT NOT NULL, result TEXT NOT NULL)"
    )
    connection.execute(
        "CREATE TABLE findings (run INTEGER NOT NULL REFERENCES runs (number), position INTEGER NOT NULL,"
        " prompt_id TEXT NOT NULL, group_id TEXT NOT NULL, verdict TEXT NOT NULL,"
        " generations INTEGER NOT NULL, clique_size INTEGER NOT NULL, replicas INTEGER NOT NULL,"
        " record TEXT NOT NULL, PRIMARY KEY (run, position)) WITHOUT ROWID"
    )


def _prompt_sets(connection: sqlite3.Connection) -> None:
    """Tell reruns by their prompts: of runs that were whole these are the findings'."""
    connection.execute("ALTER TABLE runs ADD COLUMN prompt_set TEXT")
    connection.execute("CREATE INDEX reruns ON runs (model_fingerprint, settings_digest, prompt_set)")
    whole = "SELECT number FROM runs WHERE verdict NOT IN ('incomplete', 'error')"
    for (number,) in connection.execute(whole).fetchall():
        ids = connection.execute("SELECT prompt_id FROM findings WHERE run = ?", (number,))
        digest = prompt_set_digest(prompt_id for (prompt_id,) in ids)
        connection.execute("UPDATE runs SET prompt_set = ? WHERE number = ?", (digest, number))


# Each step is made once, in this order, in one transaction; a ledger counts its own (user_version).
MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (_first_tables, _prompt_sets)


def is_missing(path: Path) -> bool:
    """Whether no ledger was begun."""
    return not path.exists()


def opened(path: Path, *, write: bool = False) -> sqlite3.Connection:
    """Open a ledger with this version's tables; a writer makes the file where there is none.

    A reader brings an older ledger to this version too, and reads one in a folder that it may not write.

    Raises:
        LedgerError: there is none to read, or it is of a newer version.
        sqlite3.Error: it cannot be opened, or is locked.
    """
    if write:
        return _connected(path, "rwc", journal="WAL" if is_local(path) else "DELETE")
    if is_missing(path):
        raise LedgerError(f"there is no ledger {path} yet; `pytest audits/` writes one.")
    try:
        return _connected(path, "rw")
    except sqlite3.OperationalError as error:
        # Without the right to make WAL's files: there is nothing in them where the last writer closed.
        if _code(error) not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY) or _wal(path).exists():
            raise
        return _connected(path, "ro&immutable=1")


def _connected(path: Path, mode: str, *, journal: str | None = None) -> sqlite3.Connection:
    address = f"file:{quote(str(path))}?mode={mode}"
    # Transactions are begun by hand: the module's own do not cover tables.
    connection = sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        connection.row_factory = sqlite3.Row
        _refuse_foreign(connection, path)
        if journal:
            connection.execute(f"PRAGMA journal_mode = {journal}")
        _migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _is_foreign(connection: sqlite3.Connection) -> bool:
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    return bool(tables) and application != APPLICATION_ID


def _refuse_foreign(connection: sqlite3.Connection, path: Path) -> None:
    """Leave alone what is no ledger of this version: another program's database, a newer version's ledger."""
    if _is_foreign(connection):
        raise LedgerError(
            f"the ledger {path} is {FOREIGN}; the next audit keeps it aside and begins a new one."
        )
    if (version := _version(connection)) > len(MIGRATIONS):
        raise LedgerError(
            f"the ledger {path} must be of version {len(MIGRATIONS)} at most, got version={version}: a newer "
            "memex-audit wrote it; update this one, or name another store with --memex-store."
        )


def _migrate(connection: sqlite3.Connection) -> None:
    if _version(connection) == len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        # Asked again: another process may have been first.
        for step in MIGRATIONS[_version(connection) :]:
            step(connection)
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def is_local(path: Path, mounts: Path = MOUNTS) -> bool:
    """Whether a file lies on a disk of this machine, as far as the system says; if in doubt it does not.

    Args:
        path: of the file, which need not be there yet.
        mounts: what the kernel says is mounted where; only Linux does.
    """
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return False
    folder = str(path.resolve().parent)
    best, kind = -1, ""
    for line in lines:
        before, _, after = line.partition(" - ")
        point = before.split()[4].encode("latin-1", "replace").decode("unicode_escape")
        if len(point) >= best and (folder == point or folder.startswith(point.rstrip("/") + "/")):
            best, kind = len(point), after.split()[0]
    return kind in LOCAL_FILE_SYSTEMS


def damage(path: Path) -> str | None:
    """Say what is wrong with a ledger's file: it is none, or parts of it are lost. None for a sound one."""
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as connection:
            if _is_foreign(connection):
                return FOREIGN
            said = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
            return None if said == "ok" else " ".join(said.split())
    except sqlite3.DatabaseError as error:
        # What else it may be (a lock, a full disk) whoever writes meets too.
        return str(error) if _code(error) in DAMAGED else None


def set_aside(path: Path) -> Path:
    """Rename a ledger, and what WAL keeps beside it, to a name that no other has; return the new name.

    Raises:
        OSError: it cannot be renamed.
    """
    target = path.with_name(f"{path.stem}.damaged-{secrets.token_hex(4)}{path.suffix}")
    path.rename(target)
    for suffix in ("-wal", "-shm"):
        beside = path.with_name(path.name + suffix)
        if beside.exists():
            beside.rename(target.with_name(target.name + suffix))
    return target


def reason_of(error: sqlite3.Error | OSError) -> str:
    """Say why a ledger cannot be used, and what to do."""
    if isinstance(error, OSError):
        return f"cannot be used ({error.strerror or error}); name another store with --memex-store"
    if _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"is locked by another process, for {BUSY_SECONDS:g} s already; try again when that has ended"
    if _code(error) in DAMAGED:
        return f"is damaged ({error}); the next audit keeps it aside and begins a new one"
    return f"cannot be used ({error}); free space, or name another store with --memex-store"


def _code(error: sqlite3.Error) -> int:
    """Return SQLite's primary code of an error."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def _wal(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")
