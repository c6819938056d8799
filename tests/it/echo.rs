//! The WebSocket path below the protocol, with a mind that says back what it hears.

use crate::support::echo::start_echo;
use crate::support::socket::Socket;
use tokio_tungstenite::tungstenite::protocol::Message;

#[actix_rt::test]
async fn text_and_binary_come_back_as_they_were() {
    let hub = start_echo(|_| {}).await;
    let mut socket = Socket::raw(hub.address, "/echo").await;
    for message in [Message::text("ça va"), Message::binary(vec![0, 0xff]), Message::text("")] {
        socket.say(message.clone()).await;
        assert_eq!(socket.next_message().await, message);
    }
    hub.stop().await;
}
