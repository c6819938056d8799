-- The same tables as in ../../postgres, where the choices are explained; a test compares the two.

CREATE TABLE tenants (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    name VARCHAR(255) NOT NULL CHECK (name <> ''),
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL
);

CREATE TABLE users (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    name VARCHAR(255) NOT NULL CHECK (name <> ''),
    email VARCHAR(255) NOT NULL UNIQUE CHECK (email <> ''),
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL
);
CREATE INDEX users_tenant_id_index ON users (tenant_id);

-- Laravel Sanctum's table, column for column: tokens made by either side verify on the other.
CREATE TABLE personal_access_tokens (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    tokenable_type VARCHAR(255) NOT NULL,
    tokenable_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    token VARCHAR(64) NOT NULL UNIQUE,
    abilities TEXT,
    last_used_at TIMESTAMP,
    expires_at TIMESTAMP,
    created_at TIMESTAMP,
    updated_at TIMESTAMP
);
CREATE INDEX personal_access_tokens_tokenable_type_tokenable_id_index
    ON personal_access_tokens (tokenable_type, tokenable_id);
CREATE INDEX personal_access_tokens_expires_at_index ON personal_access_tokens (expires_at);

CREATE TABLE categories (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    name VARCHAR(255) NOT NULL CHECK (name <> ''),
    slug VARCHAR(255) NOT NULL CHECK (slug <> ''),
    description TEXT,
    icon VARCHAR(255),
    is_active BOOLEAN NOT NULL DEFAULT TRUE,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    UNIQUE (tenant_id, name),
    UNIQUE (tenant_id, slug),
    UNIQUE (tenant_id, id)
);

CREATE TABLE products (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    category_id BIGINT,
    name VARCHAR(255) NOT NULL CHECK (name <> ''),
    description TEXT,
    sku VARCHAR(50) NOT NULL CHECK (sku <> ''),
    barcode VARCHAR(50) CHECK (barcode <> ''),
    price BIGINT NOT NULL CHECK (price >= 0),
    cost BIGINT CHECK (cost >= 0),
    currency VARCHAR(3) NOT NULL DEFAULT 'PHP' CHECK (length(currency) = 3),
    unit VARCHAR(20) NOT NULL DEFAULT 'pc' CHECK (unit <> ''),
    stock BIGINT NOT NULL DEFAULT 0 CHECK (stock >= 0),
    min_stock BIGINT NOT NULL DEFAULT 0 CHECK (min_stock >= 0),
    max_stock BIGINT CHECK (max_stock >= 0),
    image VARCHAR(2048),
    is_active BOOLEAN NOT NULL DEFAULT TRUE,
    is_ecommerce BOOLEAN NOT NULL DEFAULT FALSE,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    deleted_at TIMESTAMP,
    UNIQUE (tenant_id, id),
    -- A category of another tenant cannot be referred to.
    FOREIGN KEY (tenant_id, category_id) REFERENCES categories (tenant_id, id)
);
-- A deleted product gives its sku and barcode back.
CREATE UNIQUE INDEX products_tenant_sku_unique ON products (tenant_id, sku) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX products_tenant_barcode_unique ON products (tenant_id, barcode) WHERE deleted_at IS NULL;
CREATE INDEX products_tenant_category_index ON products (tenant_id, category_id);

CREATE TABLE orders (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    user_id BIGINT NOT NULL REFERENCES users (id),
    customer_name VARCHAR(255),
    order_number VARCHAR(50) NOT NULL CHECK (order_number <> ''),
    ordered_at TIMESTAMP NOT NULL,
    status VARCHAR(20) NOT NULL CHECK (status IN ('pending', 'processing', 'completed', 'cancelled')),
    items_count BIGINT NOT NULL CHECK (items_count > 0),
    total BIGINT NOT NULL CHECK (total >= 0),
    currency VARCHAR(3) NOT NULL CHECK (length(currency) = 3),
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    UNIQUE (tenant_id, order_number),
    UNIQUE (tenant_id, id)
);
CREATE INDEX orders_tenant_ordered_at_index ON orders (tenant_id, ordered_at);

