//! A parser for HTTP/1.1 responses.
//!
//! In: bytes. Out: a status, and a body that ends as the header says. A truncated body is an error. Bounded: 64 KiB for
//! the head; bodies are bounded by their reader.

use std::io::{self, BufRead, Read};

use anyhow::{Context as _, Result, bail};

/// Maximum size of the head, and of the line before each chunk.
const HEAD: u64 = 64 << 10;

/// The status of a response and its body length.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ResponseHead {
    pub(super) status: u16,
}

/// What remains of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RemainingBody {
    /// This number of bytes.
    Bytes(u64),
    /// This number of bytes of the current chunk, then further chunks.
    Chunk(u64),
    /// No bytes.
    None,
}

/// Reads the bytes of a body.
#[derive(Debug)]
pub(super) struct AdminResponseBody<R> {
    from: R,
    remaining: RemainingBody,
    /// Whether a chunk was read before, whose end of line comes first.
    begun: bool,
}

impl ResponseHead {
    pub(super) fn read<R: BufRead>(mut from: R) -> Result<(Self, AdminResponseBody<R>)> {
        let first = line(&mut from).context("the response ended within its head")?;
        let mut words = first.splitn(3, ' ');
        let (Some("HTTP/1.1"), Some(status)) = (words.next(), words.next()) else {
            bail!("the response is not HTTP/1.1")
        };
        let status = status.parse().context("the response is not HTTP/1.1")?;
        let mut left = None;
        loop {
            let field = line(&mut from).context("the response ended within its head")?;
            let Some((name, value)) = field.split_once(':') else { break };
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                left = Some(RemainingBody::Bytes(value.parse().context("the content-length is not a number")?));
            } else if name.eq_ignore_ascii_case("transfer-encoding") && value.eq_ignore_ascii_case("chunked") {
                left = Some(RemainingBody::Chunk(0));
            }
        }
        // The endpoint always declares a length, so a truncated response is detected.
        let left = left.context("the response declares no length")?;
        Ok((Self { status }, AdminResponseBody { from, remaining: left, begun: false }))
    }
}

/// Reads a line without its end.
fn line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    from.take(HEAD).read_line(&mut line)?;
    match line.strip_suffix("\r\n") {
        Some(whole) => Ok(whole.to_owned()),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

impl<R: BufRead> AdminResponseBody<R> {
    fn next_chunk(&mut self) -> io::Result<()> {
        if self.begun && !line(&mut self.from)?.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a chunk is longer than declared"));
        }
        self.begun = true;
        let size = line(&mut self.from)?;
        let digits = size.split(';').next().unwrap_or_default().trim();
        let size =
            u64::from_str_radix(digits, 16).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        self.remaining = if size == 0 { RemainingBody::None } else { RemainingBody::Chunk(size) };
        Ok(())
    }
}

impl<R: BufRead> Read for AdminResponseBody<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.remaining == RemainingBody::Chunk(0) {
            self.next_chunk()?;
        }
        let (RemainingBody::Bytes(left) | RemainingBody::Chunk(left)) = self.remaining else { return Ok(0) };
        if left == 0 || buf.is_empty() {
            return Ok(0);
        }
        let read = (&mut self.from).take(left).read(buf)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let left = left - read as u64;
        self.remaining = if matches!(self.remaining, RemainingBody::Bytes(_)) {
            RemainingBody::Bytes(left)
        } else {
            RemainingBody::Chunk(left)
        };
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(answer: &[u8]) -> Result<(u16, String)> {
        let (head, mut body) = ResponseHead::read(answer)?;
        let mut text = String::new();
        body.read_to_string(&mut text)?;
        Ok((head.status, text))
    }

    #[test]
    fn a_body_ends_at_its_declared_length() {
        let told = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\nmore";
        assert_eq!(read(told).unwrap(), (200, "ok\n".into()));
        let chunked =
            b"HTTP/1.1 503 no\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n";
        assert_eq!(read(chunked).unwrap(), (503, "abc0123456789".into()));
    }

    #[test]
    fn other_responses_are_errors() {
        let cases: [(&[u8], &str); 8] = [
            (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ncut", "end of file"),
            (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\ncut", "end of file"),
            (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\ncut\r\n", "end of file"),
            (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\ncutter\r\n", "longer than declared"),
            (b"HTTP/1.1 200 OK\r\n\r\nok", "declares no length"),
            (b"HTTP/1.1 200 OK\r\ncontent-le", "within its head"),
            (b"SSH-2.0-x\r\n\r\n", "HTTP"),
            (b"\xff\xff\r\n\r\n", "head"),
        ];
        for (answer, words) in cases {
            let error = format!("{:#}", read(answer).unwrap_err());
            assert!(error.contains(words), "`{error}` should contain `{words}`");
        }
    }
}
