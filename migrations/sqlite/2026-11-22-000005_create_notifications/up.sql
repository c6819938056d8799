-- The same columns and tables as in ../../postgres, where the choices are explained; a test compares the two.

ALTER TABLE tenants ADD COLUMN timezone VARCHAR(64) NOT NULL DEFAULT 'UTC';
ALTER TABLE tenants ADD COLUMN locale VARCHAR(35) NOT NULL DEFAULT 'en';
ALTER TABLE users ADD COLUMN role VARCHAR(50);
ALTER TABLE users ADD COLUMN timezone VARCHAR(64);
ALTER TABLE users ADD COLUMN locale VARCHAR(35);
CREATE UNIQUE INDEX users_tenant_id_unique ON users (tenant_id, id);
CREATE INDEX users_tenant_role_index ON users (tenant_id, role, id);

CREATE TABLE notification_templates (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    tenant_id BIGINT REFERENCES tenants (id),
    code VARCHAR(100) NOT NULL CHECK (code <> ''),
    locale VARCHAR(35) NOT NULL DEFAULT 'en',
    name VARCHAR(255) NOT NULL CHECK (name <> ''),
    template_type VARCHAR(20) NOT NULL CHECK (template_type IN ('email', 'in_app', 'webhook')),
    is_active BOOLEAN NOT NULL DEFAULT TRUE,
    version INTEGER NOT NULL DEFAULT 1 CHECK (version > 0),
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    deleted_at TIMESTAMP
);
CREATE INDEX notification_templates_deleted_index
    ON notification_templates (deleted_at, id) WHERE deleted_at IS NOT NULL;
CREATE UNIQUE INDEX notification_templates_code_unique
    ON notification_templates (COALESCE(tenant_id, 0), code, locale) WHERE deleted_at IS NULL;

CREATE TABLE notification_template_versions (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    template_id BIGINT NOT NULL REFERENCES notification_templates (id) ON DELETE CASCADE,
    version INTEGER NOT NULL CHECK (version > 0),
    title TEXT NOT NULL,
    subject TEXT,
    body_text TEXT NOT NULL,
    body_html TEXT,
    variables JSON NOT NULL,
    created_at TIMESTAMP NOT NULL,
    UNIQUE (template_id, version)
);

CREATE TABLE scheduled_notifications (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    recipient_type VARCHAR(20) NOT NULL DEFAULT 'user' CHECK (recipient_type = 'user'),
    recipient_id BIGINT NOT NULL,
    notification_type VARCHAR(100) NOT NULL CHECK (notification_type <> ''),
    notification_template_id BIGINT REFERENCES notification_templates (id),
    template_version INTEGER,
    title VARCHAR(255),
    body TEXT,
    payload TEXT NOT NULL,
    priority VARCHAR(10) NOT NULL CHECK (priority IN ('critical', 'high', 'normal', 'low')),
    scheduled_at TIMESTAMP NOT NULL,
    due_at TIMESTAMP NOT NULL,
    reason VARCHAR(30) NOT NULL,
    recurrence VARCHAR(100),
    series_id BIGINT,
    status VARCHAR(10) NOT NULL CHECK (status IN ('pending', 'delivered', 'failed', 'cancelled')),
    attempts INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    next_attempt_at TIMESTAMP NOT NULL,
    claim_token VARCHAR(40),
    last_error TEXT,
    delivered_at TIMESTAMP,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    CHECK ((notification_template_id IS NULL) = (template_version IS NULL)),
    CHECK ((notification_template_id IS NULL) = (title IS NOT NULL AND body IS NOT NULL)),
    UNIQUE (series_id, scheduled_at),
    FOREIGN KEY (tenant_id, recipient_id) REFERENCES users (tenant_id, id)
);
CREATE INDEX scheduled_notifications_next_index
    ON scheduled_notifications (next_attempt_at, id) WHERE status = 'pending';
CREATE INDEX scheduled_notifications_tenant_next_index
    ON scheduled_notifications (tenant_id, next_attempt_at, id) WHERE status = 'pending';
CREATE INDEX scheduled_notifications_critical_index
    ON scheduled_notifications (next_attempt_at, id) WHERE status = 'pending' AND priority = 'critical';
CREATE INDEX scheduled_notifications_recipient_index ON scheduled_notifications (tenant_id, recipient_id, id);
CREATE INDEX scheduled_notifications_tenant_status_index ON scheduled_notifications (tenant_id, status, id);
CREATE INDEX scheduled_notifications_template_index
    ON scheduled_notifications (notification_template_id) WHERE notification_template_id IS NOT NULL;
