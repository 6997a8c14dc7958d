-- The tables that this transaction holds more than a reader's lock on: a write takes one and keeps it until the
-- end, unless it is rolled back to a savepoint before it
-- (https://www.postgresql.org/docs/current/explicit-locking.html). A partition is told with the table it is of.
WITH mode (name, strength) AS (VALUES
    ('RowShareLock', 2), ('RowExclusiveLock', 3), ('ShareUpdateExclusiveLock', 4), ('ShareLock', 5),
    ('ShareRowExclusiveLock', 6), ('ExclusiveLock', 7), ('AccessExclusiveLock', 8)
), held AS (
    SELECT l.relation AS oid, max(mode.strength) AS strength
    FROM pg_locks l JOIN mode ON mode.name = l.mode
    WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND l.granted
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    GROUP BY l.relation
)
SELECT c.oid::text AS oid,
       c.relkind::text AS kind,
       CASE rn.nspname WHEN 'public' THEN r.relname ELSE rn.nspname || '.' || r.relname END AS name,
       format('%I.%I', n.nspname, c.relname) AS address,
       mode.name AS lock,
       held.strength AS strength,
       CASE c.relkind WHEN 'r' THEN pg_relation_size(c.oid) END AS bytes,
       has_table_privilege(c.oid, 'SELECT') AND NOT row_security_active(c.oid) AS readable,
       pg_stat_get_xact_tuples_inserted(c.oid) AS inserted,
       pg_stat_get_xact_tuples_updated(c.oid) AS updated,
       pg_stat_get_xact_tuples_deleted(c.oid) AS deleted,
       (SELECT json_agg(a.attname ORDER BY k.place)
        FROM pg_index i, unnest(i.indkey::smallint[]) WITH ORDINALITY k (number, place), pg_attribute a
        WHERE i.indrelid = c.oid AND i.indisprimary AND k.place <= i.indnkeyatts
          AND a.attrelid = c.oid AND a.attnum = k.number) AS key,
       (SELECT json_agg(json_build_array(a.attname, format_type(a.atttypid, NULL)) ORDER BY a.attnum)
        FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns
FROM held
JOIN mode USING (strength)
JOIN pg_class c ON c.oid = held.oid
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_class r ON r.oid = coalesce(pg_partition_root(c.oid)::oid, c.oid)
JOIN pg_namespace rn ON rn.oid = r.relnamespace
WHERE c.relkind IN ('r', 'p', 'f', 'm') AND c.relpersistence <> 't'
  AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\_%'
ORDER BY name, c.relname
