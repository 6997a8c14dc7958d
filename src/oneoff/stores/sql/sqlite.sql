-- What the store asks SQLite. Each block is one statement, loaded by its name.

-- name: insert_run
INSERT INTO run (id, task, status, actor, subject, environment, requested_at, lock, version, fence,
                 heartbeat_at, progress, body)
VALUES (:id, :task, :status, :actor, :subject, :environment, :requested_at, :lock, :version, :fence,
        :heartbeat_at, :progress, :body);

-- A beat that came after the caller read the run stays.
-- name: update_run
UPDATE run
SET task = :task, status = :status, actor = :actor, subject = :subject, environment = :environment,
    requested_at = :requested_at, lock = :lock, version = :version, fence = :fence, body = :body,
    progress = CASE WHEN heartbeat_at > coalesce(:heartbeat_at, '') THEN progress ELSE :progress END,
    heartbeat_at = CASE WHEN heartbeat_at > coalesce(:heartbeat_at, '') THEN heartbeat_at ELSE :heartbeat_at END
WHERE id = :id AND version = :version - 1
RETURNING body, heartbeat_at, progress;

-- name: select_run
SELECT body, heartbeat_at, progress FROM run WHERE id = :id;

-- name: select_lock_holder
SELECT body, heartbeat_at, progress FROM run
WHERE lock = :lock AND status IN ('running', 'stopping') AND id <> :id;

-- name: beat
UPDATE run
SET heartbeat_at = :at, progress = coalesce(:progress, progress)
WHERE id = :id AND fence = :fence AND status IN ('requested', 'launched', 'running', 'stopping')
RETURNING body, heartbeat_at, progress;

-- The list of runs is this, the conditions that apply, and the order.
-- name: find_runs
SELECT body, heartbeat_at, progress FROM run

-- Every command asks for these: one look, and there are few of them.
-- name: where_active
status IN ('requested', 'launched', 'running', 'stopping')

-- name: where_status
status = :status

-- name: where_task
task = :task

-- name: where_actor
actor = :actor

-- name: where_subject
subject = :subject

-- name: where_since
requested_at >= :since

-- name: where_id_prefix
id >= :id_prefix AND id < :id_prefix || '~'

-- name: newest_first
ORDER BY requested_at DESC, id DESC LIMIT :limit;

-- name: select_log
SELECT name FROM audit_log;

-- name: select_head
SELECT size, start, (SELECT max(seq) FROM audit_index) FROM audit_head;

-- name: select_last_id
SELECT event_id FROM audit_event WHERE seq = :last;

-- A place is the last leaf of a subtree, and its level.
-- name: select_hashes
SELECT seq, level,
       substr(coalesce((SELECT hashes FROM audit_event WHERE seq = place.seq),
                       (SELECT hashes FROM audit_pruned WHERE seq = place.seq)), 32 * level + 1, 32)
FROM (SELECT json_extract(value, '$[0]') AS seq, json_extract(value, '$[1]') AS level
      FROM json_each(:places)) AS place;

-- Only where the log is still as it was when this process last looked: so long, and with that event at its end. The
-- head, and the indexes, follow by triggers. Values go by their order: by a name, each would be looked up.
-- name: insert_event
INSERT INTO audit_event (seq, event_id, type, run_id, actor, task, environment, time, status, measured, hashes, body)
SELECT size, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?
FROM audit_head
WHERE size = ? AND (SELECT event_id FROM audit_event WHERE seq = size - 1) IS ?;

-- name: insert_event_tables
INSERT INTO audit_event_table (seq, name, time) SELECT :seq, value, :time FROM json_each(:tables);

-- name: select_event_id
SELECT 1 FROM audit_event WHERE event_id = :id;

-- name: move_start
UPDATE audit_head SET start = :start;

-- name: select_pruned
SELECT min(seq) FROM audit_event WHERE seq < (SELECT start FROM audit_head);

-- name: keep_hashes
INSERT INTO audit_pruned (seq, hashes) SELECT seq, hashes FROM audit_event WHERE seq >= :first AND seq < :end;

-- A run's record goes with the last of its events.
-- name: delete_runs
DELETE FROM run
WHERE id IN (SELECT run_id FROM audit_event WHERE seq >= :first AND seq < :end)
    AND NOT EXISTS (SELECT 1 FROM audit_index WHERE run_id = run.id AND seq >= :end)
    AND NOT EXISTS (SELECT 1 FROM audit_event
                    WHERE run_id = run.id AND seq >= :end
                        AND seq > coalesce((SELECT max(seq) FROM audit_index), -1))
    AND status NOT IN ('requested', 'launched', 'running', 'stopping');

