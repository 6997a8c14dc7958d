-- What the store asks PostgreSQL. Each block is one statement, loaded by its name.

-- Has to work on the schema of every later version.
-- name: select_version
SELECT version, oldest_client, pg_is_in_recovery(),
       coalesce(has_function_privilege(to_regprocedure('oneoff.record(bytea)'), 'EXECUTE'), false)
FROM oneoff.store_version;

-- name: create_run
SELECT oneoff.create_run(%(record)s, %(event)s);

-- name: adopt_run
SELECT oneoff.adopt_run(%(record)s, %(events)s::bytea[]);

-- name: save_run
SELECT body, heartbeat_at, progress FROM oneoff.save_run(%(record)s, %(event)s);

-- name: beat
SELECT body, heartbeat_at, progress FROM oneoff.beat(%(id)s, %(fence)s, %(at)s, %(progress)s);

-- name: record
SELECT oneoff.record(%(event)s);

-- name: subject_of
SELECT oneoff.subject_of(%(kind)s, %(name)s);

-- name: erase
SELECT oneoff.erase(%(name)s, %(changes)s, %(event)s);

-- name: select_run
SELECT body, heartbeat_at, progress FROM oneoff.run WHERE id = %(id)s;

-- name: select_saved
SELECT 1 FROM oneoff.run WHERE id = %(id)s AND version = %(version)s AND body = %(body)s;

-- name: select_lock_holder
SELECT body, heartbeat_at, progress FROM oneoff.run
WHERE lock = %(lock)s AND status IN ('running', 'stopping') AND id <> %(id)s;

-- The list of runs is this, the conditions that apply, and the order.
-- name: find_runs
SELECT body, heartbeat_at, progress FROM oneoff.run

-- name: where_statuses
status = ANY (%(statuses)s)

-- name: where_task
task = %(task)s

-- name: where_actor
(actor = %(actor)s OR subject = %(actor)s)

-- name: where_since
requested_at >= %(since)s

-- name: where_id_prefix
id >= %(id_prefix)s AND id < %(id_prefix)s || '~'

-- name: newest_first
ORDER BY requested_at DESC, id DESC LIMIT %(limit)s;

-- name: select_log
SELECT name FROM oneoff.audit_log;

-- name: select_head
SELECT size FROM oneoff.audit_head;

-- A place is a level and a position; level 0 stands beside the events.
-- name: select_hashes
WITH place AS (
    SELECT * FROM unnest(%(levels)s::integer[], %(positions)s::bigint[]) AS place (level, position)
)
SELECT level, position, leaf FROM place JOIN oneoff.audit_event ON seq = position WHERE level = 0
UNION ALL
SELECT level, position, hash FROM place JOIN oneoff.audit_node USING (level, position);

-- name: select_event_id
SELECT 1 FROM oneoff.audit_event WHERE event_id = %(id)s;

-- What an event is read as; the conditions that apply, and the order, follow. A row of a table that has another time
-- than its event is none of it: a search by table and time would not find that one.
-- name: select_events
SELECT seq, body, leaf, event_id, type, run_id, actor, task, environment, time, status, measured,
       ARRAY(SELECT name FROM oneoff.audit_event_table AS beside
             WHERE beside.seq = event.seq AND beside.time = event.time ORDER BY name)
FROM oneoff.audit_event AS event

-- name: select_events_of_table
SELECT event.seq, body, leaf, event_id, type, run_id, actor, task, environment, event.time, status, measured,
       ARRAY(SELECT name FROM oneoff.audit_event_table AS beside WHERE beside.seq = event.seq ORDER BY name)
FROM oneoff.audit_event_table AS counted JOIN oneoff.audit_event AS event ON event.seq = counted.seq

-- name: event_table
counted.name = %(table)s

-- name: event_run_id
run_id = %(run_id)s

-- name: event_type
type = %(type)s

-- name: event_task
task = %(task)s

-- name: event_actor
actor = %(actor)s

-- name: event_environment
environment = %(environment)s

-- name: event_measured
measured = %(measured)s

-- name: event_status
status = %(status)s

-- name: event_since
event.time >= %(since)s

-- name: event_until
event.time < %(until)s

-- name: newest_events
ORDER BY event.time DESC, event.seq DESC LIMIT %(limit)s;

-- name: newest_events_of_table
ORDER BY counted.time DESC, counted.seq DESC LIMIT %(limit)s;

-- name: select_subjects
SELECT subject FROM oneoff.actor WHERE name = %(name)s;

-- name: events_from
WHERE seq >= %(start)s ORDER BY seq LIMIT %(limit)s;

-- name: events_of_run
WHERE run_id = %(run_id)s AND seq >= %(start)s ORDER BY seq LIMIT %(limit)s;

-- name: select_subject
SELECT subject FROM oneoff.actor WHERE kind = %(kind)s AND name = %(name)s;

-- The text is a first sieve; whoever reads the record finds out whether the name is that of a person.
-- name: select_runs_with
SELECT id, body FROM oneoff.run WHERE strpos(body, %(text)s) > 0;

-- name: select_actors
SELECT subject, kind, name FROM oneoff.actor;
