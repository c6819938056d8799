DROP INDEX events_created_at_index;
CREATE INDEX events_created_at_index ON events (created_at);