CREATE INDEX scheduled_notifications_ended_index
    ON scheduled_notifications (updated_at, id) WHERE status <> 'pending';

CREATE TABLE in_app_notifications (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    user_id BIGINT NOT NULL,
    notification_type VARCHAR(100) NOT NULL CHECK (notification_type <> ''),
    title VARCHAR(255) NOT NULL,
    message TEXT NOT NULL,
    action_url VARCHAR(2048),
    action_label VARCHAR(100),
    icon VARCHAR(50),
    priority VARCHAR(10) NOT NULL CHECK (priority IN ('critical', 'high', 'normal', 'low')),
    data TEXT,
    read_at TIMESTAMP,
    was_read BOOLEAN NOT NULL DEFAULT FALSE,
    archived_at TIMESTAMP,
    expires_at TIMESTAMP,
    scheduled_id BIGINT UNIQUE,
    created_at TIMESTAMP NOT NULL,
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id)
);
CREATE INDEX in_app_notifications_user_index ON in_app_notifications (tenant_id, user_id, id);
CREATE INDEX in_app_notifications_unread_index
    ON in_app_notifications (tenant_id, user_id, id, expires_at, read_at, archived_at)
    WHERE read_at IS NULL AND archived_at IS NULL;
CREATE INDEX in_app_notifications_archived_index
    ON in_app_notifications (tenant_id, user_id, id) WHERE archived_at IS NOT NULL;
CREATE INDEX in_app_notifications_expires_index
    ON in_app_notifications (expires_at, id) WHERE expires_at IS NOT NULL;

CREATE TABLE notification_log (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    user_id BIGINT NOT NULL,
    notification_type VARCHAR(100) NOT NULL CHECK (notification_type <> ''),
    channel VARCHAR(20) NOT NULL CHECK (channel IN ('in_app', 'webhook', 'email')),
    recipient VARCHAR(255),
    subject VARCHAR(255),
    body TEXT NOT NULL,
    body_html TEXT,
    priority VARCHAR(10) NOT NULL CHECK (priority IN ('critical', 'high', 'normal', 'low')),
    status VARCHAR(10) NOT NULL CHECK (status IN ('pending', 'sent', 'delivered', 'failed', 'bounced')),
    reason VARCHAR(30),
    attempts INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    error_message TEXT,
    payload TEXT,
    external_id VARCHAR(255),
    in_app_id BIGINT,
    scheduled_id BIGINT,
    digest_id BIGINT,
    next_attempt_at TIMESTAMP NOT NULL,
    claim_token VARCHAR(40),
    sent_at TIMESTAMP,
    delivered_at TIMESTAMP,
    read_at TIMESTAMP,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    UNIQUE (scheduled_id, channel),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id)
);
CREATE INDEX notification_log_next_index
    ON notification_log (channel, next_attempt_at, id) WHERE status = 'pending';
CREATE INDEX notification_log_sent_index
    ON notification_log (next_attempt_at, id) WHERE status = 'sent' AND channel = 'webhook' AND digest_id IS NULL;
CREATE INDEX notification_log_digest_index ON notification_log (digest_id) WHERE digest_id IS NOT NULL;
CREATE INDEX notification_log_user_index ON notification_log (tenant_id, user_id, id);
CREATE INDEX notification_log_tenant_index ON notification_log (tenant_id, id);
CREATE INDEX notification_log_in_app_index ON notification_log (in_app_id) WHERE in_app_id IS NOT NULL;
CREATE INDEX notification_log_created_at_index ON notification_log (created_at, id);

CREATE TABLE user_notification_preferences (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    user_id BIGINT,
    channel_type VARCHAR(20) NOT NULL DEFAULT '' CHECK (channel_type IN ('', 'in_app', 'webhook', 'email')),
    notification_type VARCHAR(100) NOT NULL DEFAULT '',
    is_enabled BOOLEAN,
    digest_frequency VARCHAR(10) CHECK (digest_frequency IN ('off', 'hourly', 'daily', 'weekly')),
    quiet_from INTEGER CHECK (quiet_from BETWEEN 0 AND 1439),
    quiet_until INTEGER CHECK (quiet_until BETWEEN 0 AND 1439),
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    CHECK ((quiet_from IS NULL) = (quiet_until IS NULL)),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id)
);
CREATE UNIQUE INDEX user_notification_preferences_unique
    ON user_notification_preferences (tenant_id, COALESCE(user_id, 0), channel_type, notification_type);
CREATE INDEX user_notification_preferences_user_index ON user_notification_preferences (tenant_id, user_id);

