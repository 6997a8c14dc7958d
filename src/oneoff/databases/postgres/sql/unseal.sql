-- Takes the row out again so that only the task's own deferred constraints are checked; then everything goes.
DELETE FROM pg_temp._oneoff_seal;
SET CONSTRAINTS ALL IMMEDIATE
