-- How the store in PostgreSQL is made and upgraded. Each block is one statement, or one message of several.

-- A lock that live runs hold must not be waited for long: they would queue behind.
-- name: begin
SET TRANSACTION READ WRITE;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL lock_timeout = '5s';
SET LOCAL client_min_messages = warning;
SELECT pg_advisory_xact_lock(hashtext('oneoff store'));

-- name: role
SELECT rolcanlogin, rolsuper FROM pg_roles WHERE rolname = %(role)s;

-- name: create_owner
CREATE ROLE oneoff_owner NOLOGIN;

-- name: schema_owner
SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'oneoff';

-- name: create_schema
CREATE SCHEMA oneoff AUTHORIZATION oneoff_owner;

-- name: power
SELECT rolsuper, pg_has_role(oid, %(owner)s, 'MEMBER') FROM pg_roles WHERE rolname = coalesce(%(role)s, current_user);

-- Whether the one at work was made a member by hand. Who creates a role has its ADMIN option alone since
-- PostgreSQL 16, which is not enough to act as it.
-- name: direct_member
SELECT 1 FROM pg_auth_members
WHERE roleid = %(owner)s::regrole AND member = current_user::regrole AND grantor = current_user::regrole;

-- name: join_owner
GRANT oneoff_owner TO CURRENT_USER;

-- name: leave_owner
REVOKE oneoff_owner FROM CURRENT_USER;

-- name: become_owner
SET LOCAL ROLE oneoff_owner;

-- name: be_oneself
RESET ROLE;

-- name: has_store
SELECT EXISTS (
    SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'oneoff' AND c.relname = 'store_version'
);

-- name: version
SELECT version, oldest_client FROM oneoff.store_version;

-- name: after_pre
INSERT INTO oneoff.store_version (id, version, oldest_client) VALUES (1, %(version)s, 1)
ON CONFLICT (id) DO UPDATE SET version = excluded.version;

-- name: after_post
UPDATE oneoff.store_version SET oldest_client = %(version)s;

-- name: set_retention
UPDATE oneoff.store_version SET retention_days = %(days)s;

-- Every function may be called by everybody until that is taken back.
-- name: revoke_from_public
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA oneoff FROM PUBLIC;

-- name: functions
SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'oneoff'::regnamespace AND prosecdef ORDER BY 1;

-- Every role that was let in, and whether to write or only to read.
-- name: roles
SELECT pg_get_userbyid(acl.grantee)::text,
       EXISTS (
           SELECT FROM pg_proc, aclexplode(proacl) AS granted
           WHERE pronamespace = pg_namespace.oid AND prosecdef AND granted.grantee = acl.grantee
       )
FROM pg_namespace, aclexplode(nspacl) AS acl
WHERE nspname = 'oneoff' AND acl.privilege_type = 'USAGE' AND acl.grantee NOT IN (0, nspowner)
ORDER BY 1;
