//! `Receiver`: a webhook receiver on loopback that answers as it is told, well or badly. It speaks HTTP/1.1 by
//! hand, so that it can break every rule of it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::http::HeaderMap;

/// How long a test waits for a request that has to come.
const LIMIT: Duration = Duration::from_secs(10);

/// What is done with a request.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// A whole answer with this status.
    Status(u16),
    /// The same with a body.
    Body(u16, Vec<u8>),
    /// The same with header lines.
    Headers(u16, &'static str, Vec<u8>),
    /// These bytes, and the connection closed.
    Raw(&'static [u8]),
    /// A whole answer with this status, so much later.
    Slow(u16, Duration),
    /// A 200 with this body, once there is a permit for it.
    Gate(Arc<Semaphore>, Vec<u8>),
    /// Nothing, for ever.
    Hang,
    /// A good head and then a byte of body now and then, for ever.
    Drip,
    /// A good head and then body as fast as it is taken, for ever.
    Flood,
    /// The connection closed.
    Close,
    /// The connection reset.
    Reset,
}

/// A request that came.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Checks both signatures as receivers do: with Standard Webhooks' own library, and over the raw body.
    pub(crate) fn assert_signed_with(&self, secret: &str) {
        let mut headers = HeaderMap::new();
        for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
            headers.insert(name, self.header(name).parse().unwrap());
        }
        standardwebhooks::Webhook::new(secret).unwrap().verify(&self.body, &headers).unwrap();
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(&self.body);
        assert_eq!(self.header("x-webhook-signature"), hex::encode(mac.finalize().into_bytes()));
    }
}

/// See the module. It ends with its test.
pub(crate) struct Receiver {
    address: SocketAddr,
    scheme: &'static str,
    requests: mpsc::UnboundedReceiver<Received>,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

struct Shared {
    answer: Mutex<Answer>,
    requests: mpsc::UnboundedSender<Received>,
    connections: AtomicUsize,
    open: AtomicUsize,
    most_open: AtomicUsize,
    sent: AtomicU64,
}

/// A certificate for `localhost` and its key, signed by itself.
pub(crate) struct Certificate {
    der: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Certificate {
    pub(crate) fn new(name: &str) -> Self {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        Self { der: made.cert.der().clone(), key }
    }

    /// Writes certificate and key into a folder, for servers that read files.
    pub(crate) fn write(&self, folder: &Path) -> [PathBuf; 2] {
        let parts = [
            ("certificate.pem", "CERTIFICATE", self.der.as_ref()),
            ("key.pem", "PRIVATE KEY", self.key.secret_der()),
        ];
        parts.map(|(file, what, der)| {
            let (path, text) = (folder.join(file), STANDARD.encode(der));
            std::fs::write(&path, format!("-----BEGIN {what}-----\n{text}\n-----END {what}-----\n")).unwrap();
            path
        })
    }

    /// A store that trusts this certificate alone.
    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        roots
    }
}

impl Receiver {
    /// Answers every request so, until told otherwise.
    pub(crate) async fn start(answer: Answer) -> Self {
        Self::listen(answer, None).await
    }

