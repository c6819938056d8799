-- A deleted endpoint is inactive and hidden; pruning removes its deliveries, which may be millions, and then it.
ALTER TABLE webhooks ADD COLUMN deleted_at TIMESTAMP;
