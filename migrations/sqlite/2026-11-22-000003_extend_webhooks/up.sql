-- The same columns and tables as in ../../postgres, where the choices are explained; a test compares the two.

ALTER TABLE webhooks ADD COLUMN is_paused BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE webhooks ADD COLUMN disabled_reason VARCHAR(40);
ALTER TABLE webhooks ADD COLUMN concurrency INTEGER CHECK (concurrency BETWEEN 1 AND 100);
ALTER TABLE webhooks ADD COLUMN rate_per_minute INTEGER CHECK (rate_per_minute BETWEEN 1 AND 600000);
ALTER TABLE webhooks ADD COLUMN is_ordered BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE webhooks ADD COLUMN breaker_threshold INTEGER CHECK (breaker_threshold BETWEEN 1 AND 1000);
ALTER TABLE webhooks ADD COLUMN breaker_open_seconds INTEGER CHECK (breaker_open_seconds BETWEEN 1 AND 604800);
ALTER TABLE webhooks ADD COLUMN strategy VARCHAR(20) NOT NULL DEFAULT 'http_post'
    CHECK (strategy IN ('http_post', 'pusher_batch', 'redis_stream'));
ALTER TABLE webhooks ADD COLUMN old_secrets TEXT NOT NULL DEFAULT '[]';
ALTER TABLE webhooks ADD COLUMN signing_key VARCHAR(255);
ALTER TABLE webhooks ADD COLUMN headers TEXT;
ALTER TABLE webhooks ADD COLUMN auth TEXT;
ALTER TABLE webhooks ADD COLUMN encryption_key VARCHAR(255);

CREATE TABLE webhook_breakers (
    webhook_id BIGINT NOT NULL PRIMARY KEY REFERENCES webhooks (id) ON DELETE CASCADE,
    state VARCHAR(10) NOT NULL CHECK (state IN ('closed', 'open', 'half_open')),
    -- Attempts that failed one after another.
    failures INTEGER NOT NULL CHECK (failures >= 0),
    -- Of an open breaker: when it may be probed. Of a half-open one: when its probe counts as lost.
    until TIMESTAMP,
    -- Nothing is sent before, because the endpoint asked for a pause.
    deferred_until TIMESTAMP,
    updated_at TIMESTAMP NOT NULL,
    CHECK ((state = 'closed') = (until IS NULL))
);

ALTER TABLE webhook_deliveries ADD COLUMN attempts_before INTEGER NOT NULL DEFAULT 0 CHECK (attempts_before >= 0);
CREATE INDEX webhook_deliveries_status_index ON webhook_deliveries (webhook_id, status, id);

CREATE TABLE webhook_stats (
    webhook_id BIGINT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    period VARCHAR(6) NOT NULL CHECK (period IN ('minute', 'hour')),
    starts_at TIMESTAMP NOT NULL,
    outcome VARCHAR(40) NOT NULL,
    is_retry BOOLEAN NOT NULL,
    le_ms INTEGER NOT NULL,
    attempts BIGINT NOT NULL,
    -- Of these, the last of a delivery that was given up.
    exhausted BIGINT NOT NULL,
    duration_ms BIGINT NOT NULL,
    PRIMARY KEY (webhook_id, period, starts_at, outcome, is_retry, le_ms)
);
CREATE INDEX webhook_stats_starts_at_index ON webhook_stats (period, starts_at);
