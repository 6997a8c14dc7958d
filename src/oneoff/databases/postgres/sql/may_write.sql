-- What the role of this connection could change for good, itself or as another role that it may become. One row
-- for each kind of thing, with an example. Nothing at all can be changed on a standby.
WITH roles AS (
    SELECT oid, rolname, rolsuper, rolcreatedb, rolcreaterole, rolreplication
    FROM pg_catalog.pg_roles
    WHERE pg_catalog.pg_has_role(SESSION_USER, oid, 'MEMBER')
), schemas AS (
    SELECT oid, nspname
    FROM pg_catalog.pg_namespace
    WHERE nspname <> 'information_schema' AND nspname !~ '^pg_'
), found (what, example) AS (
    SELECT 'it is a superuser or makes databases or roles, as', rolname
    FROM roles
    WHERE rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication
    UNION ALL
    SELECT 'it may act on the server''s files and programs, as', rolname
    FROM roles
    WHERE rolname IN ('pg_write_server_files', 'pg_execute_server_program', 'pg_maintain', 'pg_signal_backend')
    UNION ALL
    SELECT 'it may write the table', c.oid::pg_catalog.regclass::text
    FROM pg_catalog.pg_class AS c JOIN schemas AS s ON s.oid = c.relnamespace, roles AS r
    WHERE c.relkind IN ('r', 'p', 'v', 'f')
        AND (
            pg_catalog.has_table_privilege(r.oid, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
            OR pg_catalog.has_any_column_privilege(r.oid, c.oid, 'INSERT, UPDATE, REFERENCES')
        )
    UNION ALL
    SELECT 'it may move the sequence', c.oid::pg_catalog.regclass::text
    FROM pg_catalog.pg_class AS c JOIN schemas AS s ON s.oid = c.relnamespace, roles AS r
    WHERE CASE WHEN c.relkind = 'S' THEN pg_catalog.has_sequence_privilege(r.oid, c.oid, 'USAGE, UPDATE') END
    UNION ALL
    SELECT 'it may make things in the schema', s.nspname
    FROM schemas AS s, roles AS r
    WHERE pg_catalog.has_schema_privilege(r.oid, s.oid, 'CREATE')
    UNION ALL
    SELECT 'it may make schemas in', pg_catalog.current_database()
    FROM roles AS r
    WHERE pg_catalog.has_database_privilege(r.oid, pg_catalog.current_database(), 'CREATE')
    UNION ALL
    SELECT 'it may call as its owner the function', p.oid::pg_catalog.regprocedure::text
    FROM pg_catalog.pg_proc AS p JOIN schemas AS s ON s.oid = p.pronamespace, roles AS r
    WHERE p.prosecdef AND pg_catalog.has_function_privilege(r.oid, p.oid, 'EXECUTE')
)
SELECT what, min(example) AS example
FROM found
WHERE NOT pg_catalog.pg_is_in_recovery()
GROUP BY what
ORDER BY what
LIMIT 3
