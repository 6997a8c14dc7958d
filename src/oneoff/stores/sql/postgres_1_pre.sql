-- Version 1 of the store in PostgreSQL, to be applied before its release is deployed. Executed by the role
-- oneoff_owner, which cannot log in: everything here belongs to it. A file never changes once it was released.

-- Which clients may work here: those from oldest_client up to version. And how long every event stays at least,
-- whatever the settings of whoever prunes say: the app's role may only read that.
CREATE TABLE oneoff.store_version (
    id             integer NOT NULL PRIMARY KEY CHECK (id = 1),
    version        integer NOT NULL,
    oldest_client  integer NOT NULL,
    retention_days integer NOT NULL DEFAULT 400 CHECK (retention_days BETWEEN 0 AND 99999)
);

-- The run itself is the JSON in body. The columns beside it are for queries and conditions; heartbeat_at
-- and progress change without a new version of the run, so only the columns hold them as they are now.
-- JSON is kept as text: jsonb cannot hold the character NUL. Every text is compared byte by byte.
CREATE TABLE oneoff.run (
    id           text    COLLATE "C" NOT NULL PRIMARY KEY,
    task         text    COLLATE "C" NOT NULL,
    status       text    COLLATE "C" NOT NULL,
    actor        text    COLLATE "C" NOT NULL,
    subject      text    COLLATE "C" NOT NULL,
    environment  text    COLLATE "C" NOT NULL,
    requested_at text    COLLATE "C" NOT NULL,
    lock         text    COLLATE "C",
    version      bigint  NOT NULL,
    fence        bigint  NOT NULL,
    heartbeat_at text    COLLATE "C",
    progress     text,
    body         text    NOT NULL
);

-- One run at a time executes under a lock.
CREATE UNIQUE INDEX run_lock ON oneoff.run (lock) WHERE lock IS NOT NULL AND status IN ('running', 'stopping');

CREATE INDEX run_newest ON oneoff.run (requested_at, id);
CREATE INDEX run_task ON oneoff.run (task, requested_at, id);
CREATE INDEX run_status ON oneoff.run (status, requested_at, id);
CREATE INDEX run_actor ON oneoff.run (actor, requested_at, id);
CREATE INDEX run_subject ON oneoff.run (subject, requested_at, id);
-- Every command looks at the runs that are under way.
CREATE INDEX run_active ON oneoff.run (requested_at, id)
    WHERE status IN ('requested', 'launched', 'running', 'stopping');