CREATE TABLE event_subscriptions (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    user_id BIGINT NOT NULL,
    event_type VARCHAR(200) NOT NULL CHECK (event_type <> ''),
    notification_channels JSON NOT NULL,
    is_active BOOLEAN NOT NULL DEFAULT TRUE,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    UNIQUE (tenant_id, user_id, event_type),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id)
);
CREATE INDEX event_subscriptions_active_index ON event_subscriptions (tenant_id, event_type) WHERE is_active;

CREATE TABLE notification_digests (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    user_id BIGINT NOT NULL,
    channel_type VARCHAR(20) NOT NULL CHECK (channel_type IN ('in_app', 'webhook', 'email')),
    frequency VARCHAR(10) NOT NULL CHECK (frequency IN ('hourly', 'daily', 'weekly')),
    due_at TIMESTAMP NOT NULL,
    status VARCHAR(10) NOT NULL CHECK (status IN ('pending', 'delivered', 'failed')),
    attempts INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    next_attempt_at TIMESTAMP NOT NULL,
    claim_token VARCHAR(40),
    last_error TEXT,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    UNIQUE (tenant_id, user_id, channel_type, frequency, due_at),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id)
);
CREATE INDEX notification_digests_next_index
    ON notification_digests (next_attempt_at, id) WHERE status = 'pending';
CREATE INDEX notification_digests_ended_index
    ON notification_digests (updated_at, id) WHERE status <> 'pending';

CREATE TABLE pending_digest_notifications (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    digest_id BIGINT NOT NULL REFERENCES notification_digests (id) ON DELETE CASCADE,
    notification_type VARCHAR(100) NOT NULL,
    title VARCHAR(255) NOT NULL,
    body TEXT NOT NULL,
    payload TEXT,
    expires_at TIMESTAMP,
    created_at TIMESTAMP NOT NULL
);
CREATE INDEX pending_digest_notifications_digest_index ON pending_digest_notifications (digest_id, id);

CREATE TABLE notification_engagement (
    tenant_id BIGINT NOT NULL,
    user_id BIGINT NOT NULL,
    hour INTEGER NOT NULL CHECK (hour BETWEEN 0 AND 23),
    sent DOUBLE PRECISION NOT NULL CHECK (sent >= 0),
    read DOUBLE PRECISION NOT NULL CHECK (read >= 0),
    waited DOUBLE PRECISION NOT NULL CHECK (waited >= 0),
    late DOUBLE PRECISION NOT NULL CHECK (late >= 0),
    PRIMARY KEY (tenant_id, user_id, hour),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id)
);

CREATE TABLE notification_engagement_totals (
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    hour INTEGER NOT NULL CHECK (hour BETWEEN 0 AND 23),
    part INTEGER NOT NULL,
    sent DOUBLE PRECISION NOT NULL CHECK (sent >= 0),
    read DOUBLE PRECISION NOT NULL CHECK (read >= 0),
    PRIMARY KEY (tenant_id, hour, part)
);

CREATE TABLE scheduler_runs (
    task VARCHAR(60) NOT NULL,
    run_at TIMESTAMP NOT NULL,
    node VARCHAR(40) NOT NULL,
    started_at TIMESTAMP NOT NULL,
    finished_at TIMESTAMP,
    error_message TEXT,
    outcome TEXT,
    PRIMARY KEY (task, run_at)
);

CREATE TABLE notification_cursors (
    name VARCHAR(60) NOT NULL PRIMARY KEY,
    event_id BIGINT NOT NULL,
    user_id BIGINT NOT NULL DEFAULT 0,
    updated_at TIMESTAMP NOT NULL
);

CREATE TABLE notification_fan_outs (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    role VARCHAR(50),
    request TEXT NOT NULL,
    wordings TEXT,
    after_user_id BIGINT NOT NULL DEFAULT 0,
    status VARCHAR(10) NOT NULL CHECK (status IN ('pending', 'delivered', 'failed')),
    sent BIGINT NOT NULL DEFAULT 0 CHECK (sent >= 0),
    skipped BIGINT NOT NULL DEFAULT 0 CHECK (skipped >= 0),
    failed BIGINT NOT NULL DEFAULT 0 CHECK (failed >= 0),
    attempts INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    next_attempt_at TIMESTAMP NOT NULL,
    last_error TEXT,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL
);
CREATE INDEX notification_fan_outs_next_index
    ON notification_fan_outs (next_attempt_at, id) WHERE status = 'pending';
CREATE INDEX notification_fan_outs_ended_index
    ON notification_fan_outs (updated_at, id) WHERE status <> 'pending';
CREATE INDEX notification_fan_outs_tenant_index ON notification_fan_outs (tenant_id, id);
