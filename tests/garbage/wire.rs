//! Bytes to the gateway and back: what no HTTP client would let through.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One request, not yet bytes.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The method; need not be one.
    pub method: String,
    /// Path and query as they travel.
    pub target: Vec<u8>,
    /// Headers besides those that every request carries.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body, if there is one.
    pub body: Option<Vec<u8>>,
}

impl Request {
    /// A request to a path below `/api/v1`.
    pub fn new(method: &str, path: impl AsRef<[u8]>) -> Self {
        Self {
            method: method.to_owned(),
            target: [b"/api/v1", path.as_ref()].concat(),
            ..Self::default()
        }
    }

    /// With one more header.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    /// With a body that says it is JSON.
    pub fn body(self, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref().to_owned();
        Self {
            body: Some(body),
            ..self.header("content-type", "application/json")
        }
    }

    /// Everything that is written to the socket.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = [self.method.as_bytes(), b" ", &self.target, b" HTTP/1.1\r\n"].concat();
        let length = self.body.as_ref().map(|body| body.len().to_string());
        let own = [
            ("host", Some("127.0.0.1")),
            ("connection", Some("close")),
            ("content-length", length.as_deref()),
        ];
        for (name, value) in own {
            let given = self
                .headers
                .iter()
                .any(|(given, _)| given.eq_ignore_ascii_case(name));
            if let Some(value) = value.filter(|_| !given) {
                bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
            }
        }
        for (name, value) in &self.headers {
            bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(self.body.as_deref().unwrap_or_default());
        bytes
    }

    /// The request on one line, shortened.
    pub fn describe(&self) -> String {
        let headers: Vec<String> = self
            .headers
            .iter()
            .filter(|(name, _)| name != "authorization" || self.method.is_empty())
            .map(|(name, value)| format!("{name}: {}", short(value)))
            .collect();
        let body = self.body.as_deref().map(short).unwrap_or_default();
        format!(
            "{} {} [{}] {body}",
            self.method,
            short(&self.target),
            headers.join(", ")
        )
    }
}

/// Bytes for people: escaped, the middle left out.
pub fn short(bytes: &[u8]) -> String {
    const ENDS: usize = 300;
    if bytes.len() <= 3 * ENDS {
        return bytes.escape_ascii().to_string();
    }
    let (start, end) = (&bytes[..2 * ENDS], &bytes[bytes.len() - ENDS..]);
    format!(
        "{}…{} bytes…{}",
        start.escape_ascii(),
        bytes.len(),
        end.escape_ascii()
    )
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The head, in lower case.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

/// Sends bytes to `address` over a connection of their own. `None`: the gateway hung up without an answer.
/// `ends`: nothing more will come, and the gateway is told so; otherwise it may wait for the rest of a body.
///
/// # Panics
/// When the gateway does not accept, or answers nothing for a minute, or answers something that is no HTTP.
pub async fn send(address: &str, bytes: Vec<u8>, ends: bool) -> Option<Answer> {
    let head = bytes.starts_with(b"HEAD ");
    let stream = TcpStream::connect(address).await.expect("the gateway accepts");
    let (mut reading, mut writing) = stream.into_split();
    // An answer may come before everything is sent, and the rest is then refused.
    let sending = tokio::spawn(async move {
        let _ = writing.write_all(&bytes).await;
        if ends {
            let _ = writing.shutdown().await;
        }
        writing
    });
    let mut received = Vec::new();
    let reading = async {
        // A reset after the answer is how a connection ends whose body was not wanted.
        while let Ok(1..) = reading.read_buf(&mut received).await {
            if let Some(answer) = parse(&received, head, false) {
                return Some(answer);
            }
        }
        parse(&received, head, true)
    };
    let answer = tokio::time::timeout(Duration::from_secs(60), reading).await;
    sending.abort();
    answer.expect("the gateway answers or hangs up within a minute")
}

/// An answer that is complete, or as complete as it will get at the `end` of the connection.
fn parse(mut received: &[u8], head_only: bool, end: bool) -> Option<Answer> {
    loop {
        let length = received.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&received[..length]).to_lowercase();
        let status = head
            .strip_prefix("http/1.")
            .and_then(|rest| rest.get(2..5)?.parse().ok());
        let status: u16 = status.unwrap_or_else(|| panic!("no status: {head}"));
        received = &received[length + 4..];
        // 100 Continue announces the answer.
        if status < 200 {
            continue;
        }
        let announced = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        // Answers that are streamed have no length; over a connection that stays open only the last chunk ends them.
        let chunks = head
            .lines()
            .any(|line| line == "transfer-encoding: chunked")
            .then(|| unchunked(received));
        let whole = head_only
            || status == 204
            || announced.is_some_and(|length: usize| received.len() >= length)
            || chunks.as_ref().is_some_and(|(_, whole)| *whole);
        // Behind it may stand the answer to what follows the request.
        let body = match chunks {
            Some((body, _)) => body,
            None => received[..announced.unwrap_or(received.len()).min(received.len())].to_owned(),
        };
        return (whole || end).then_some(Answer { status, head, body });
    }
}

/// The data of the chunks that are there (RFC 9112 §7.1), and whether the last one is among them.
fn unchunked(mut received: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let line = received.windows(2).position(|window| window == b"\r\n");
        let Some((size, rest)) = line.map(|end| (&received[..end], &received[end + 2..])) else {
            return (body, false);
        };
        let size = String::from_utf8_lossy(size);
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or_else(|_| panic!("no chunk: {size}"));
        let data = &rest[..size.min(rest.len())];
        body.extend_from_slice(data);
        if size == 0 || rest.len() < size + 2 {
            return (body, size == 0 && rest.starts_with(b"\r\n"));
        }
        received = &rest[size + 2..];
    }
}