CREATE TABLE order_items (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    tenant_id BIGINT NOT NULL,
    order_id BIGINT NOT NULL,
    product_id BIGINT NOT NULL,
    quantity BIGINT NOT NULL CHECK (quantity > 0),
    unit_price BIGINT NOT NULL CHECK (unit_price >= 0),
    line_total BIGINT NOT NULL CHECK (line_total = quantity * unit_price),
    FOREIGN KEY (tenant_id, order_id) REFERENCES orders (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, product_id) REFERENCES products (tenant_id, id)
);
CREATE INDEX order_items_order_id_index ON order_items (order_id);
CREATE INDEX order_items_product_id_index ON order_items (product_id);

CREATE TABLE events (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    message_id VARCHAR(40) NOT NULL UNIQUE,
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    name VARCHAR(200) NOT NULL CHECK (name <> ''),
    channel VARCHAR(200) NOT NULL CHECK (channel <> ''),
    data TEXT NOT NULL,
    socket_id VARCHAR(21),
    created_at TIMESTAMP NOT NULL
);
CREATE INDEX events_tenant_id_index ON events (tenant_id, id);
CREATE INDEX events_created_at_index ON events (created_at);

CREATE TABLE webhooks (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    name VARCHAR(255) NOT NULL,
    url VARCHAR(2048) NOT NULL CHECK (url <> ''),
    secret VARCHAR(255) NOT NULL CHECK (secret <> ''),
    events TEXT NOT NULL,
    is_active BOOLEAN NOT NULL DEFAULT TRUE,
    max_retries INTEGER NOT NULL DEFAULT 5 CHECK (max_retries BETWEEN 0 AND 5),
    -- Percent of the fixed schedule: 100 = 60, 300, 900, 3600, 7200 s.
    retry_delay INTEGER NOT NULL DEFAULT 100 CHECK (retry_delay BETWEEN 1 AND 1000),
    timeout_ms INTEGER NOT NULL DEFAULT 5000 CHECK (timeout_ms BETWEEN 100 AND 30000),
    last_triggered_at TIMESTAMP,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    UNIQUE (tenant_id, id)
);
CREATE INDEX webhooks_tenant_active_index ON webhooks (tenant_id, is_active);

CREATE TABLE webhook_deliveries (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    webhook_id BIGINT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    event_id BIGINT NOT NULL REFERENCES events (id),
    status VARCHAR(20) NOT NULL CHECK (status IN ('pending', 'delivered', 'failed')),
    attempts INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    due_at TIMESTAMP NOT NULL,
    -- Who is sending it just now, and until when nobody else may.
    lease_owner VARCHAR(40),
    lease_until TIMESTAMP,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    CHECK ((lease_owner IS NULL) = (lease_until IS NULL)),
    UNIQUE (webhook_id, event_id)
);
CREATE INDEX webhook_deliveries_due_index ON webhook_deliveries (webhook_id, due_at) WHERE status = 'pending';
CREATE INDEX webhook_deliveries_event_index ON webhook_deliveries (event_id);

CREATE TABLE webhook_delivery_logs (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    webhook_id BIGINT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    delivery_id BIGINT NOT NULL REFERENCES webhook_deliveries (id) ON DELETE CASCADE,
    event_type VARCHAR(200) NOT NULL,
    attempt_number INTEGER NOT NULL CHECK (attempt_number > 0),
    -- 'ok', or the class of the failure: timeout, connect, tls, dns, http, blocked, …
    outcome VARCHAR(40) NOT NULL,
    response_status INTEGER,
    response_body TEXT,
    error TEXT,
    duration_ms BIGINT NOT NULL CHECK (duration_ms >= 0),
    -- When the endpoint accepted it; null for a failed attempt.
    delivered_at TIMESTAMP,
    created_at TIMESTAMP NOT NULL
);
CREATE INDEX webhook_delivery_logs_delivery_index ON webhook_delivery_logs (delivery_id);
CREATE INDEX webhook_delivery_logs_webhook_index ON webhook_delivery_logs (webhook_id, created_at);

CREATE TABLE idempotency_keys (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    user_id BIGINT NOT NULL REFERENCES users (id),
    key VARCHAR(255) NOT NULL CHECK (key <> ''),
    -- SHA-256 of method, path and body: the same key with another request is refused.
    fingerprint VARCHAR(64) NOT NULL,
    status INTEGER NOT NULL,
    body TEXT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    UNIQUE (user_id, key)
);
CREATE INDEX idempotency_keys_created_at_index ON idempotency_keys (created_at);
