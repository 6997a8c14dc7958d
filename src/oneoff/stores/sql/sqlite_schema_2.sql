-- Version 2: proofs and filters in a time that hardly grows with the log.

-- Tells this log from every other one.
CREATE TABLE audit_log (
    id   INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    name TEXT    NOT NULL
) STRICT;

INSERT INTO audit_log (id, name) VALUES (1, lower(hex(randomblob(16))));

CREATE TRIGGER audit_log_update BEFORE UPDATE ON audit_log
BEGIN
    SELECT RAISE(ABORT, 'a log keeps its name');
END;

CREATE TRIGGER audit_log_delete BEFORE DELETE ON audit_log
BEGIN
    SELECT RAISE(ABORT, 'a log keeps its name');
END;

-- The frontier is the peaks among leaves and nodes.
ALTER TABLE audit_head DROP COLUMN frontier;

-- The first event that is kept: those before it were pruned, and may be deleted.
ALTER TABLE audit_head ADD COLUMN start INTEGER NOT NULL DEFAULT 0;

DROP TRIGGER IF EXISTS audit_head_update;

-- The size grows by one, with the event at that place; the start moves just after the event that says so.
CREATE TRIGGER audit_head_update BEFORE UPDATE ON audit_head
WHEN NOT (NEW.size = OLD.size + 1 AND NEW.start = OLD.start)
    AND NOT (NEW.size = OLD.size
             AND NEW.start > OLD.start
             AND NEW.start < NEW.size
             AND EXISTS (SELECT 1 FROM audit_event
                         WHERE seq = NEW.size - 1 AND type = 'log.pruned'
                             AND json_extract(CAST(body AS TEXT), '$.data.to') = NEW.start))
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;

-- The hashes of events that were pruned: the tree over the log stays whole.
CREATE TABLE audit_pruned (
    seq    INTEGER NOT NULL PRIMARY KEY,
    hashes BLOB    NOT NULL
) STRICT;

DROP TRIGGER audit_event_delete;

CREATE TRIGGER audit_event_delete BEFORE DELETE ON audit_event
WHEN OLD.seq >= (SELECT start FROM audit_head)
    OR NOT EXISTS (SELECT 1 FROM audit_pruned WHERE seq = OLD.seq AND hashes = OLD.hashes)
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;

DROP TRIGGER audit_event_update;

-- INSERT OR REPLACE fires no delete trigger (unless recursive_triggers is on): this guard stops it.
DROP TRIGGER audit_event_insert;

CREATE TRIGGER audit_event_insert BEFORE INSERT ON audit_event
WHEN NEW.seq IS NOT (SELECT size FROM audit_head)
    OR EXISTS (SELECT 1 FROM audit_event WHERE seq = NEW.seq)
    OR EXISTS (SELECT 1 FROM audit_event WHERE event_id = NEW.event_id)
BEGIN
    SELECT RAISE(ABORT, 'an audit event takes the next place once');
END;

ALTER TABLE audit_event ADD COLUMN status TEXT;
ALTER TABLE audit_event ADD COLUMN measured INTEGER;

-- The leaf's hash, and behind it those of the complete subtrees whose last leaf it is (RFC 6962), from the lowest
-- up: what proofs are made of. The function is oneoff's own, and wants the leaves in their order.
ALTER TABLE audit_event ADD COLUMN hashes BLOB NOT NULL DEFAULT x'';

UPDATE audit_event SET
    hashes = oneoff_grown(leaf),
    status = json_extract(CAST(body AS TEXT), '$.data.outcome.status'),
    measured = json_type(CAST(body AS TEXT), '$.data.outcome.rows') = 'object';

ALTER TABLE audit_event DROP COLUMN leaf;

-- Which tables' rows an outcome counts.
CREATE TABLE audit_event_table (
    seq  INTEGER NOT NULL,
    name TEXT    NOT NULL,
    time TEXT    NOT NULL,
    PRIMARY KEY (seq, name)
) STRICT, WITHOUT ROWID;

