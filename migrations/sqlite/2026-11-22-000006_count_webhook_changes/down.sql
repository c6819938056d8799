ALTER TABLE webhooks DROP COLUMN revision;
