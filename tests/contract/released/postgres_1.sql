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

-- name: prune
SELECT oneoff.prune(%(to)s, %(event)s);

-- name: forget
SELECT oneoff.forget();

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
SELECT size, start, (SELECT max(seq) FROM oneoff.audit_index) FROM oneoff.audit_head;

-- A place is the last leaf of a subtree, and its level.
-- name: select_hashes
SELECT place.seq, level, substr(hashes, 32 * level + 1, 32)
FROM unnest(%(seqs)s::bigint[], %(levels)s::integer[]) AS place (seq, level)
JOIN oneoff.audit_event USING (seq)
UNION ALL
SELECT place.seq, level, substr(hashes, 32 * level + 1, 32)
FROM unnest(%(seqs)s::bigint[], %(levels)s::integer[]) AS place (seq, level)
JOIN oneoff.audit_pruned USING (seq);

-- name: select_event_id
SELECT 1 FROM oneoff.audit_event WHERE event_id = %(id)s;

-- What an event is read as. Where it is found, the conditions that apply, and the order, follow. A row of a table that
-- has another time than its event is none of it: a search by table and time would not find that one.
-- name: select_events
SELECT found.seq AS seq, body, hashes, true, event_id, found.type, found.run_id, found.actor, found.task, found.environment,
       found.time AS time, found.status, found.measured,
       ARRAY(SELECT name FROM oneoff.audit_event_table AS beside
             WHERE beside.seq = found.seq AND beside.time = found.time ORDER BY name)
FROM

-- name: in_index
oneoff.audit_index AS found JOIN oneoff.audit_event AS event ON event.seq = found.seq WHERE

-- The upper bound excludes nothing. Without one the server expects a third of the log there, and starts parallel workers
-- for fewer than 256 events; between two bounds it expects a two-hundredth.
-- name: in_tail
oneoff.audit_event AS found WHERE found.seq > coalesce((SELECT max(seq) FROM oneoff.audit_index), -1)
AND found.seq <= 9223372036854775807 AND

-- name: in_tables
oneoff.audit_event_table AS counted JOIN oneoff.audit_event AS found ON found.seq = counted.seq WHERE

-- What was pruned is gone for every reader, also while its bodies are still being deleted. The zero keeps the server
-- from walking along seq instead of an index that has the wanted order.
-- name: event_kept
found.seq + 0 >= (SELECT start FROM oneoff.audit_head)

-- name: event_table
counted.name = %(table)s

-- name: event_run_id
found.run_id = %(run_id)s

-- name: event_type
found.type = %(type)s

-- name: event_task
found.task = %(task)s

-- name: event_actor
found.actor = %(actor)s

-- name: event_environment
found.environment = %(environment)s

-- name: event_measured
found.measured = %(measured)s

-- name: event_status
found.status = %(status)s

-- name: event_since
found.time >= %(since)s

-- name: event_until
found.time < %(until)s

-- The same for the events of a table, by its index: by the events' own, the server would read them all.
-- name: event_since_of_table
counted.time >= %(since)s

-- name: event_until_of_table
counted.time < %(until)s

-- name: newest_events
ORDER BY time DESC, seq DESC LIMIT %(limit)s

-- name: newest_events_of_table
ORDER BY counted.time DESC, counted.seq DESC LIMIT %(limit)s

-- name: event_from
found.seq >= greatest(%(start)s, (SELECT start FROM oneoff.audit_head))

-- name: first_events
ORDER BY seq LIMIT %(limit)s

-- name: select_subjects
SELECT subject FROM oneoff.actor WHERE name = %(name)s;

-- The whole log is read without the tables: most events have none. The fourth column says whether the index has the
-- event as it is, or does not reach it yet. What a binary cursor fetches comes as it is, and
-- nothing is written in digits and read again; both statements go in one message, in one transaction.
-- Both tables are told where the page begins: the server would merge it with the index from the first event on.
-- name: scan_events
DECLARE page BINARY NO SCROLL CURSOR FOR
SELECT event.seq, body, hashes,
       event.seq > coalesce((SELECT max(seq) FROM oneoff.audit_index), -1)
       OR (filed.type, filed.run_id, filed.actor, filed.task, filed.environment, filed.time, filed.status, filed.measured)
          IS NOT DISTINCT FROM
          (event.type, event.run_id, event.actor, event.task, event.environment, event.time, event.status, event.measured),
       event_id, event.type, event.run_id, event.actor, event.task, event.environment, event.time, event.status,
       event.measured
FROM oneoff.audit_event AS event LEFT JOIN oneoff.audit_index AS filed
    ON filed.seq = event.seq AND filed.seq >= greatest(%(start)s, (SELECT start FROM oneoff.audit_head))
WHERE event.seq >= greatest(%(start)s, (SELECT start FROM oneoff.audit_head)) ORDER BY event.seq LIMIT %(limit)s;
FETCH ALL FROM page;

-- As above, a row that has another time than its event is none of it.
-- name: scan_event_tables
SELECT beside.seq, name
FROM oneoff.audit_event_table AS beside
JOIN oneoff.audit_event AS event ON event.seq = beside.seq AND event.time = beside.time
WHERE beside.seq BETWEEN %(first)s AND %(last)s;

-- name: select_subject
SELECT subject FROM oneoff.actor WHERE kind = %(kind)s AND name = %(name)s;

-- The text is a first sieve; whoever reads the record finds out whether the name is that of a person.
-- name: select_runs_with
SELECT id, body FROM oneoff.run WHERE strpos(body, %(text)s) > 0;

-- name: select_actors
SELECT subject, kind, name FROM oneoff.actor;
