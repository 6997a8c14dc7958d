-- The one read-write transaction, and in it a row that violates a deferred foreign key between two temporary
-- tables: from here on no COMMIT can succeed. Deferred constraints are checked at commit:
-- https://www.postgresql.org/docs/current/sql-set-constraints.html
BEGIN READ WRITE;
SET LOCAL idle_in_transaction_session_timeout = '900s';
CREATE TEMPORARY TABLE _oneoff_parent (id integer PRIMARY KEY) ON COMMIT DROP;
CREATE TEMPORARY TABLE _oneoff_seal (
    id integer NOT NULL REFERENCES _oneoff_parent DEFERRABLE INITIALLY DEFERRED
) ON COMMIT DROP;
INSERT INTO _oneoff_seal VALUES (1);
SAVEPOINT _oneoff_base
