//! The tables as diesel sees them, the same for both databases. Kept in step with `migrations/` by a test.
#![expect(missing_docs, reason = "the migrations say what each column holds")]

mod joins;

use diesel::table;

table! {
    tenants (id) {
        id -> BigInt,
        name -> Text,
        created_at -> Timestamp,
        updated_at -> Timestamp,
        timezone -> Text,
        locale -> Text,
    }
}

table! {
    users (id) {
        id -> BigInt,
        tenant_id -> BigInt,
        name -> Text,
        email -> Text,
        created_at -> Timestamp,
        updated_at -> Timestamp,
        role -> Nullable<Text>,
        timezone -> Nullable<Text>,
        locale -> Nullable<Text>,
    }
}

table! {
    personal_access_tokens (id) {
        id -> BigInt,
        tokenable_type -> Text,
        tokenable_id -> BigInt,
        name -> Text,
        token -> Text,
        abilities -> Nullable<Text>,
        last_used_at -> Nullable<Timestamp>,
        expires_at -> Nullable<Timestamp>,
        created_at -> Nullable<Timestamp>,
        updated_at -> Nullable<Timestamp>,
    }
}

table! {
    categories (id) {
        id -> BigInt,
        tenant_id -> BigInt,
        name -> Text,
        slug -> Text,
        description -> Nullable<Text>,
        icon -> Nullable<Text>,
        is_active -> Bool,
        created_at -> Timestamp,
        updated_at -> Timestamp,
    }
}

table! {
    products (id) {
        id -> BigInt,
        tenant_id -> BigInt,
        category_id -> Nullable<BigInt>,
        name -> Text,
        description -> Nullable<Text>,
        sku -> Text,
        barcode -> Nullable<Text>,
        price -> BigInt,
        cost -> Nullable<BigInt>,
        currency -> Text,
        unit -> Text,
        stock -> BigInt,
        min_stock -> BigInt,
        max_stock -> Nullable<BigInt>,
        image -> Nullable<Text>,
        is_active -> Bool,
        is_ecommerce -> Bool,
        created_at -> Timestamp,
        updated_at -> Timestamp,
        deleted_at -> Nullable<Timestamp>,
    }
}

table! {
    orders (id) {
        id -> BigInt,
        tenant_id -> BigInt,
        user_id -> BigInt,
        customer_name -> Nullable<Text>,
        order_number -> Text,
        ordered_at -> Timestamp,
        status -> Text,
        items_count -> BigInt,
        total -> BigInt,
        currency -> Text,
        created_at -> Timestamp,
        updated_at -> Timestamp,
    }
}

table! {
    order_items (id) {
        id -> BigInt,
        tenant_id -> BigInt,
        order_id -> BigInt,
        product_id -> BigInt,
        quantity -> BigInt,
        unit_price -> BigInt,
        line_total -> BigInt,
    }
}

table! {
    events (id) {
        id -> BigInt,
        message_id -> Text,
        tenant_id -> BigInt,
        name -> Text,
        channel -> Text,
        data -> Text,
        socket_id -> Nullable<Text>,
        created_at -> Timestamp,
    }
}

table! {
    webhooks (id) {
        id -> BigInt,
        tenant_id -> BigInt,
        name -> Text,
        url -> Text,
        secret -> Text,
        events -> Json,
        is_active -> Bool,
        max_retries -> Integer,
        retry_delay -> Integer,
        timeout_ms -> Integer,
        last_triggered_at -> Nullable<Timestamp>,
        created_at -> Timestamp,
        updated_at -> Timestamp,
        is_paused -> Bool,
        disabled_reason -> Nullable<Text>,
        concurrency -> Nullable<Integer>,
        rate_per_minute -> Nullable<Integer>,
        is_ordered -> Bool,
        breaker_threshold -> Nullable<Integer>,
        breaker_open_seconds -> Nullable<Integer>,
        strategy -> Text,
        old_secrets -> Text,
        signing_key -> Nullable<Text>,
        headers -> Nullable<Text>,
        auth -> Nullable<Text>,
        encryption_key -> Nullable<Text>,
        deleted_at -> Nullable<Timestamp>,
        revision -> Integer,
    }
}