-- The audit log. body is what was hashed; every other column but seq and recorded follows from it. In a column a
-- NUL of the body is written \0 and a backslash \\, because PostgreSQL's text holds no NUL. recorded is the server's
-- own time, which nobody who appends can choose: retention goes by it.
CREATE TABLE oneoff.audit_event (
    seq         bigint  NOT NULL PRIMARY KEY,
    event_id    text    COLLATE "C" NOT NULL CONSTRAINT audit_event_id UNIQUE,
    type        text    COLLATE "C" NOT NULL,
    run_id      text    COLLATE "C",
    actor       text    COLLATE "C",
    task        text    COLLATE "C",
    environment text    COLLATE "C",
    time        text    COLLATE "C" NOT NULL,
    status      text    COLLATE "C",
    measured    boolean,
    -- The leaf's hash, and behind it those of the complete subtrees whose last leaf it is (RFC 6962), from the lowest
    -- up: what proofs are made of.
    hashes      bytea   NOT NULL,
    body        bytea   NOT NULL,
    recorded    timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- What events are searched by: the columns beside them once more, with an index for each. It is filled for 256 events
-- at a time, by the append of the last of them, so that an append costs what an insert into a bare table does. Those
-- behind the last one that is here are the log's tail: a reader asks audit_event itself for them.
CREATE TABLE oneoff.audit_index (
    seq         bigint  NOT NULL PRIMARY KEY,
    type        text    COLLATE "C" NOT NULL,
    run_id      text    COLLATE "C",
    actor       text    COLLATE "C",
    task        text    COLLATE "C",
    environment text    COLLATE "C",
    time        text    COLLATE "C" NOT NULL,
    status      text    COLLATE "C",
    measured    boolean
);

CREATE INDEX audit_index_run ON oneoff.audit_index (run_id, seq) WHERE run_id IS NOT NULL;
CREATE INDEX audit_index_time ON oneoff.audit_index (time, seq);
CREATE INDEX audit_index_task ON oneoff.audit_index (task, time, seq);
CREATE INDEX audit_index_actor ON oneoff.audit_index (actor, time, seq);
CREATE INDEX audit_index_environment ON oneoff.audit_index (environment, time, seq);
CREATE INDEX audit_index_type ON oneoff.audit_index (type, time, seq);
CREATE INDEX audit_index_status ON oneoff.audit_index (status, time, seq) WHERE status IS NOT NULL;
CREATE INDEX audit_index_measured ON oneoff.audit_index (measured, time, seq) WHERE measured IS NOT NULL;

-- Which tables' rows an outcome counts.
CREATE TABLE oneoff.audit_event_table (
    seq  bigint NOT NULL,
    name text   COLLATE "C" NOT NULL,
    time text   COLLATE "C" NOT NULL,
    PRIMARY KEY (seq, name)
);

CREATE INDEX audit_event_table_name ON oneoff.audit_event_table (name, time, seq);

-- The hashes of events that were pruned: the tree over the log stays whole.
CREATE TABLE oneoff.audit_pruned (
    seq    bigint NOT NULL PRIMARY KEY,
    hashes bytea  NOT NULL
);

-- How many events there are, and the first that is kept: those before start were pruned, and may be deleted.
-- Whoever appends locks this row until its commit, which keeps the log gapless.
-- Each append writes it again: the room left in its page lets that happen in place (a HOT update).
CREATE TABLE oneoff.audit_head (
    id    integer NOT NULL PRIMARY KEY,
    size  bigint  NOT NULL,
    start bigint  NOT NULL DEFAULT 0
) WITH (fillfactor = 10);

INSERT INTO oneoff.audit_head (id, size) VALUES (1, 0);

-- Tells this log from every other one.
CREATE TABLE oneoff.audit_log (
    id   integer NOT NULL PRIMARY KEY CHECK (id = 1),
    name text    NOT NULL
);

INSERT INTO oneoff.audit_log (id, name)
SELECT 1, left(encode(sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 'hex'), 32);

-- Whom an opaque subject of the audit log stands for. Nothing here is hashed: a name may be erased.
CREATE TABLE oneoff.actor (
    subject text COLLATE "C" NOT NULL PRIMARY KEY,
    kind    text COLLATE "C" NOT NULL,
    name    text COLLATE "C",
    UNIQUE (kind, name)
);

CREATE FUNCTION oneoff.refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, oneoff, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'OO006';
END
$$;

-- An event may go that stands before the start and whose hashes are kept; what stands beside it goes with it.
CREATE FUNCTION oneoff.refuse_delete() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, oneoff, pg_temp
AS $$
BEGIN
    IF OLD.seq < (SELECT start FROM oneoff.audit_head) THEN
        IF TG_TABLE_NAME <> 'audit_event' THEN
            RETURN OLD;
        ELSIF EXISTS (SELECT FROM oneoff.audit_pruned WHERE seq = OLD.seq AND hashes = OLD.hashes) THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'OO006';
END
$$;

-- The start moves forward, and just after the event that says so.
CREATE FUNCTION oneoff.refuse_move() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, oneoff, pg_temp
AS $$
BEGIN
    IF NEW.size = OLD.size AND NEW.start > OLD.start AND NEW.start < NEW.size AND EXISTS (
        SELECT FROM oneoff.audit_event
        WHERE seq = NEW.size - 1 AND type = 'log.pruned'
            AND oneoff.envelope(body) #> '{data,to}' = to_jsonb(NEW.start)
    ) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'OO006';
END
$$;

-- ENABLE ALWAYS: session_replication_role turns other triggers off.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'audit_event', 'audit_event_table', 'audit_index', 'audit_pruned', 'audit_log', 'audit_head'
    ] LOOP
        EXECUTE format(
            'CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON oneoff.%I EXECUTE FUNCTION oneoff.refuse_change()', name);
        EXECUTE format('ALTER TABLE oneoff.%I ENABLE ALWAYS TRIGGER refuse_truncate', name);
        EXECUTE format(
            'CREATE TRIGGER refuse_delete BEFORE DELETE ON oneoff.%I FOR EACH ROW EXECUTE FUNCTION oneoff.%I()',
            name, CASE WHEN name LIKE 'audit_event%' OR name = 'audit_index' THEN 'refuse_delete' ELSE 'refuse_change' END);
        EXECUTE format('ALTER TABLE oneoff.%I ENABLE ALWAYS TRIGGER refuse_delete', name);
        EXECUTE format(
            'CREATE TRIGGER refuse_update BEFORE UPDATE %s ON oneoff.%I FOR EACH ROW EXECUTE FUNCTION oneoff.%I()',
            CASE name WHEN 'audit_head' THEN 'OF id, start' ELSE '' END,  -- each append counts the size up
            name,
            CASE name WHEN 'audit_head' THEN 'refuse_move' ELSE 'refuse_change' END);
        EXECUTE format('ALTER TABLE oneoff.%I ENABLE ALWAYS TRIGGER refuse_update', name);
    END LOOP;
