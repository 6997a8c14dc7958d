-- Version 1 of the store in SQLite. A new store gets every version's file in turn; a file never changes
-- once it was released.

-- The run itself is the JSON in body. The columns beside it are for queries and conditions; heartbeat_at
-- and progress change without a new version of the run, so only the columns hold them as they are now.
CREATE TABLE run (
    id           TEXT    NOT NULL PRIMARY KEY,
    task         TEXT    NOT NULL,
    status       TEXT    NOT NULL,
    actor        TEXT    NOT NULL,
    subject      TEXT    NOT NULL,
    environment  TEXT    NOT NULL,
    requested_at TEXT    NOT NULL,
    lock         TEXT,
    version      INTEGER NOT NULL,
    fence        INTEGER NOT NULL,
    heartbeat_at TEXT,
    progress     TEXT,
    body         TEXT    NOT NULL
) STRICT;

-- One run at a time executes under a lock.
CREATE UNIQUE INDEX run_lock ON run (lock) WHERE lock IS NOT NULL AND status IN ('running', 'stopping');

CREATE INDEX run_newest ON run (requested_at, id);
CREATE INDEX run_task ON run (task, requested_at, id);
CREATE INDEX run_status ON run (status, requested_at, id);

-- The audit log. body is what was hashed; every other column but seq follows from it.
CREATE TABLE audit_event (
    seq         INTEGER NOT NULL PRIMARY KEY,
    event_id    TEXT    NOT NULL UNIQUE,
    type        TEXT    NOT NULL,
    run_id      TEXT,
    actor       TEXT,
    task        TEXT,
    environment TEXT,
    time        TEXT    NOT NULL,
    leaf        BLOB    NOT NULL CHECK (length(leaf) = 32),
    body        BLOB    NOT NULL CHECK (length(body) <= 65535)
) STRICT;

CREATE INDEX audit_event_run ON audit_event (run_id, seq);

-- The frontier of the tree over all events: one hash of 32 bytes for each 1 in size, largest subtree first.
CREATE TABLE audit_head (
    id       INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    size     INTEGER NOT NULL,
    frontier BLOB    NOT NULL
) STRICT;

INSERT INTO audit_head (id, size, frontier) VALUES (1, 0, x'');

CREATE TRIGGER audit_event_update BEFORE UPDATE ON audit_event
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;

CREATE TRIGGER audit_event_delete BEFORE DELETE ON audit_event
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;

-- INSERT OR REPLACE fires no delete trigger (unless recursive_triggers is on): this guard stops it.
CREATE TRIGGER audit_event_insert BEFORE INSERT ON audit_event
WHEN NEW.seq IS NOT (SELECT size FROM audit_head)
    OR EXISTS (SELECT 1 FROM audit_event WHERE seq = NEW.seq OR event_id = NEW.event_id)
BEGIN
    SELECT RAISE(ABORT, 'an audit event takes the next place once');
END;

CREATE TRIGGER audit_head_update BEFORE UPDATE ON audit_head
WHEN NEW.size IS NOT OLD.size + 1
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;

CREATE TRIGGER audit_head_delete BEFORE DELETE ON audit_head
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;

CREATE TRIGGER audit_head_insert BEFORE INSERT ON audit_head
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;

-- Whom an opaque subject of the audit log stands for. Nothing here is hashed: a name may be erased.
CREATE TABLE actor (
    subject TEXT NOT NULL PRIMARY KEY,
    kind    TEXT NOT NULL,
    name    TEXT,
    UNIQUE (kind, name)
) STRICT;
