//! The byte stream of a connection: a plain socket, or TLS over it.
//!
//! In: bytes from the peer. Out: bytes to the peer, flushed. Bounded: without TLS nothing is buffered here, and the
//! kernel is asked whether there is a byte; with TLS at most what rustls buffers, which is one record of plaintext (16
//! KiB) and one that is being received. Never reads ahead of TLS: decrypted bytes that were not requested yet stay in
//! rustls.

use std::io;
use std::time::Duration;

use bytes::BufMut;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use crate::protocol::WrongProtocol;

/// How much is read after a violation, so that a reset does not destroy answers that were sent before.
const LINGER_BYTES: u64 = 256 << 10;
/// How long closing the write side may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The bytes of one connection.
pub(crate) enum ConnectionStream {
    Plain(TcpStream),
    /// Boxed, so that connections without TLS do not have its size.
    Tls(Box<TlsStream<TcpStream>>),
}

impl ConnectionStream {
    /// Reads at least one byte; if the buffer has no capacity, waits until there is a byte to read. Returns 0 at the
    /// end of the stream. Cancel safe: no bytes are lost when the future is dropped.
    pub(crate) async fn read(&mut self, into: &mut impl BufMut) -> io::Result<usize> {
        match self {
            Self::Plain(stream) if into.has_remaining_mut() => stream.read_buf(into).await,
            // Readiness may be stale; peeking is not.
            Self::Plain(stream) => stream.peek(&mut [0]).await,
            Self::Tls(stream) if into.has_remaining_mut() => stream.read_buf(into).await.or_else(unexpected_eof_as_end),
            Self::Tls(stream) => stream.fill_buf().await.map(<[u8]>::len).or_else(unexpected_eof_as_end),
        }
    }

    /// Writes and flushes all bytes, so that TLS does not buffer any of them.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(bytes).await,
            Self::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
        }
    }

    /// Answers a client of another protocol in that protocol, if possible, and lets it read the answer. The other
    /// clients also see an orderly end instead of a reset, from which they could not diagnose their mistake.
    pub(crate) async fn reject(&mut self, wrong: &WrongProtocol) {
        if let Some(answer) = wrong.answer() {
            // The connection closes in any case.
            let _ = timeout(CLOSE_TIMEOUT, self.write(answer.as_bytes())).await;
        }
        self.linger().await;
    }

    /// Closes the write side (with TLS: close_notify), and lets the peer read what was written.
    pub(crate) async fn linger(&mut self) {
        let leave = async {
            let socket = match self {
                Self::Plain(stream) => {
                    stream.shutdown().await?;
                    stream
                }
                Self::Tls(stream) => {
                    stream.shutdown().await?;
                    // What still arrives is ignored, so it need not be decrypted.
                    stream.get_mut().0
                }
            };
            tokio::io::copy(&mut socket.take(LINGER_BYTES), &mut tokio::io::sink()).await
        };
        // The connection closes in any case, and the reason is already known.
        let _ = timeout(CLOSE_TIMEOUT, leave).await;
    }

    /// With TLS sends close_notify, so that the peer can rule out a truncation; without TLS closing the socket is
    /// enough.
    pub(crate) async fn close(&mut self) {
        if let Self::Tls(stream) = self {
            let _ = timeout(CLOSE_TIMEOUT, stream.shutdown()).await;
        }
    }
}

/// Many clients close the socket without close_notify. Frames have lengths, so a truncation cannot go unnoticed.
fn unexpected_eof_as_end(error: io::Error) -> io::Result<usize> {
    if error.kind() == io::ErrorKind::UnexpectedEof { Ok(0) } else { Err(error) }
}
