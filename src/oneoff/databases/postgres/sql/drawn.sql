-- The last number that this very session drew; an error where it drew none.
SELECT currval($1::oid::regclass)
