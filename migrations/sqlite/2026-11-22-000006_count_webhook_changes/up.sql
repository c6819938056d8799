-- Grows with each change of what its owner set: whoever knows the endpoint as of a revision knows whether he still does.
ALTER TABLE webhooks ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
