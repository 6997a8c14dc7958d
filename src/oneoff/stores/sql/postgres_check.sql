-- What `oneoff doctor` asks of a store in PostgreSQL, as the app's own role. Each block is one statement.

-- name: server
SELECT current_setting('server_version'), current_setting('server_version_num')::integer,
       extract(epoch FROM clock_timestamp())::double precision, pg_is_in_recovery();

-- Whom the schema and everything in it belongs to.
-- name: owners
SELECT DISTINCT role.rolname, role.rolcanlogin
FROM (
    SELECT nspowner AS owner FROM pg_namespace WHERE nspname = 'oneoff'
    UNION ALL
    SELECT relowner FROM pg_class WHERE relnamespace = 'oneoff'::regnamespace
    UNION ALL
    SELECT proowner FROM pg_proc WHERE pronamespace = 'oneoff'::regnamespace
) AS thing
JOIN pg_roles AS role ON role.oid = thing.owner
ORDER BY 1;

-- name: role
SELECT role.rolname, role.rolsuper,
       pg_has_role(role.oid, schema.nspowner, 'MEMBER'),
       has_schema_privilege(role.oid, schema.oid, 'CREATE')
FROM pg_roles AS role, pg_namespace AS schema
WHERE role.rolname = current_user AND schema.nspname = 'oneoff';

-- Who was granted more than to read.
-- name: writers
SELECT DISTINCT CASE acl.grantee WHEN 0 THEN 'everybody' ELSE pg_get_userbyid(acl.grantee)::text END,
       thing.relname::text
FROM pg_class AS thing, aclexplode(thing.relacl) AS acl
WHERE thing.relnamespace = 'oneoff'::regnamespace AND acl.grantee <> thing.relowner
    AND acl.privilege_type <> 'SELECT'
ORDER BY 1, 2;

-- What the role lacks that a run needs.
-- name: missing
SELECT what FROM (
    SELECT 'SELECT on ' || oid::regclass AS what, has_table_privilege(oid, 'SELECT') AS granted
    FROM pg_class WHERE relnamespace = 'oneoff'::regnamespace AND relkind = 'r'
    UNION ALL
    SELECT 'EXECUTE on ' || oid::regprocedure, has_function_privilege(oid, 'EXECUTE')
    FROM pg_proc WHERE pronamespace = 'oneoff'::regnamespace AND prosecdef
) AS needed
WHERE NOT granted
ORDER BY 1;

-- Which guards of the log were turned off, or stop where triggers of a replica stop.
-- name: guards
SELECT relation.relname::text, guard.tgname::text
FROM pg_trigger AS guard JOIN pg_class AS relation ON relation.oid = guard.tgrelid
WHERE relation.relnamespace = 'oneoff'::regnamespace AND NOT guard.tgisinternal AND guard.tgenabled <> 'A'
ORDER BY 1, 2;

-- name: guard_count
SELECT count(*) FROM pg_trigger AS guard JOIN pg_class AS relation ON relation.oid = guard.tgrelid
WHERE relation.relnamespace = 'oneoff'::regnamespace AND NOT guard.tgisinternal;
