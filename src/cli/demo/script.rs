//! What the demo prints: what there is, and commands to paste.

use super::sample::{Change, Sample};
use crate::config::App;
use serde_json::{Value, json};
use std::net::SocketAddr;

/// Everything that the commands name.
pub(super) struct Script {
    pub(super) server: SocketAddr,
    pub(super) app: App,
    pub(super) sample: Sample,
    pub(super) webhook: String,
}

impl Script {
    /// For scripts.
    pub(super) fn json(&self) -> Value {
        let (app, sample) = (&self.app, &self.sample);
        json!({
            "url": format!("http://{}", self.server),
            "app": {"id": app.id, "key": app.key, "secret": app.secret.expose()},
            "tenant": sample.tenant,
            "user": sample.user,
            "token": sample.token.expose(),
            "product": sample.product,
            "webhook": {"url": self.webhook, "secret": sample.webhook_secret.expose()},
        })
    }

    /// For people; `bright` marks what is to be seen first.
    pub(super) fn text(&self, bright: bool) -> String {
        let title = |text: &str| if bright { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() };
        let (server, app, sample) = (self.server, &self.app, &self.sample);
        format!(
            "\n{}  everything in this process, on sample data that goes when you press Ctrl-C\n\n  \
             server    http://{server}\n  \
             shop      Corner Shop (tenant {tenant}), user Ana ({user}), 3 categories, 8 products\n  \
             token     {token}\n  \
             app       id {id}, key {key}, secret {secret}\n  \
             webhook   {webhook}, in this process; it checks both signatures\n\n\
             {}\n\n{curl}\n\n\
             {}  (Node.js; once: npm install pusher-js)\n\n{listen}\n\n\
             {}  (Ana has just changed a price)\n",
            title("bellwire demo"),
            title("Change a product"),
            title("Listen with a stock client"),
            title("What arrives at the webhook"),
            tenant = sample.tenant,
            user = sample.user,
            token = sample.token.expose(),
            id = app.id,
            key = app.key,
            secret = app.secret.expose(),
            webhook = self.webhook,
            curl = self.curl(),
            listen = self.listen(),
        )
    }

    fn curl(&self) -> String {
        let (server, token) = (self.server, self.sample.token.expose());
        format!(
            "  curl -X PATCH http://{server}/api/v1/products/{} \\\n    \
             -H 'Authorization: Bearer {token}' -H 'Content-Type: application/json' \\\n    \
             -d '{{\"stock\": 7}}'",
            self.sample.product
        )
    }

    fn listen(&self) -> String {
        let (host, port) = (self.server.ip(), self.server.port());
        format!(
            "  node -e '\n    \
             const Pusher = require(\"pusher-js\");\n    \
             const pusher = new Pusher(\"{key}\", {{\n      \
             cluster: \"\", wsHost: \"{host}\", wsPort: {port}, forceTLS: false, enabledTransports: [\"ws\"],\n      \
             channelAuthorization: {{\n        \
             endpoint: \"http://{server}/broadcasting/auth\",\n        \
             headers: {{ Authorization: \"Bearer {token}\" }},\n      \
             }},\n    \
             }});\n    \
             pusher.subscribe(\"private-tenant.{tenant}\").bind_global((event, data) => console.log(event, data));\n  '",
            key = self.app.key,
            server = self.server,
            token = self.sample.token.expose(),
            tenant = self.sample.tenant,
        )
    }

    /// The change that the demo makes itself.
    pub(super) fn first_change(&self) -> Change {
        Change {
            url: format!("http://{}/api/v1/products/{}", self.server, self.sample.product),
            token: self.sample.token.clone(),
            body: json!({"price": 39_500}),
        }
    }
}
