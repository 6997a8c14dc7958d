-- The Merkle tree in SQLite. Each block is one statement, loaded by its name.

-- A place is [level, position]; level 0 stands beside the events, and that of pruned ones with the others.
-- name: select_hashes
SELECT 0, seq, leaf
FROM json_each(:places) AS place
JOIN audit_event ON seq = json_extract(place.value, '$[1]')
WHERE json_extract(place.value, '$[0]') = 0
UNION ALL
SELECT level, position, hash
FROM json_each(:places) AS place
JOIN audit_node ON level = json_extract(place.value, '$[0]') AND position = json_extract(place.value, '$[1]');

-- name: select_leaves_between
SELECT seq, leaf FROM audit_event WHERE seq BETWEEN :first AND :last;

-- name: select_nodes_between
SELECT position, hash FROM audit_node WHERE level = :level AND position BETWEEN :first AND :last;

-- name: insert_node
INSERT INTO audit_node (level, position, hash) VALUES (:level, :position, :hash);

-- name: select_leaves
SELECT seq, leaf FROM audit_event ORDER BY seq;
