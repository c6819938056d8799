-- PostgreSQL alone needs it: every index of SQLite ends with the row's id.
SELECT 1;
