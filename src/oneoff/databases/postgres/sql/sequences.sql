-- How far every sequence has come, NULL where no number was drawn yet; those that the role may not read are left
-- out. The catalogue of sequences comes first: has_sequence_privilege fails on any other relation. Looking takes a
-- lock that only somebody who alters a sequence is in the way of, and that is not worth a long wait.
SET LOCAL lock_timeout = '100ms';
SELECT c.oid::text AS oid,
       CASE n.nspname WHEN 'public' THEN c.relname ELSE n.nspname || '.' || c.relname END AS name,
       pg_sequence_last_value(c.oid)::text AS last_value
FROM pg_sequence s
JOIN pg_class c ON c.oid = s.seqrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relpersistence <> 't' AND has_sequence_privilege(s.seqrelid, 'SELECT, USAGE')
ORDER BY 2
