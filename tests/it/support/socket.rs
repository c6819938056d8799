//! `Socket`: a WebSocket client that speaks the Pusher protocol, on an implementation that is not the hub's.

use super::hub::{APP_KEY, test_app};
use bellwire::auth::channel_signature;
use bellwire::domain::ChannelName;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

/// How long anything that is waited for may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A client.
pub(crate) struct Socket {
    pub(crate) id: String,
    stream: WebSocketStream<TcpStream>,
}

impl Socket {
    /// Connects and takes the `connection_established`.
    pub(crate) async fn connect(address: SocketAddr, key: &str, more_query: &str) -> Self {
        let mut socket = Self::raw(address, &format!("/app/{key}?protocol=7&client=test{more_query}")).await;
        let established = socket.next().await;
        assert_eq!(established["event"], "pusher:connection_established", "{established}");
        data_of(&established)["socket_id"].as_str().unwrap().clone_into(&mut socket.id);
        socket
    }

    /// Connects to a path and takes nothing.
    pub(crate) async fn raw(address: SocketAddr, path: &str) -> Self {
        Self::try_raw(address, path, &[]).await.unwrap()
    }

    /// Connects with headers; the error is the status of a refused upgrade.
    pub(crate) async fn try_raw(
        address: SocketAddr,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, u16> {
        let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
        for (name, value) in headers {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            request.headers_mut().append(*name, value);
        }
        let stream = TcpStream::connect(address).await.unwrap();
        match client_async(request, stream).await {
            Ok((stream, _)) => Ok(Self { id: String::new(), stream }),
            Err(tokio_tungstenite::tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// Says something, whatever it is.
    pub(crate) async fn say(&mut self, message: Message) {
        self.stream.send(message).await.unwrap();
    }

    /// Says an event.
    pub(crate) async fn event(&mut self, name: &str, data: Value) {
        self.say(Message::text(json!({ "event": name, "data": data }).to_string())).await;
    }

    /// Asks to subscribe without a signature.
    pub(crate) async fn subscribe(&mut self, channel: &str) {
        self.event("pusher:subscribe", json!({ "channel": channel })).await;
    }

    /// Asks to subscribe with the app's signature.
    pub(crate) async fn subscribe_signed(&mut self, channel: &str, channel_data: Option<&str>) {
        let name = ChannelName::parse(channel).unwrap();
        let auth = channel_signature::sign(&test_app(), self.id.parse().unwrap(), &name, channel_data);
        assert!(auth.starts_with(APP_KEY));
        let mut data = json!({ "channel": channel, "auth": auth });
        if let Some(channel_data) = channel_data {
            data["channel_data"] = channel_data.into();
        }
        self.event("pusher:subscribe", data).await;
    }

    /// Subscribes and takes the answer, which must be a success.
    pub(crate) async fn join(&mut self, channel: &str) -> Value {
        self.subscribe(channel).await;
        self.succeeded(channel).await
    }

    /// Takes a `subscription_succeeded` and returns its data.
    pub(crate) async fn succeeded(&mut self, channel: &str) -> Value {
        let answer = self.next().await;
        assert_eq!(answer["event"], "pusher_internal:subscription_succeeded", "{answer}");
        assert_eq!(answer["channel"], channel);
        data_of(&answer)
    }

    /// The next text message, as JSON.
    pub(crate) async fn next(&mut self) -> Value {
        match self.next_message().await {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("expected text, got {other:?}"),
        }
    }

    /// Takes the next event, which must have this name, and returns its data.
    pub(crate) async fn expect(&mut self, event: &str) -> Value {
        let message = self.next().await;
        assert_eq!(message["event"], event, "{message}");
        data_of(&message)
    }

    /// Says goodbye with this code, and waits for the answer.
    pub(crate) async fn close(mut self, code: u16) {
        let frame = CloseFrame { code: code.into(), reason: "".into() };
        self.stream.close(Some(frame)).await.unwrap();
        while self.stream.next().await.is_some_and(|message| message.is_ok()) {}
    }

    /// The first message, or the code of the close that comes instead.
    pub(crate) async fn first(&mut self) -> Result<Value, u16> {
        match self.next_message().await {
            Message::Text(text) => Ok(serde_json::from_str(&text).unwrap()),
            Message::Close(frame) => Err(frame.map_or(1005, |f| f.code.into())),
            other => panic!("expected text or a close, got {other:?}"),
        }
    }

    /// Takes messages until the connection is closed; returns the code.
    pub(crate) async fn closed(&mut self) -> u16 {
        loop {
            if let Message::Close(frame) = self.next_message().await {
                // The answer is written with whatever is done next; the server may have gone already.
                let _ = self.stream.flush().await;
                return frame.map_or(1005, |f| f.code.into());
            }
        }
    }

    /// Insists that nothing was sent to this client before a pong that it asks for now: everything that was
    /// published before has been dealt with.
    pub(crate) async fn expect_nothing(&mut self) {
        self.event("pusher:ping", json!({})).await;
        self.expect("pusher:pong").await;
    }

    /// The next message of any kind but pings.
    pub(crate) async fn next_message(&mut self) -> Message {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.stream.next());
            match next.await.expect("nothing came in time") {
                Some(Ok(Message::Ping(_))) => {}
                Some(Ok(message)) => return message,
                Some(Err(error)) => panic!("{error}"),
                None => panic!("the connection ended without a close"),
            }
        }
    }

    /// The socket under it, for tests that break the rules.
    pub(crate) fn tcp(&mut self) -> &mut TcpStream {
        self.stream.get_mut()
    }
}

/// The data of a message: JSON in a string, or JSON.
pub(crate) fn data_of(message: &Value) -> Value {
    match &message["data"] {
        Value::String(text) => serde_json::from_str(text).unwrap_or(Value::String(text.clone())),
        other => other.clone(),
    }
}
