-- How far the clients of a channel had come, noted while they are there, so that those who come back after a
-- restart get what they missed. One row a channel; what stands in it is read only for a few minutes.
CREATE TABLE channel_positions (
    app_id VARCHAR(255) NOT NULL,
    channel VARCHAR(200) NOT NULL,
    positions TEXT NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    PRIMARY KEY (app_id, channel)
);

-- The past of a channel is read from its end.
CREATE INDEX events_channel_id_index ON events (channel, id);