table! {
    webhook_breakers (webhook_id) {
        webhook_id -> BigInt,
        state -> Text,
        failures -> Integer,
        until -> Nullable<Timestamp>,
        deferred_until -> Nullable<Timestamp>,
        updated_at -> Timestamp,
    }
}

table! {
    webhook_stats (webhook_id, period, starts_at, outcome, is_retry, le_ms) {
        webhook_id -> BigInt,
        period -> Text,
        starts_at -> Timestamp,
        outcome -> Text,
        is_retry -> Bool,
        le_ms -> Integer,
        attempts -> BigInt,
        exhausted -> BigInt,
        duration_ms -> BigInt,
    }
}

table! {
    webhook_deliveries (id) {
        id -> BigInt,
        webhook_id -> BigInt,
        event_id -> BigInt,
        status -> Text,
        attempts -> Integer,
        due_at -> Timestamp,
        lease_owner -> Nullable<Text>,
        lease_until -> Nullable<Timestamp>,
        created_at -> Timestamp,
        updated_at -> Timestamp,
        attempts_before -> Integer,
    }
}

table! {
    webhook_delivery_logs (id) {
        id -> BigInt,
        webhook_id -> BigInt,
        delivery_id -> BigInt,
        event_type -> Text,
        attempt_number -> Integer,
        outcome -> Text,
        response_status -> Nullable<Integer>,
        response_body -> Nullable<Text>,
        error -> Nullable<Text>,
        duration_ms -> BigInt,
        delivered_at -> Nullable<Timestamp>,
        created_at -> Timestamp,
    }
}

table! {
    channel_positions (app_id, channel) {
        app_id -> Text,
        channel -> Text,
        positions -> Text,
        updated_at -> Timestamp,
    }
}

table! {
    idempotency_keys (id) {
        id -> BigInt,
        tenant_id -> BigInt,
        user_id -> BigInt,
        key -> Text,
        fingerprint -> Text,
        status -> Integer,
        body -> Text,
        created_at -> Timestamp,
    }
}

table! {
    notification_templates (id) {
        id -> BigInt,
        tenant_id -> Nullable<BigInt>,
        code -> Text,
        locale -> Text,
        name -> Text,
        template_type -> Text,
        is_active -> Bool,
        version -> Integer,
        created_at -> Timestamp,
        updated_at -> Timestamp,
        deleted_at -> Nullable<Timestamp>,
    }
}

table! {
    notification_template_versions (id) {
        id -> BigInt,
        template_id -> BigInt,
        version -> Integer,
        title -> Text,
        subject -> Nullable<Text>,
        body_text -> Text,
        body_html -> Nullable<Text>,
        variables -> Json,
        created_at -> Timestamp,
    }
}

table! {
    scheduled_notifications (id) {
        id -> BigInt,
        tenant_id -> BigInt,
        recipient_type -> Text,
        recipient_id -> BigInt,
        notification_type -> Text,
        notification_template_id -> Nullable<BigInt>,
        template_version -> Nullable<Integer>,
        title -> Nullable<Text>,
        body -> Nullable<Text>,
        payload -> Text,
        priority -> Text,
        scheduled_at -> Timestamp,
        due_at -> Timestamp,
        reason -> Text,
        recurrence -> Nullable<Text>,
        series_id -> Nullable<BigInt>,
        status -> Text,
        attempts -> Integer,
        next_attempt_at -> Timestamp,
        claim_token -> Nullable<Text>,
        last_error -> Nullable<Text>,
        delivered_at -> Nullable<Timestamp>,
        created_at -> Timestamp,
        updated_at -> Timestamp,
    }
}

table! {
    in_app_notifications (id) {
        id -> BigInt,
        tenant_id -> BigInt,
        user_id -> BigInt,
        notification_type -> Text,
        title -> Text,
        message -> Text,
        action_url -> Nullable<Text>,
        action_label -> Nullable<Text>,
        icon -> Nullable<Text>,
        priority -> Text,
        data -> Nullable<Text>,
        read_at -> Nullable<Timestamp>,
        was_read -> Bool,
        archived_at -> Nullable<Timestamp>,
        expires_at -> Nullable<Timestamp>,
        scheduled_id -> Nullable<BigInt>,
        created_at -> Timestamp,
    }
}

