DROP INDEX events_channel_id_index;
DROP TABLE channel_positions;
