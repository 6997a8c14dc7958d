-- Whether a setting has another value in this session, or is not known at all.
SELECT current_setting($1, true) IS DISTINCT FROM $2 AS other