    /// The same behind TLS.
    pub(crate) async fn start_tls(answer: Answer, certificate: &Certificate) -> Self {
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der.clone()], certificate.key.clone_key())
            .unwrap();
        Self::listen(answer, Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn listen(answer: Answer, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, requests) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            answer: Mutex::new(answer),
            requests: tell,
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            most_open: AtomicUsize::new(0),
            sent: AtomicU64::new(0),
        });
        let scheme = if tls.is_some() { "https" } else { "http" };
        let task = tokio::spawn(accept(listener, tls, Arc::clone(&shared)));
        Self { address, scheme, requests, shared, task }
    }

    /// Its URL, by address.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}/hook", self.scheme, self.address)
    }

    /// Its URL with another spelling of its host.
    pub(crate) fn url_at(&self, host: &str) -> String {
        format!("{}://{host}:{}/hook", self.scheme, self.address.port())
    }

    /// Answers so from now on.
    pub(crate) fn answer(&self, answer: Answer) {
        *self.shared.answer.lock().unwrap() = answer;
    }

    /// The next request.
    pub(crate) async fn next(&mut self) -> Received {
        let next = tokio::time::timeout(LIMIT, self.requests.recv()).await;
        next.expect("a request comes in time").unwrap()
    }

    /// A request that came and was not looked at yet.
    pub(crate) fn already(&mut self) -> Option<Received> {
        self.requests.try_recv().ok()
    }

    /// Connections that were made to it.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Requests that were not answered yet.
    pub(crate) fn in_work(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// The most requests that were in work at once.
    pub(crate) fn most_at_once(&self) -> usize {
        self.shared.most_open.load(Ordering::SeqCst)
    }

    /// Bytes of body that were taken from it.
    pub(crate) fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::SeqCst)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        shared.connections.fetch_add(1, Ordering::SeqCst);
        if matches!(*shared.answer.lock().unwrap(), Answer::Reset) {
            // Closed without lingering, it is reset.
            stream.set_zero_linger().unwrap();
        }
        tokio::spawn(greet(stream, tls.clone(), Arc::clone(&shared)));
    }
}

async fn greet(stream: TcpStream, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    match tls {
        None => serve(stream, shared).await,
        Some(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                serve(stream, shared).await;
            }
        }
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: S, shared: Arc<Shared>) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream).await {
        let open = shared.open.fetch_add(1, Ordering::SeqCst) + 1;
        shared.most_open.fetch_max(open, Ordering::SeqCst);
        let _ = shared.requests.send(request);
        let answer = shared.answer.lock().unwrap().clone();
        let goes_on = reply(&mut stream, answer, &shared).await;
        shared.open.fetch_sub(1, Ordering::SeqCst);
        if !goes_on {
            break;
        }
    }
}

async fn read<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> Option<Received> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        line.clear();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").and_then(|l| l.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Received { path, headers, body })
}

/// Whether the connection is good for another request.
async fn reply<S: AsyncWrite + Unpin>(stream: &mut S, answer: Answer, shared: &Shared) -> bool {
    match answer {
        Answer::Status(status) => whole(stream, status, "", &[]).await,
        Answer::Body(status, body) => whole(stream, status, "", &body).await,
        Answer::Headers(status, headers, body) => whole(stream, status, headers, &body).await,
        Answer::Raw(bytes) => {
            let _ = stream.write_all(bytes).await;
            let _ = stream.flush().await;
            false
        }
        Answer::Slow(status, after) => {
            tokio::time::sleep(after).await;
            whole(stream, status, "", &[]).await
        }
        Answer::Gate(gate, body) => {
            gate.acquire().await.unwrap().forget();
            whole(stream, 200, "", &body).await
        }
        Answer::Hang => std::future::pending().await,
        Answer::Drip => pour(stream, b"x", Duration::from_millis(20), shared).await,
        Answer::Flood => pour(stream, &[b'x'; 16_384], Duration::ZERO, shared).await,
        Answer::Close | Answer::Reset => false,
    }
}

async fn whole<S: AsyncWrite + Unpin>(stream: &mut S, status: u16, headers: &str, body: &[u8]) -> bool {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n{headers}\r\n");
    let bytes = [head.as_bytes(), body].concat();
    stream.write_all(&bytes).await.is_ok() && stream.flush().await.is_ok()
}

async fn pour<S: AsyncWrite + Unpin>(stream: &mut S, chunk: &[u8], every: Duration, shared: &Shared) -> bool {
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n";
    let mut ok = stream.write_all(head).await.is_ok();
    while ok {
        ok = stream.write_all(chunk).await.is_ok() && stream.flush().await.is_ok();
        shared.sent.fetch_add(chunk.len() as u64, Ordering::SeqCst);
        // The pace of the misbehaviour, not a wait for something.
        tokio::time::sleep(every).await;
    }
    false
}