-- name: delete_tables
DELETE FROM audit_event_table WHERE seq >= :first AND seq < :end;

-- name: delete_index
DELETE FROM audit_index WHERE seq >= :first AND seq < :end;

-- name: delete_events
DELETE FROM audit_event WHERE seq >= :first AND seq < :end;

-- What an event is read as. Where it is found, the conditions that apply, and the order, follow.
-- name: select_events
SELECT found.seq AS seq, body, hashes, true, event_id, found.type, found.run_id, found.actor, found.task, found.environment,
       found.time AS time, found.status, found.measured,
       (SELECT json_group_array(name)
        FROM (SELECT name FROM audit_event_table AS beside WHERE beside.seq = found.seq ORDER BY name))
FROM

-- name: in_index
audit_index AS found CROSS JOIN audit_event AS event ON event.seq = found.seq WHERE

-- name: in_tail
audit_event AS found WHERE found.seq > coalesce((SELECT max(seq) FROM audit_index), -1) AND

-- name: in_tables
audit_event_table AS counted CROSS JOIN audit_event AS found ON found.seq = counted.seq WHERE

-- What was pruned is gone for every reader, also while its bodies are still being deleted. The plus keeps SQLite
-- from walking along seq instead of an index that has the wanted order.
-- name: event_kept
+found.seq >= (SELECT start FROM audit_head)

-- name: event_table
counted.name = :table

-- name: event_run_id
found.run_id = :run_id

-- name: event_type
found.type = :type

-- name: event_task
found.task = :task

-- name: event_actor
found.actor = :actor

-- name: event_environment
found.environment = :environment

-- name: event_measured
found.measured = :measured

-- name: event_status
found.status = :status

-- name: event_since
found.time >= :since

-- name: event_until
found.time < :until

-- The same for the events of a table, in the order of its index.
-- name: event_since_of_table
counted.time >= :since

-- name: event_until_of_table
counted.time < :until

-- name: newest_events
ORDER BY time DESC, seq DESC LIMIT :limit

-- name: newest_events_of_table
ORDER BY counted.time DESC, counted.seq DESC LIMIT :limit

-- name: event_from
found.seq >= max(:start, (SELECT start FROM audit_head))

-- name: first_events
ORDER BY seq LIMIT :limit

-- name: select_subjects
SELECT subject FROM actor WHERE name = :name;

-- The whole log is read without that: for most events there is nothing to be found. The fourth column says whether
-- the index has the event as it is, or does not reach it yet.
-- name: scan_events
SELECT event.seq, body, hashes,
       event.seq > coalesce((SELECT max(seq) FROM audit_index), -1)
       OR (filed.type, filed.run_id, filed.actor, filed.task, filed.environment, filed.time, filed.status, filed.measured)
          IS (event.type, event.run_id, event.actor, event.task, event.environment, event.time, event.status, event.measured),
       event_id, event.type, event.run_id, event.actor, event.task, event.environment, event.time, event.status,
       event.measured
FROM audit_event AS event LEFT JOIN audit_index AS filed ON filed.seq = event.seq
WHERE event.seq >= max(:start, (SELECT start FROM audit_head)) ORDER BY event.seq LIMIT :limit;

-- A row that has another time than its event is none of it: a search by table and time would not find that one.
-- name: scan_event_tables
SELECT beside.seq, name
FROM audit_event_table AS beside JOIN audit_event AS event ON event.seq = beside.seq AND event.time = beside.time
WHERE beside.seq BETWEEN :first AND :last ORDER BY beside.seq, name;

-- name: select_subject
SELECT subject FROM actor WHERE kind = :kind AND name = :name;

-- name: insert_actor
INSERT INTO actor (subject, kind, name) VALUES (:subject, :kind, :name) ON CONFLICT (kind, name) DO NOTHING;

-- name: erase_actor
UPDATE actor SET name = NULL WHERE name = :name;

-- The text is a first sieve; whoever reads the record finds out whether the name is that of a person.
-- name: select_runs_with
SELECT id FROM run WHERE instr(body, :text);

-- name: erase_run
UPDATE run SET actor = :actor, body = :body WHERE id = :id;

-- name: select_actors
SELECT subject, kind, name FROM actor;
