//! The families of `GET /metrics`: name, type and help of each, in the order of the page.
//!
//! Left out: what their samples are, and which have labels (`metrics`).

/// Every family: its name, its type and its help.
pub(super) const FAMILIES: &[(&str, &str, &str)] = &[
    ("webhooksd_build_info", "gauge", "The version that runs."),
    (
        "webhooksd_start_time_seconds",
        "gauge",
        "When the daemon started, UNIX seconds.",
    ),
    (
        "webhooksd_healthy",
        "gauge",
        "1 while the pipeline makes progress.",
    ),
    (
        "webhooksd_events_taken_total",
        "counter",
        "Events taken from the outbox.",
    ),
    (
        "webhooksd_events_rejected_total",
        "counter",
        "Rows of the outbox set aside.",
    ),
    (
        "webhooksd_filtered_total",
        "counter",
        "Deliveries not made because of their webhook's where.",
    ),
    (
        "webhooksd_outbox_lag",
        "gauge",
        "Rows of the outbox that were not taken yet.",
    ),
    (
        "webhooksd_outbox_bytes",
        "gauge",
        "Size of the outbox and its WAL.",
    ),
    (
        "webhooksd_attempts_total",
        "counter",
        "Attempts by outcome.",
    ),
    (
        "webhooksd_attempt_duration_seconds",
        "histogram",
        "Duration of attempts.",
    ),
    (
        "webhooksd_batches_total",
        "counter",
        "Requests that had several events, or one in an array.",
    ),
    (
        "webhooksd_in_flight",
        "gauge",
        "Requests in flight by webhook.",
    ),
    (
        "webhooksd_requests_in_flight",
        "gauge",
        "Requests in flight in all.",
    ),
    ("webhooksd_queued", "gauge", "Deliveries queued in memory."),
    (
        "webhooksd_max_per_second",
        "gauge",
        "Requests that may begin in a second.",
    ),
    (
        "webhooksd_held_until_seconds",
        "gauge",
        "Until when the endpoint asked to wait by Retry-After, UNIX seconds.",
    ),
    (
        "webhooksd_pending",
        "gauge",
        "Pending deliveries in the log.",
    ),
    (
        "webhooksd_held",
        "gauge",
        "Pending deliveries that wait for their turn.",
    ),
    ("webhooksd_holding", "gauge", "Deliveries that hold lines."),
    (
        "webhooksd_holding_since_seconds",
        "gauge",
        "Since when the oldest of those does, UNIX seconds.",
    ),
    (
        "webhooksd_oldest_pending_seconds",
        "gauge",
        "Age of the pending delivery that is due first.",
    ),
    (
        "webhooksd_webhook_paused",
        "gauge",
        "1 while the webhook is paused.",
    ),
    (
        "webhooksd_unrecorded",
        "gauge",
        "Results that wait for the log.",
    ),
    (
        "webhooksd_log_commit_seconds",
        "summary",
        "Transactions of results.",
    ),
    (
        "webhooksd_log_bytes",
        "gauge",
        "Size of the log and its WAL.",
    ),
    (
        "webhooksd_log_max_bytes",
        "gauge",
        "Size that the log and its WAL are kept below.",
    ),
    (
        "webhooksd_log_deleted_early_total",
        "counter",
        "Deliveries and rows set aside that were deleted before their days were over.",
    ),
    (
        "webhooksd_intake_waits_for_room",
        "gauge",
        "1 while events wait in the outbox for room in the log.",
    ),
    (
        "webhooksd_nodes",
        "gauge",
        "Nodes of a log in PostgreSQL, as this one sees them.",
    ),
    (
        "webhooksd_lanes_owned",
        "gauge",
        "Webhooks that this node sends for.",
    ),
    (
        "webhooksd_log_wal_held_bytes",
        "gauge",
        "Length of the log's WAL while a reader keeps it from starting over, else 0.",
    ),
    (
        "webhooksd_config_reloads_total",
        "counter",
        "Configurations taken in or refused.",
    ),
    (
        "webhooksd_config_reload_failures_total",
        "counter",
        "Configurations refused.",
    ),
    (
        "webhooksd_config_last_reload_failed",
        "gauge",
        "1 where the last reload was refused.",
    ),
    (
        "webhooksd_faults_total",
        "counter",
        "Attempts that this machine could not make.",
    ),
    (
        "webhooksd_socket_connections",
        "gauge",
        "Connections of local clients and scrapers.",
    ),
    (
        "webhooksd_socket_evictions_total",
        "counter",
        "Connections let go for others.",
    ),
    (
        "webhooksd_socket_events_total",
        "counter",
        "Events that came over the socket.",
    ),
];
