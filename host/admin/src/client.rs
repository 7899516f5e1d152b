//! A blocking client for the admin endpoint of a running host, for the command line.
//!
//! In: a path, and optionally a body. Out: the body of the response, complete or line by line, or an error. Bounded: a
//! timeout for each read and write, and limits for documents and lines. It follows no redirects and supports only this
//! project's own endpoint.

mod address;
mod response;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

pub use address::AdminAddress;
use address::AdminStream;
use response::{AdminResponseBody, ResponseHead};

/// Timeout for connecting, and for each read and write. The host sends heartbeats more often.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum size of a document.
const MAX_DOCUMENT: u64 = 16 << 20;
/// Maximum length of a line.
const MAX_LINE: u64 = 1 << 20;

/// The addresses of a host. Each request uses a new connection.
#[derive(Clone, Debug)]
pub struct AdminClient {
    addresses: Vec<AdminAddress>,
}

/// The lines of a response, read as they arrive.
pub struct ResponseLines(BufReader<AdminResponseBody<BufReader<AdminStream>>>);

impl AdminClient {
    /// Requests go to the first of these addresses that accepts a connection.
    pub fn new(places: Vec<AdminAddress>) -> Self {
        Self { addresses: places }
    }

    /// Gets the document at `path`.
    pub fn get(&self, path: &str) -> Result<String> {
        read_document(self.send("GET", path, &[])?)
    }

    /// Posts `body` and returns the response document.
    pub fn post(&self, path: &str, body: &[u8]) -> Result<String> {
        read_document(self.send("POST", path, body)?)
    }

    /// Posts `body` and returns the response lines.
    pub fn post_for_lines(&self, path: &str, body: &[u8]) -> Result<ResponseLines> {
        Ok(ResponseLines(BufReader::new(self.send("POST", path, body)?)))
    }

    fn send(&self, method: &str, path: &str, body: &[u8]) -> Result<AdminResponseBody<BufReader<AdminStream>>> {
        ensure!(
            path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic()),
            "`{path}` is not a valid path: it must begin with `/` and contain only printable ASCII characters"
        );
        let (place, stream) = self.connect()?;
        let asked = exchange(place, stream, method, path, body);
        let (head, body) = asked.with_context(|| format!("no valid response from the host at {place} for {path}"))?;
        if head.status == 200 {
            return Ok(body);
        }
        bail!("{}", error_message(head.status, &read_document(body).unwrap_or_default()))
    }

    fn connect(&self) -> Result<(&AdminAddress, AdminStream)> {
        let mut tried = Vec::new();
        for place in &self.addresses {
            match place.connect(TIMEOUT) {
                Ok(stream) => return Ok((place, stream)),
                Err(error) => tried.push(format!("{place}: {error}")),
            }
        }
        bail!("no host is running with this configuration; start `barnabas serve` ({})", tried.join("; "))
    }
}

impl Iterator for ResponseLines {
    type Item = Result<String>;

    /// The next line that is not empty. An error is the last item if the response is incomplete.
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let mut line = String::new();
            let read = (&mut self.0).take(MAX_LINE).read_line(&mut line);
            match read.context("the connection to the host was closed before the outcome arrived") {
                Err(error) => return Some(Err(error)),
                Ok(0) => return None,
                Ok(_) if line.trim().is_empty() => {}
                Ok(_) if !line.ends_with('\n') => {
                    return Some(Err(anyhow::anyhow!("the host sent a line that is longer than the limit")));
                }
                Ok(_) => return Some(Ok(line.trim_end().to_owned())),
            }
        }
    }
}

fn exchange(
    place: &AdminAddress,
    mut stream: AdminStream,
    method: &str,
    path: &str,
    body: &[u8],
) -> Result<(ResponseHead, AdminResponseBody<BufReader<AdminStream>>)> {
    let fields = place.headers();
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\n{fields}content-length: {length}\r\nconnection: close\r\n\r\n");
    // A host that rejects a body responds before it has read all of it, and its response is more useful than the broken
    // pipe.
    let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    let answered = ResponseHead::read(BufReader::new(stream));
    match (answered, sent) {
        (Ok(answered), _) => Ok(answered),
        (Err(_), Err(error)) => Err(error.into()),
        (Err(error), Ok(())) => Err(error),
    }
}

fn read_document(body: impl std::io::Read) -> Result<String> {
    let mut text = String::new();
    body.take(MAX_DOCUMENT + 1).read_to_string(&mut text).context("the response is incomplete")?;
    ensure!(text.len() as u64 <= MAX_DOCUMENT, "the response is larger than {MAX_DOCUMENT} bytes");
    Ok(text)
}

/// The message of an error response of this project; for others, the status and the text.
fn error_message(status: u16, body: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    match value.pointer("/error/message").and_then(serde_json::Value::as_str) {
        Some(message) => message.to_owned(),
        None => format!("{status}: {}", body.trim()),
    }
}

#[cfg(test)]
mod tests;
