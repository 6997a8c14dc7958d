-- What somebody with every right does to a throw-away store, for `oneoff audit selftest`. Each block is one
-- statement that SQLite and PostgreSQL both understand, loaded by its name. The triggers are off by then.

-- name: edit_body
UPDATE audit_event SET body = :body WHERE seq = :seq;

-- name: edit_hashes
UPDATE audit_event SET hashes = :hashes WHERE seq = :seq;

-- name: edit_event_id
UPDATE audit_event SET event_id = 'forged' WHERE seq = :seq;

-- name: edit_type
UPDATE audit_event SET type = 'requested' WHERE seq = :seq;

-- name: edit_run_id
UPDATE audit_event SET run_id = 'forged' WHERE seq = :seq;

-- name: edit_actor
UPDATE audit_event SET actor = 'forged' WHERE seq = :seq;

-- name: edit_task
UPDATE audit_event SET task = 'forged' WHERE seq = :seq;

-- name: edit_environment
UPDATE audit_event SET environment = 'forged' WHERE seq = :seq;

-- name: edit_time
UPDATE audit_event SET time = '1999-12-31T00:00:00.000000Z' WHERE seq = :seq;

-- name: edit_status
UPDATE audit_event SET status = 'failed' WHERE seq = :seq;

-- name: edit_measured
UPDATE audit_event SET measured = NOT measured WHERE seq = :seq;

-- name: rename_table
UPDATE audit_event_table SET name = 'forged' WHERE seq = :seq;

-- name: retime_table
UPDATE audit_event_table SET time = '1999-12-31T00:00:00.000000Z' WHERE seq = :seq;

-- name: remove_table
DELETE FROM audit_event_table WHERE seq = :seq;

-- name: add_table
INSERT INTO audit_event_table (seq, name, time) SELECT seq, 'forged', time FROM audit_event WHERE seq = :seq;

-- The row of an event in the index, as if it were of other columns, or of another event.
-- name: index_type
UPDATE audit_index SET type = 'requested' WHERE seq = :seq;

-- name: index_run_id
UPDATE audit_index SET run_id = 'forged' WHERE seq = :seq;

-- name: index_actor
UPDATE audit_index SET actor = 'forged' WHERE seq = :seq;

-- name: index_task
UPDATE audit_index SET task = 'forged' WHERE seq = :seq;

-- name: index_environment
UPDATE audit_index SET environment = 'forged' WHERE seq = :seq;

-- name: index_time
UPDATE audit_index SET time = '1999-12-31T00:00:00.000000Z' WHERE seq = :seq;

-- name: index_status
UPDATE audit_index SET status = 'failed' WHERE seq = :seq;

-- name: index_measured
UPDATE audit_index SET measured = NOT measured WHERE seq = :seq;

-- name: index_remove
DELETE FROM audit_index WHERE seq = :seq;

-- name: index_move
UPDATE audit_index SET seq = :target WHERE seq = :seq;

-- What the append of a 256th event does, much sooner: a log to attack is short.
-- name: index_all
INSERT INTO audit_index (seq, type, run_id, actor, task, environment, time, status, measured)
SELECT seq, type, run_id, actor, task, environment, time, status, measured
FROM audit_event WHERE seq > coalesce((SELECT max(seq) FROM audit_index), -1);

-- name: cut_hashes
UPDATE audit_event SET hashes = substr(hashes, 1, 32) WHERE seq = :seq;

-- name: move_event
UPDATE audit_event SET seq = :target WHERE seq = :seq;

-- name: move_table
UPDATE audit_event_table SET seq = :target WHERE seq = :seq;

-- name: remove_event
DELETE FROM audit_event WHERE seq = :seq;

-- name: copy_event
INSERT INTO audit_event (seq, event_id, type, run_id, actor, task, environment, time, status, measured, hashes, body)
SELECT :target, 'forged', type, run_id, actor, task, environment, time, status, measured, hashes, body
FROM audit_event WHERE seq = :seq;

-- name: set_head
UPDATE audit_head SET size = :size;

-- name: remove_head
DELETE FROM audit_head;

-- The log is cut down to its first events by these and the head.
-- name: cut_events
DELETE FROM audit_event WHERE seq >= :size;

-- name: cut_tables
DELETE FROM audit_event_table WHERE seq >= :size;

-- name: cut_index
DELETE FROM audit_index WHERE seq >= :size;

-- The beginning is taken away by these and the start.
-- name: keep_hashes
INSERT INTO audit_pruned (seq, hashes) SELECT seq, hashes FROM audit_event WHERE seq < :size;

-- name: behead_events
DELETE FROM audit_event WHERE seq < :size;

-- name: behead_tables
DELETE FROM audit_event_table WHERE seq < :size;

-- name: behead_index
DELETE FROM audit_index WHERE seq < :size;

-- name: set_start
UPDATE audit_head SET start = :size;

-- name: rename_log
UPDATE audit_log SET name = :name;

-- name: edit_run
UPDATE run SET status = :status, body = :body WHERE id = :id;

-- name: remove_run
DELETE FROM run WHERE id = :id;

-- name: edit_directory
UPDATE actor SET name = 'not ' || name;
