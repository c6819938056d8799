-- Retention asks for the last of the old events; of many that were written in one instant it would else sort all.
DROP INDEX events_created_at_index;
CREATE INDEX events_created_at_index ON events (created_at, id);