END
$$;

-- The functions up to `record` are for those below it alone, whose search_path holds in them too.

-- The envelope in the bytes of an event, every NUL in its texts written \0 and every backslash \\. Refused is
-- what the log's readers could not take: no JSON, no envelope, numbers or depths beyond those of the profile.
CREATE FUNCTION oneoff.envelope(entry bytea) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
    words text := convert_from(entry, 'UTF8');
    found jsonb;
BEGIN
    IF position(E'\x01' IN words) = 0 THEN
        IF position('\' IN words) > 0 THEN
            -- In JSON, a backslash in a text is two; this character, which JSON never holds as it is, stands for it.
            words := replace(words, '\\', E'\x01');
            words := replace(words, '\u0000', '\\0');
            words := replace(words, E'\x01', '\\\\');
        END IF;
        found := words::jsonb;
        IF jsonb_typeof(found) = 'object'
            AND jsonb_typeof(found -> 'data') = 'object'
            AND jsonb_typeof(found -> 'id') = 'string'
            AND coalesce(jsonb_typeof(found -> 'subject'), 'null') IN ('string', 'null')
            AND found ->> 'type' ~ '^dev\.oneoff\.audit\.[a-z][a-z0-9_.-]*\.v[0-9]+$'
            AND translate(found ->> 'time', '0123456789', '0000000000') = '0000-00-00T00:00:00.000000Z'
            AND NOT jsonb_path_match(found, 'exists($.**{256}) || exists($.** ? (@.abs() > 9007199254740991))')
        THEN
            RETURN found;
        END IF;
    END IF;
    RAISE EXCEPTION 'these bytes are no event of an audit log' USING ERRCODE = 'OO005';
END
$$;

-- The text of this name, NULL where there is something else.
CREATE FUNCTION oneoff.text_in(part jsonb, name text) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$ SELECT CASE jsonb_typeof(part -> name) WHEN 'string' THEN part ->> name END $$;

-- dev.oneoff.audit.run.requested.v1 is requested, dev.oneoff.audit.log.queried.v1 is log.queried.
CREATE FUNCTION oneoff.short_type(full_type text) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT CASE
        WHEN right(full_type, 3) <> '.v1' THEN full_type
        WHEN starts_with(left(full_type, -3), 'dev.oneoff.audit.run.') THEN substr(left(full_type, -3), 22)
        ELSE substr(left(full_type, -3), 18)
    END
$$;

-- What the app's role may call. Each is one transaction; an event stands or falls with the change it is of.

-- Gives an event the next place in the log: the only way in. Every value but the bytes themselves is made here.
-- A statement, a check constraint or a condition of a trigger more costs each run some microseconds of the lock.
CREATE FUNCTION oneoff.record(entry bytea) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, oneoff, pg_temp
AS $$
DECLARE
    event jsonb;
    initiator jsonb;  -- parts of it by themselves: each look into the whole costs a microsecond
    target jsonb;
    outcome jsonb;
    changed jsonb;
    place bigint;
    kept_from bigint;
    above bigint;
    depth integer := 0;
    made bytea := sha256('\x00'::bytea || entry);
    made_all bytea := made;
    beside bytea;
BEGIN
    IF octet_length(entry) > 65535 THEN
        RAISE EXCEPTION 'an audit event of % bytes does not fit into 65535', octet_length(entry)
            USING ERRCODE = 'OO005';
    END IF;
    event := oneoff.envelope(entry);
    initiator := event #> '{data,initiator}';
    target := event #> '{data,target}';
    outcome := event #> '{data,outcome}';
    changed := outcome -> 'rows';

    -- Takes the row's lock until the commit, which keeps the log gapless.
    UPDATE oneoff.audit_head SET size = size + 1 RETURNING size - 1, start INTO place, kept_from;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the audit log has no head' USING ERRCODE = 'OO009';
    END IF;
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;

    -- The subtrees that this leaf completes, one on average: each of its last one and the one beside that.
    above := place;
    WHILE above & 1 = 1 LOOP
        SELECT substr(hashes, 32 * depth + 1, 32) INTO beside FROM oneoff.audit_event WHERE seq = (above << depth) - 1;
        IF NOT FOUND THEN
            SELECT substr(hashes, 32 * depth + 1, 32) INTO beside FROM oneoff.audit_pruned
            WHERE seq = (above << depth) - 1;
        END IF;
        IF octet_length(beside) IS DISTINCT FROM 32 THEN
            RAISE EXCEPTION 'the audit log lacks the hash of subtree (%, %)', depth, above - 1
                USING ERRCODE = 'OO009';
        END IF;
        made := sha256('\x01'::bytea || beside || made);
        made_all := made_all || made;
        depth := depth + 1;
        above := above >> 1;
    END LOOP;

    INSERT INTO oneoff.audit_event
        (seq, event_id, type, run_id, actor, task, environment, time, status, measured, hashes, body)
    VALUES (
        place,
        event ->> 'id',
        oneoff.short_type(event ->> 'type'),
        event ->> 'subject',
        oneoff.text_in(initiator, 'subject'),
        oneoff.text_in(target, 'task'),
        oneoff.text_in(target, 'environment'),
        event ->> 'time',
        oneoff.text_in(outcome, 'status'),
        CASE WHEN jsonb_typeof(changed) <> 'null' THEN jsonb_typeof(changed) = 'object' END,
        made_all,
        entry
    );
    IF jsonb_typeof(changed) = 'object' THEN
        INSERT INTO oneoff.audit_event_table (seq, name, time)
        SELECT place, key, event ->> 'time' FROM jsonb_each(changed) WHERE jsonb_typeof(value) = 'object';
    END IF;
    IF place & 255 = 255 THEN
        INSERT INTO oneoff.audit_index
        SELECT kept.seq, kept.type, kept.run_id, kept.actor, kept.task, kept.environment, kept.time, kept.status,
               kept.measured
        FROM oneoff.audit_event AS kept
        WHERE kept.seq > coalesce((SELECT max(seq) FROM oneoff.audit_index), -1)
            AND kept.seq >= kept_from;  -- nobody looks for what was pruned before
    END IF;
END
$$;

CREATE FUNCTION oneoff.create_run(record jsonb, event bytea) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, oneoff, pg_temp
AS $$
DECLARE
    wanted oneoff.run := jsonb_populate_record(NULL::oneoff.run, record);
BEGIN
    IF event IS NULL THEN
        RAISE EXCEPTION 'a new run needs its event' USING ERRCODE = 'OO005';
    END IF;
    INSERT INTO oneoff.run VALUES (wanted.*);
    PERFORM oneoff.record(event);
END
$$;

-- A run that has ended without this store, with all its events in their order.
CREATE FUNCTION oneoff.adopt_run(record jsonb, events bytea[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, oneoff, pg_temp
AS $$
DECLARE
    wanted oneoff.run := jsonb_populate_record(NULL::oneoff.run, record);
    event bytea;
BEGIN
    IF coalesce(cardinality(events), 0) = 0 OR array_position(events, NULL) IS NOT NULL THEN
        RAISE EXCEPTION 'a new run needs its events' USING ERRCODE = 'OO005';
    END IF;
    INSERT INTO oneoff.run VALUES (wanted.*);
    FOREACH event IN ARRAY events LOOP
        PERFORM oneoff.record(event);
    END LOOP;
END
$$;

-- Replaces the record where its version is the one before. A beat that came after the caller read it stays.
CREATE FUNCTION oneoff.save_run(record jsonb, event bytea)
RETURNS TABLE (body text, heartbeat_at text, progress text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, oneoff, pg_temp
AS $$
DECLARE
    wanted oneoff.run := jsonb_populate_record(NULL::oneoff.run, record);
    saved oneoff.run;
BEGIN
    UPDATE oneoff.run AS kept
    SET task = wanted.task, status = wanted.status, actor = wanted.actor, subject = wanted.subject,
        environment = wanted.environment, requested_at = wanted.requested_at, lock = wanted.lock,
        version = wanted.version, fence = wanted.fence, body = wanted.body,
        progress = CASE WHEN kept.heartbeat_at > coalesce(wanted.heartbeat_at, '')
                        THEN kept.progress ELSE wanted.progress END,
        heartbeat_at = CASE WHEN kept.heartbeat_at > coalesce(wanted.heartbeat_at, '')
                            THEN kept.heartbeat_at ELSE wanted.heartbeat_at END
    WHERE kept.id = wanted.id AND kept.version = wanted.version - 1
    RETURNING kept.* INTO saved;
    IF NOT FOUND THEN
        IF EXISTS (SELECT FROM oneoff.run AS kept WHERE kept.id = wanted.id) THEN
            RAISE EXCEPTION 'another process changed run % first', wanted.id USING ERRCODE = 'OO002';
        END IF;
        RAISE EXCEPTION 'there is no run %', wanted.id USING ERRCODE = 'OO003';
    END IF;
    IF event IS NOT NULL THEN
        PERFORM oneoff.record(event);
    END IF;
    RETURN QUERY SELECT saved.body, saved.heartbeat_at, saved.progress;
END
$$;

CREATE FUNCTION oneoff.beat(of_run text, of_fence bigint, at text, news text)
RETURNS TABLE (body text, heartbeat_at text, progress text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, oneoff, pg_temp
AS $$
BEGIN
    RETURN QUERY
    UPDATE oneoff.run AS kept
    SET heartbeat_at = at, progress = coalesce(news, kept.progress)
    WHERE kept.id = of_run AND kept.fence = of_fence
        AND kept.status IN ('requested', 'launched', 'running', 'stopping')
    RETURNING kept.body, kept.heartbeat_at, kept.progress;
END
$$;

-- Forgets a name: in the directory, and in the records of runs, which are given as they are without it. False, and
-- nothing is changed, where one of them is not the one that was read (was: the SHA-256 of its text).
CREATE FUNCTION oneoff.erase(of_name text, changes jsonb, event bytea) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, oneoff, pg_temp
AS $$
BEGIN
    IF event IS NULL THEN
        RAISE EXCEPTION 'erasing a name needs its event' USING ERRCODE = 'OO005';
    END IF;
    PERFORM FROM oneoff.run WHERE id IN (SELECT change ->> 'id' FROM jsonb_array_elements(changes) AS change)
    ORDER BY id FOR UPDATE;
    IF EXISTS (
        SELECT FROM jsonb_array_elements(changes) AS change
        LEFT JOIN oneoff.run AS kept ON kept.id = change ->> 'id'
        WHERE encode(sha256(convert_to(kept.body, 'UTF8')), 'hex') IS DISTINCT FROM change ->> 'was'
    ) THEN
        RETURN false;
    END IF;
    UPDATE oneoff.run AS kept SET actor = change ->> 'actor', body = change ->> 'body'
    FROM jsonb_array_elements(changes) AS change WHERE kept.id = change ->> 'id';
    UPDATE oneoff.actor AS known SET name = NULL WHERE known.name = of_name;
    PERFORM oneoff.record(event);
    RETURN true;
END
$$;

-- Moves the start of the log, with the event that states it. Refused is what is younger, by this server's clock,
-- than the owner lets go (OO007), and what is no beginning of the log (OO004: to, start and size as the detail).
CREATE FUNCTION oneoff.prune(up_to bigint, event bytea) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, oneoff, pg_temp
AS $$
DECLARE
    stated jsonb := oneoff.envelope(event);
    days integer := (SELECT retention_days FROM oneoff.store_version);
    log oneoff.audit_head;
    young record;
BEGIN
    IF stated ->> 'type' <> 'dev.oneoff.audit.log.pruned.v1'
        OR stated #> '{data,to}' IS DISTINCT FROM to_jsonb(up_to)
    THEN
        RAISE EXCEPTION 'pruning needs the event that states it' USING ERRCODE = 'OO005';
    END IF;
    SELECT * INTO log FROM oneoff.audit_head;
    IF up_to <= log.size THEN  -- else events that come meanwhile would not be looked at
        -- Before the head is locked: what was recorded stays as it is, and nobody waits for this look.
        SELECT seq, recorded INTO young FROM oneoff.audit_event
        WHERE seq < up_to AND recorded > clock_timestamp() - days * interval '24 hours' ORDER BY seq LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'the store keeps every event for % days from when its server recorded it:'
                ' event % stays until %', days, young.seq,
                to_char(young.recorded AT TIME ZONE 'UTC' + days * interval '24 hours', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
                USING ERRCODE = 'OO007';
        END IF;
        SELECT * INTO log FROM oneoff.audit_head FOR UPDATE;
    END IF;
    IF (up_to > log.start AND up_to <= log.size) IS NOT TRUE THEN
        RAISE EXCEPTION 'the log does not begin so'
            USING ERRCODE = 'OO004', DETAIL = concat_ws(' ', up_to, log.start, log.size);
    END IF;
    PERFORM oneoff.record(event);
    UPDATE oneoff.audit_head SET start = up_to;
END
$$;

-- Deletes some of what stands before the start, and keeps its hashes; whether there is more.
CREATE FUNCTION oneoff.forget() RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, oneoff, pg_temp
AS $$
DECLARE
    kept_from bigint;
    first bigint;
    past bigint;
BEGIN
    PERFORM FROM oneoff.audit_log FOR UPDATE;  -- two of these take turns; those who append do not wait
    SELECT start INTO kept_from FROM oneoff.audit_head;
    SELECT min(seq) INTO first FROM oneoff.audit_event WHERE seq < kept_from;
    IF first IS NULL THEN
        RETURN false;
    END IF;
    past := least(kept_from, first + 1000);
    INSERT INTO oneoff.audit_pruned (seq, hashes)
    SELECT seq, hashes FROM oneoff.audit_event WHERE seq >= first AND seq < past;
    -- A run's record goes with the last of its events. Locked first: an event may have come with its last change.
    PERFORM FROM oneoff.run
    WHERE id IN (SELECT run_id FROM oneoff.audit_event WHERE seq >= first AND seq < past) ORDER BY id FOR UPDATE;
    DELETE FROM oneoff.run AS gone
    WHERE id IN (SELECT run_id FROM oneoff.audit_event WHERE seq >= first AND seq < past)
        AND NOT EXISTS (SELECT FROM oneoff.audit_index WHERE run_id = gone.id AND seq >= past)
        AND NOT EXISTS (
            SELECT FROM oneoff.audit_event
            WHERE run_id = gone.id AND seq >= past
                AND seq > coalesce((SELECT max(seq) FROM oneoff.audit_index), -1)
        )
        AND status NOT IN ('requested', 'launched', 'running', 'stopping');
    DELETE FROM oneoff.audit_event_table WHERE seq >= first AND seq < past;
    DELETE FROM oneoff.audit_index WHERE seq >= first AND seq < past;
    DELETE FROM oneoff.audit_event WHERE seq >= first AND seq < past;
    RETURN past < kept_from;
END
$$;

CREATE FUNCTION oneoff.subject_of(of_kind text, of_name text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, oneoff, pg_temp
AS $$
DECLARE
    made text := left(encode(sha256(uuid_send(gen_random_uuid())), 'hex'), 16);
BEGIN
    INSERT INTO oneoff.actor (subject, kind, name) VALUES (made, of_kind, of_name)
    ON CONFLICT (kind, name) DO NOTHING;
    RETURN (SELECT subject FROM oneoff.actor WHERE kind = of_kind AND name = of_name);
END
$$;

-- Whatever the session's own limit is, nobody waits longer for a lock. The client counts on it.
DO $$
DECLARE
    callable regprocedure;
BEGIN
    FOR callable IN SELECT oid FROM pg_proc WHERE pronamespace = 'oneoff'::regnamespace AND prosecdef LOOP
        EXECUTE format('ALTER FUNCTION %s SET lock_timeout = ''30s''', callable);
    END LOOP;
END
$$;
