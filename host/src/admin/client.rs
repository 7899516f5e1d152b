//! Asks a running host's admin endpoint, for the command line.
//!
//! In: a path, and a body where there is one. Out: the body of the answer, whole or line by line, or one sentence.
//! Bounded by a time for each read and write, and a cap on documents and on lines. It blocks its thread, follows
//! nothing, and speaks only to our own endpoint.

mod address;
mod response;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

pub use address::AdminAddress;
use address::AdminStream;
use response::{AdminResponseBody, ResponseHead};

/// For connecting, and for each read and write. The host breaks its silences more often.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Most bytes of a document.
const MAX_DOCUMENT: u64 = 16 << 20;
/// Most bytes of a line.
const MAX_LINE: u64 = 1 << 20;

/// A host to ask. Each question is a connection of its own.
#[derive(Clone, Debug)]
pub struct AdminClient {
    addresses: Vec<AdminAddress>,
}

/// The lines of an answer, as they come.
pub struct ResponseLines(BufReader<AdminResponseBody<BufReader<AdminStream>>>);

impl AdminClient {
    /// The first of these places at which somebody answers is asked.
    pub fn new(places: Vec<AdminAddress>) -> Self {
        Self { addresses: places }
    }

    /// The document at `path`.
    pub fn get(&self, path: &str) -> Result<String> {
        read_document(self.send("GET", path, &[])?)
    }

    /// The document that answers `body`.
    pub fn post(&self, path: &str, body: &[u8]) -> Result<String> {
        read_document(self.send("POST", path, body)?)
    }

    /// The lines that answer `body`.
    pub fn post_for_lines(&self, path: &str, body: &[u8]) -> Result<ResponseLines> {
        Ok(ResponseLines(BufReader::new(self.send("POST", path, body)?)))
    }

    fn send(&self, method: &str, path: &str, body: &[u8]) -> Result<AdminResponseBody<BufReader<AdminStream>>> {
        ensure!(
            path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic()),
            "`{path}` is not a path: begin it with `/` and escape what is not printable ASCII"
        );
        let (place, stream) = self.connect()?;
        let asked = exchange(place, stream, method, path, body);
        let (head, body) = asked.with_context(|| format!("the host on {place} gave no good answer for {path}"))?;
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
        bail!("no host answers; is `barnabas serve` running with this configuration? ({})", tried.join("; "))
    }
}

impl Iterator for ResponseLines {
    type Item = Result<String>;

    /// The next line that is not empty. The last error is an answer that broke off.
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let mut line = String::new();
            let read = (&mut self.0).take(MAX_LINE).read_line(&mut line);
            match read.context("the connection to the host ended before the outcome was told") {
                Err(error) => return Some(Err(error)),
                Ok(0) => return None,
                Ok(_) if line.trim().is_empty() => {}
                Ok(_) if !line.ends_with('\n') => {
                    return Some(Err(anyhow::anyhow!("the host sent a line that does not end")));
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
    // A host that refuses a body answers before it has read all of it: the answer says more than the broken pipe.
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
    body.take(MAX_DOCUMENT + 1).read_to_string(&mut text).context("the answer broke off")?;
    ensure!(text.len() as u64 <= MAX_DOCUMENT, "the answer is larger than {MAX_DOCUMENT} bytes");
    Ok(text)
}

/// The sentence in an error of ours; else what there is.
fn error_message(status: u16, body: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    match value.pointer("/error/message").and_then(serde_json::Value::as_str) {
        Some(message) => message.to_owned(),
        None => format!("{status}: {}", body.trim()),
    }
}

#[cfg(test)]
mod tests;