table! {
    notification_log (id) {
        id -> BigInt,
        tenant_id -> BigInt,
        user_id -> BigInt,
        notification_type -> Text,
        channel -> Text,
        recipient -> Nullable<Text>,
        subject -> Nullable<Text>,
        body -> Text,
        body_html -> Nullable<Text>,
        priority -> Text,
        status -> Text,
        reason -> Nullable<Text>,
        attempts -> Integer,
        error_message -> Nullable<Text>,
        payload -> Nullable<Text>,
        external_id -> Nullable<Text>,
        in_app_id -> Nullable<BigInt>,
        scheduled_id -> Nullable<BigInt>,
        digest_id -> Nullable<BigInt>,
        next_attempt_at -> Timestamp,
        claim_token -> Nullable<Text>,
        sent_at -> Nullable<Timestamp>,
        delivered_at -> Nullable<Timestamp>,
        read_at -> Nullable<Timestamp>,
        created_at -> Timestamp,
        updated_at -> Timestamp,
    }
}

table! {
    user_notification_preferences (id) {
        id -> BigInt,
        tenant_id -> BigInt,
        user_id -> Nullable<BigInt>,
        channel_type -> Text,
        notification_type -> Text,
        is_enabled -> Nullable<Bool>,
        digest_frequency -> Nullable<Text>,
        quiet_from -> Nullable<Integer>,
        quiet_until -> Nullable<Integer>,
        created_at -> Timestamp,
        updated_at -> Timestamp,
    }
}

table! {
    event_subscriptions (id) {
        id -> BigInt,
        tenant_id -> BigInt,
        user_id -> BigInt,
        event_type -> Text,
        notification_channels -> Json,
        is_active -> Bool,
        created_at -> Timestamp,
        updated_at -> Timestamp,
    }
}

table! {
    notification_digests (id) {
        id -> BigInt,
        tenant_id -> BigInt,
        user_id -> BigInt,
        channel_type -> Text,
        frequency -> Text,
        due_at -> Timestamp,
        status -> Text,
        attempts -> Integer,
        next_attempt_at -> Timestamp,
        claim_token -> Nullable<Text>,
        last_error -> Nullable<Text>,
        created_at -> Timestamp,
        updated_at -> Timestamp,
    }
}

table! {
    pending_digest_notifications (id) {
        id -> BigInt,
        digest_id -> BigInt,
        notification_type -> Text,
        title -> Text,
        body -> Text,
        payload -> Nullable<Text>,
        expires_at -> Nullable<Timestamp>,
        created_at -> Timestamp,
    }
}

table! {
    notification_engagement (tenant_id, user_id, hour) {
        tenant_id -> BigInt,
        user_id -> BigInt,
        hour -> Integer,
        sent -> Double,
        read -> Double,
        waited -> Double,
        late -> Double,
    }
}

table! {
    notification_engagement_totals (tenant_id, hour, part) {
        tenant_id -> BigInt,
        hour -> Integer,
        part -> Integer,
        sent -> Double,
        read -> Double,
    }
}

table! {
    scheduler_runs (task, run_at) {
        task -> Text,
        run_at -> Timestamp,
        node -> Text,
        started_at -> Timestamp,
        finished_at -> Nullable<Timestamp>,
        error_message -> Nullable<Text>,
        outcome -> Nullable<Text>,
    }
}

table! {
    notification_cursors (name) {
        name -> Text,
        event_id -> BigInt,
        user_id -> BigInt,
        updated_at -> Timestamp,
    }
}

table! {
    notification_fan_outs (id) {
        id -> BigInt,
        tenant_id -> BigInt,
        role -> Nullable<Text>,
        request -> Text,
        wordings -> Nullable<Text>,
        after_user_id -> BigInt,
        status -> Text,
        sent -> BigInt,
        skipped -> BigInt,
        failed -> BigInt,
        attempts -> Integer,
        next_attempt_at -> Timestamp,
        last_error -> Nullable<Text>,
        created_at -> Timestamp,
        updated_at -> Timestamp,
    }
}
