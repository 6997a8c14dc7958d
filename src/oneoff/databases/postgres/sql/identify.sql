-- Whether a connection is read-only by default, and which database it is in: the start of the server and the
-- database's number are enough to tell two databases apart.
SELECT current_setting('default_transaction_read_only') AS read_only_default,
       current_setting('transaction_read_only') AS read_only_now,
       pg_postmaster_start_time()::text || ' ' || d.oid::text AS identity,
       session_user AS role,
       pg_is_in_recovery() AS takes_no_writes,
       has_database_privilege(d.oid, 'TEMP') AS may_make_temporary_tables,
       current_setting('track_counts') AS track_counts
FROM pg_database d
WHERE d.datname = current_database()
