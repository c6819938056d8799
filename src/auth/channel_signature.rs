//! The `auth` string of a channel subscription: `KEY:HEX`, HMAC-SHA256 with the app's secret.
//! <https://pusher.com/docs/channels/library_auth_reference/auth-signatures/>

use crate::config::App;
use crate::domain::{ChannelName, SocketId};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// Signs a subscription of `socket` to `channel`. `channel_data`, where there is some, is always signed with
/// it, on private channels too, as the server libraries do.
pub fn sign(app: &App, socket: SocketId, channel: &ChannelName, channel_data: Option<&str>) -> String {
    let mut text = format!("{socket}:{channel}");
    if let Some(data) = channel_data {
        text.push(':');
        text.push_str(data);
    }
    format!("{}:{}", app.key, hmac_hex(app.secret.expose(), &text))
}

/// Whether `auth` is the app's signature over exactly this socket, channel and data.
pub fn verify(
    app: &App,
    auth: &str,
    socket: SocketId,
    channel: &ChannelName,
    channel_data: Option<&str>,
) -> bool {
    let expected = sign(app, socket, channel, channel_data);
    expected.as_bytes().ct_eq(auth.as_bytes()).into()
}

/// Hex HMAC-SHA256, the one signature of the Pusher protocol.
pub(super) fn hmac_hex(secret: &str, text: &str) -> String {
    hmac_hex_of(secret, [text])
}

/// The same of a text in parts, which need not be put together for it.
pub(super) fn hmac_hex_of<'a>(secret: &str, parts: impl IntoIterator<Item = &'a str>) -> String {
    // HMAC takes a key of any length; there is no error to have.
    Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map_or_else(
        |_| String::new(),
        |mut mac| {
            parts.into_iter().for_each(|part| mac.update(part.as_bytes()));
            hex::encode(mac.finalize().into_bytes())
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Secret;
    use proptest::prelude::*;

    fn app() -> App {
        App::new("1", "278d425bdf160c739803", Secret::new("7ad3773142a6692b25b8"))
    }

    fn channel(name: &str) -> ChannelName {
        ChannelName::parse(name).unwrap()
    }

    /// The vectors of the documentation.
    #[test]
    fn the_documented_signatures_are_made() {
        let socket = "1234.1234".parse().unwrap();
        assert_eq!(
            sign(&app(), socket, &channel("private-foobar"), None),
            "278d425bdf160c739803:58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4"
        );
        let data = r#"{"user_id":10,"user_info":{"name":"Mr. Channels"}}"#;
        assert_eq!(
            sign(&app(), socket, &channel("presence-foobar"), Some(data)),
            "278d425bdf160c739803:31935e7d86dba64c2a90aed31fdc61869f9b22ba9d8863bba239c03ca481bc80"
        );
    }

    #[test]
    fn a_signature_fits_one_socket_one_channel_one_key_and_its_data() {
        let (app, socket) = (app(), "1.2".parse().unwrap());
        let good = sign(&app, socket, &channel("private-a"), None);
        assert!(verify(&app, &good, socket, &channel("private-a"), None));
        assert!(!verify(&app, &good, "1.3".parse().unwrap(), &channel("private-a"), None));
        assert!(!verify(&app, &good, socket, &channel("private-b"), None));
        assert!(!verify(&app, &good, socket, &channel("private-a"), Some("{}")));
        assert!(!verify(&app, &good.replace("278d", "278e"), socket, &channel("private-a"), None));
        assert!(!verify(
            &App { secret: Secret::new("other"), ..app },
            &good,
            socket,
            &channel("private-a"),
            None
        ));
    }

    proptest! {
        #[test]
        fn no_forgery_is_accepted(auth in "[0-9a-f:]{0,90}") {
            prop_assert!(!verify(&app(), &auth, SocketId::from_bits(1), &channel("private-a"), None));
        }
    }
}
