//! `Channel`: the way a notification reaches its recipient.

use super::words::words;

words! {
    /// The way a notification reaches its recipient.
    Channel ("channel") {
        /// The inbox, and the user's open connections.
        InApp = "in_app",
        /// The tenant's webhook endpoints.
        Webhook = "webhook",
        /// An e-mail.
        Email = "email",
    }
}

impl Channel {
    /// Whether it calls for attention by itself. An inbox waits until somebody looks.
    pub const fn disturbs(self) -> bool {
        !matches!(self, Self::InApp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_reads_back_what_it_writes() {
        for channel in Channel::ALL {
            assert_eq!(channel.as_str().parse(), Ok(*channel));
        }
        assert!("sms".parse::<Channel>().unwrap_err().contains("in_app, webhook, email"));
    }
}
