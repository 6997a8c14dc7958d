-- The throw-away store in a PostgreSQL database. Each block is one statement, or one message of several.

-- name: lock
SELECT pg_try_advisory_lock(hashtext('oneoff selftest'));

-- What is in the database: our mark, a store, whoever was let into it beside its owner and us, anything else.
-- name: look
SELECT
    EXISTS (SELECT FROM pg_namespace WHERE nspname = 'oneoff_selftest'),
    EXISTS (SELECT FROM pg_namespace WHERE nspname = 'oneoff'),
    EXISTS (
        SELECT FROM pg_namespace, aclexplode(nspacl) AS acl
        WHERE nspname = 'oneoff' AND acl.grantee <> nspowner
            AND acl.grantee NOT IN (SELECT oid FROM pg_roles WHERE rolname = 'oneoff_selftest')
    ),
    EXISTS (
        SELECT FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE relkind IN ('r', 'p', 'm') AND nspname NOT IN ('oneoff', 'oneoff_selftest', 'information_schema')
            AND nspname NOT LIKE 'pg\_%'
    );

-- Committed before the store is made: a store beside this schema was left behind by a self-test that was killed. Its
-- comment says whether the owner's role is to go with it.
-- name: mark
CREATE SCHEMA oneoff_selftest;
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'oneoff_owner') THEN
        COMMENT ON SCHEMA oneoff_selftest IS 'with owner';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'oneoff_selftest') THEN
        CREATE ROLE oneoff_selftest NOLOGIN;
    END IF;
END
$$;
GRANT oneoff_selftest TO CURRENT_USER;

-- name: owner_is_ours
SELECT coalesce(obj_description('oneoff_selftest'::regnamespace, 'pg_namespace'), '') = 'with owner';

-- name: drop_store
DROP SCHEMA oneoff CASCADE;

-- name: drop_mark
DROP SCHEMA oneoff_selftest CASCADE;

-- name: drop_role
DROP ROLE IF EXISTS oneoff_selftest;

-- name: drop_owner
DROP ROLE IF EXISTS oneoff_owner;

-- name: search_oneoff
SET LOCAL search_path = oneoff, pg_catalog;

-- name: tables
SELECT relname FROM pg_class WHERE relnamespace = 'oneoff'::regnamespace AND relkind = 'r' ORDER BY relname;

-- name: guards_off
DO $$
DECLARE
    place regclass;
BEGIN
    FOR place IN
        SELECT DISTINCT tgrelid::regclass FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
        WHERE relnamespace = 'oneoff'::regnamespace AND NOT tgisinternal AND tgenabled <> 'D'
    LOOP
        EXECUTE format('ALTER TABLE %s DISABLE TRIGGER USER', place);
    END LOOP;
END
$$;

-- What an attack can have changed beside rows.
-- name: repair
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_constraint WHERE conname = 'audit_event_id') THEN
        ALTER TABLE audit_event ADD CONSTRAINT audit_event_id UNIQUE (event_id);
    END IF;
END
$$;

-- An attack of its own.
-- name: drop_unique
ALTER TABLE audit_event DROP CONSTRAINT audit_event_id;
