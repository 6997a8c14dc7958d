-- The throw-away store in SQLite. Each block is loaded by its name.

-- name: guards
SELECT name FROM sqlite_master WHERE type = 'trigger';

-- Those that are no guards: what is recorded after an attack wants them again.
-- name: workers
SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name IN ('audit_event_counted', 'audit_event_filed');

-- An attack of its own: an index that belongs to a constraint goes with its table alone.
-- name: drop_unique
CREATE TABLE copied AS SELECT * FROM audit_event;
DROP TABLE audit_event;
ALTER TABLE copied RENAME TO audit_event;
