//! From one socket through a whole server to 50 others and back: `cargo bench --bench fan_out`. A client event on a
//! private channel, with history on; the time is until the last of them has it.

#![expect(clippy::print_stderr, reason = "a benchmark has nobody else to tell")]

use bellwire::app::App;
use bellwire::auth::channel_signature;
use bellwire::config::{self, Config};
use bellwire::domain::{ChannelName, Secret};
use criterion::{Criterion, criterion_group, criterion_main};
use futures_util::future::join_all;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::error::Error;
use std::net::SocketAddr;
use std::sync::mpsc;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

const SUBSCRIBERS: usize = 50;
const CHANNEL: &str = "private-fan-out";
type Failure = Box<dyn Error>;

fn app() -> config::App {
    let app = config::App::new("bench", "bench-key", Secret::new("bench-secret"));
    config::App { client_events: true, client_events_per_second: 0, ..app }
}

/// A server on a thread of its own, until the sender is dropped.
fn serve(folder: &tempfile::TempDir) -> Result<(SocketAddr, oneshot::Sender<()>), Failure> {
    let mut config = Config::default();
    "127.0.0.1:0".clone_into(&mut config.server.bind);
    config.database.url = format!("sqlite:{}", folder.path().join("bench.db").display());
    config.limits.connections_per_ip_per_minute = 0;
    // One client says everything here: more than a client may.
    config.limits.messages_per_second = 0;
    config.apps = vec![app()];
    let (told, tell) = (mpsc::channel(), oneshot::channel::<()>());
    std::thread::spawn(move || {
        actix_rt::System::new().block_on(async move {
            match App::build(config).await {
                Ok(server) => {
                    let _ = told.0.send(Ok(server.addr()));
                    let _ = server.run_until(async move { drop(tell.1.await) }).await;
                }
                Err(error) => drop(told.0.send(Err(error))),
            }
        });
    });
    Ok((told.1.recv()??, tell.0))
}

struct Client(WebSocketStream<TcpStream>);

impl Client {
    async fn join(address: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (stream, _) = client_async(format!("ws://{address}/app/bench-key?protocol=7"), stream).await?;
        let mut client = Self(stream);
        let established: Value = serde_json::from_str(&client.next().await?)?;
        let data: Value = serde_json::from_str(established["data"].as_str().unwrap_or_default())?;
        let socket = data["socket_id"].as_str().unwrap_or_default().parse().map_err(|()| "no socket id")?;
        let auth = channel_signature::sign(&app(), socket, &ChannelName::parse(CHANNEL)?, None);
        let data = json!({"channel": CHANNEL, "auth": auth});
        client.say(json!({"event": "pusher:subscribe", "data": data}).to_string()).await?;
        client.next().await?;
        Ok(client)
    }

    async fn say(&mut self, text: String) -> Result<(), Failure> {
        Ok(self.0.send(Message::text(text)).await?)
    }

    async fn next(&mut self) -> Result<String, Failure> {
        match self.0.next().await {
            Some(Ok(Message::Text(text))) => Ok(text.as_str().to_owned()),
            other => Err(format!("{other:?}").into()),
        }
    }
}

fn fan_out(criterion: &mut Criterion) {
    let mut run = || -> Result<(), Failure> {
        let folder = tempfile::tempdir()?;
        let (address, _stop) = serve(&folder)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut speaker = runtime.block_on(Client::join(address))?;
        let mut clients = Vec::new();
        for _ in 0..SUBSCRIBERS {
            clients.push(runtime.block_on(Client::join(address))?);
        }
        let event =
            json!({"event": "client-moved", "channel": CHANNEL, "data": {"x": 17, "y": 4}}).to_string();
        criterion.bench_function("a client event to 50 subscribers", |b| {
            b.iter(|| {
                runtime.block_on(async {
                    speaker.say(event.clone()).await?;
                    let came = join_all(clients.iter_mut().map(Client::next)).await;
                    came.into_iter().collect::<Result<Vec<_>, _>>()
                })
            });
        });
        Ok(())
    };
    if let Err(error) = run() {
        eprintln!("the way to the subscribers could not be measured: {error}");
    }
}

criterion_group!(benches, fan_out);
criterion_main!(benches);
