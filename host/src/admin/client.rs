//! Asks a running host's admin endpoint, for the command line.
//!
//! In: a path, and a body where there is one. Out: the body of the answer, whole or line by line, or one sentence.
//! Bounded by a time for each read and write, and a cap on documents and on lines. It blocks its thread, follows
//! nothing, and speaks only to our own endpoint.

mod answer;
mod place;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use answer::{Body, Head};
pub use place::Place;
use place::Stream;

/// For connecting, and for each read and write. The host breaks its silences more often.
const PATIENCE: Duration = Duration::from_secs(30);
/// Most bytes of a document.
const LARGEST: u64 = 16 << 20;
/// Most bytes of a line.
const LONGEST: u64 = 1 << 20;

/// A host to ask. Each question is a connection of its own.
#[derive(Clone, Debug)]
pub struct Client {
    places: Vec<Place>,
}

/// The lines of an answer, as they come.
pub struct Lines(BufReader<Body<BufReader<Stream>>>);

impl Client {
    /// The first of these places at which somebody answers is asked.
    pub fn new(places: Vec<Place>) -> Self {
        Self { places }
    }

    /// The document at `path`.
    pub fn get(&self, path: &str) -> Result<String> {
        whole(self.ask("GET", path, &[])?)
    }

    /// The document that answers `body`.
    pub fn post(&self, path: &str, body: &[u8]) -> Result<String> {
        whole(self.ask("POST", path, body)?)
    }

    /// The lines that answer `body`.
    pub fn post_for_lines(&self, path: &str, body: &[u8]) -> Result<Lines> {
        Ok(Lines(BufReader::new(self.ask("POST", path, body)?)))
    }

    fn ask(&self, method: &str, path: &str, body: &[u8]) -> Result<Body<BufReader<Stream>>> {
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
        bail!("{}", refusal(head.status, &whole(body).unwrap_or_default()))
    }

    fn connect(&self) -> Result<(&Place, Stream)> {
        let mut tried = Vec::new();
        for place in &self.places {
            match place.connect(PATIENCE) {
                Ok(stream) => return Ok((place, stream)),
                Err(error) => tried.push(format!("{place}: {error}")),
            }
        }
        bail!("no host answers; is `barnabas serve` running with this configuration? ({})", tried.join("; "))
    }
}

impl Iterator for Lines {
    type Item = Result<String>;

    /// The next line that is not empty. The last error is an answer that broke off.
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let mut line = String::new();
            let read = (&mut self.0).take(LONGEST).read_line(&mut line);
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
    place: &Place,
    mut stream: Stream,
    method: &str,
    path: &str,
    body: &[u8],
) -> Result<(Head, Body<BufReader<Stream>>)> {
    let fields = place.fields();
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\n{fields}content-length: {length}\r\nconnection: close\r\n\r\n");
    // A host that refuses a body answers before it has read all of it: the answer says more than the broken pipe.
    let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    let answered = Head::read(BufReader::new(stream));
    match (answered, sent) {
        (Ok(answered), _) => Ok(answered),
        (Err(_), Err(error)) => Err(error.into()),
        (Err(error), Ok(())) => Err(error),
    }
}

fn whole(body: impl std::io::Read) -> Result<String> {
    let mut text = String::new();
    body.take(LARGEST + 1).read_to_string(&mut text).context("the answer broke off")?;
    ensure!(text.len() as u64 <= LARGEST, "the answer is larger than {LARGEST} bytes");
    Ok(text)
}

/// The sentence in an error of ours; else what there is.
fn refusal(status: u16, body: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    match value.pointer("/error/message").and_then(serde_json::Value::as_str) {
        Some(message) => message.to_owned(),
        None => format!("{status}: {}", body.trim()),
    }
}

#[cfg(test)]
mod tests;
