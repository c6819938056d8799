//! Which tables a statement may name together, and which refer to which.

use super::{
    categories, event_subscriptions, events, idempotency_keys, in_app_notifications, notification_cursors,
    notification_digests, notification_fan_outs, notification_log, notification_template_versions,
    notification_templates, order_items, orders, pending_digest_notifications, personal_access_tokens,
    products, scheduled_notifications, scheduler_runs, tenants, user_notification_preferences, users,
    webhook_breakers, webhook_deliveries, webhook_delivery_logs, webhook_stats, webhooks,
};
use diesel::{allow_tables_to_appear_in_same_query, joinable};

joinable!(users -> tenants (tenant_id));
joinable!(order_items -> orders (order_id));
joinable!(webhook_deliveries -> webhooks (webhook_id));
joinable!(webhook_deliveries -> events (event_id));
joinable!(notification_template_versions -> notification_templates (template_id));
joinable!(pending_digest_notifications -> notification_digests (digest_id));
allow_tables_to_appear_in_same_query!(
    tenants,
    users,
    personal_access_tokens,
    categories,
    products,
    orders,
    order_items,
    events,
    webhooks,
    webhook_deliveries,
    webhook_delivery_logs,
    webhook_breakers,
    webhook_stats,
    idempotency_keys,
    notification_templates,
    notification_template_versions,
    scheduled_notifications,
    in_app_notifications,
    notification_log,
    user_notification_preferences,
    event_subscriptions,
    notification_digests,
    pending_digest_notifications,
    scheduler_runs,
    notification_cursors,
    notification_fan_outs,
);