INSERT INTO audit_event_table (seq, name, time)
SELECT seq, key, time
FROM audit_event, json_each(CAST(body AS TEXT), '$.data.outcome.rows')
WHERE measured AND json_each.type = 'object';

CREATE TRIGGER audit_event_update BEFORE UPDATE ON audit_event
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;

CREATE TRIGGER audit_pruned_update BEFORE UPDATE ON audit_pruned
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;

CREATE TRIGGER audit_pruned_delete BEFORE DELETE ON audit_pruned
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;

CREATE TRIGGER audit_pruned_insert BEFORE INSERT ON audit_pruned
WHEN EXISTS (SELECT 1 FROM audit_pruned WHERE seq = NEW.seq)
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;

CREATE TRIGGER audit_event_table_update BEFORE UPDATE ON audit_event_table
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;

CREATE TRIGGER audit_event_table_delete BEFORE DELETE ON audit_event_table
WHEN OLD.seq >= (SELECT start FROM audit_head)
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;

-- What events are searched by: the columns beside them once more, with an index for each. It is filled for 256 events
-- at a time, by the append of the last of them, so that an append costs what an insert into a bare table does. Those
-- behind the last one that is here are the log's tail: a reader asks audit_event itself for them.
CREATE TABLE audit_index (
    seq         INTEGER NOT NULL PRIMARY KEY,
    type        TEXT    NOT NULL,
    run_id      TEXT,
    actor       TEXT,
    task        TEXT,
    environment TEXT,
    time        TEXT    NOT NULL,
    status      TEXT,
    measured    INTEGER
) STRICT;

INSERT INTO audit_index (seq, type, run_id, actor, task, environment, time, status, measured)
SELECT seq, type, run_id, actor, task, environment, time, status, measured FROM audit_event;

CREATE TRIGGER audit_index_update BEFORE UPDATE ON audit_index
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;

CREATE TRIGGER audit_index_delete BEFORE DELETE ON audit_index
WHEN OLD.seq >= (SELECT start FROM audit_head)
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;

CREATE TRIGGER audit_index_insert BEFORE INSERT ON audit_index
WHEN EXISTS (SELECT 1 FROM audit_index WHERE seq = NEW.seq)
    OR NOT EXISTS (SELECT 1 FROM audit_event WHERE seq = NEW.seq)
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;

-- These two are no guards, they do the work: an append is one statement, and so one transaction of its own.
CREATE TRIGGER audit_event_counted AFTER INSERT ON audit_event
BEGIN
    UPDATE audit_head SET size = size + 1;
END;

CREATE TRIGGER audit_event_filed AFTER INSERT ON audit_event
WHEN NEW.seq & 255 = 255
BEGIN
    INSERT INTO audit_index (seq, type, run_id, actor, task, environment, time, status, measured)
    SELECT seq, type, run_id, actor, task, environment, time, status, measured
    FROM audit_event
    WHERE seq > coalesce((SELECT max(seq) FROM audit_index), -1) AND seq >= (SELECT start FROM audit_head);
END;

DROP INDEX audit_event_run;

CREATE INDEX audit_index_run ON audit_index (run_id, seq) WHERE run_id IS NOT NULL;
CREATE INDEX audit_index_time ON audit_index (time, seq);
CREATE INDEX audit_index_task ON audit_index (task, time, seq);
CREATE INDEX audit_index_actor ON audit_index (actor, time, seq);
CREATE INDEX audit_index_environment ON audit_index (environment, time, seq);
CREATE INDEX audit_index_type ON audit_index (type, time, seq);
CREATE INDEX audit_index_status ON audit_index (status, time, seq) WHERE status IS NOT NULL;
CREATE INDEX audit_index_measured ON audit_index (measured, time, seq) WHERE measured IS NOT NULL;
CREATE INDEX audit_event_table_name ON audit_event_table (name, time, seq);

-- Runs by their name or their subject, newest first.
CREATE INDEX run_actor ON run (actor, requested_at, id);
CREATE INDEX run_subject ON run (subject, requested_at, id);
