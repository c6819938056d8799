//! The `auth` string of a sign-in: `KEY:HEX`, HMAC-SHA256 with the app's secret over the socket and the user.
//! <https://pusher.com/docs/channels/library_auth_reference/auth-signatures/#user-authentication>

use super::channel_signature::hmac_hex;
use crate::config::App;
use crate::domain::SocketId;
use subtle::ConstantTimeEq;

/// Signs in `socket` as the user that `user_data` (JSON text) describes.
pub fn sign(app: &App, socket: SocketId, user_data: &str) -> String {
    format!("{}:{}", app.key, hmac_hex(app.secret.expose(), &format!("{socket}::user::{user_data}")))
}

/// Whether `auth` is the app's signature over exactly this socket and user.
pub fn verify(app: &App, auth: &str, socket: SocketId, user_data: &str) -> bool {
    sign(app, socket, user_data).as_bytes().ct_eq(auth.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::channel_signature;
    use crate::domain::{ChannelName, Secret};
    use proptest::prelude::*;

    fn app() -> App {
        App::new("1", "278d425bdf160c739803", Secret::new("7ad3773142a6692b25b8"))
    }

    /// The vector of the documentation.
    #[test]
    fn the_documented_signature_is_made() {
        let auth = sign(&app(), "1234.1234".parse().unwrap(), r#"{"id":"12345"}"#);
        assert_eq!(
            auth,
            "278d425bdf160c739803:4708d583dada6a56435fb8bc611c77c359a31eebde13337c16ab43aa6de336ba"
        );
    }

    #[test]
    fn a_signature_fits_one_socket_one_user_and_one_app() {
        let (app, socket, user) = (app(), "1.2".parse().unwrap(), r#"{"id":"1"}"#);
        let good = sign(&app, socket, user);
        assert!(verify(&app, &good, socket, user));
        assert!(!verify(&app, &good, "1.3".parse().unwrap(), user));
        assert!(!verify(&app, &good, socket, r#"{"id":"2"}"#));
        assert!(!verify(&App { secret: Secret::new("other"), ..app }, &good, socket, user));
    }

    proptest! {
        #[test]
        fn no_forgery_is_accepted(auth in "[0-9a-f:]{0,90}") {
            let user = r#"{"id":"1"}"#;
            prop_assert!(!verify(&app(), &auth, SocketId::from_bits(1), user));
        }

        /// What a back end signs for channels can never be used to sign in, nor the other way round.
        #[test]
        fn a_channels_signature_is_no_sign_in(channel in "[A-Za-z0-9_=@,.;-]{1,20}", data in "\\PC{0,20}") {
            let (app, socket) = (app(), SocketId::from_bits(1));
            let name = ChannelName::parse(&channel).unwrap();
            for auth in [None, Some(data.as_str())].map(|d| channel_signature::sign(&app, socket, &name, d)) {
                prop_assert!(!verify(&app, &auth, socket, &data));
            }
            prop_assert!(!channel_signature::verify(&app, &sign(&app, socket, &data), socket, &name, Some(&data)));
        }
    }
}
