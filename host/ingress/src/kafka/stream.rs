//! What a connection reads from and writes to: a socket as it is, or one with TLS over it.
//!
//! In: bytes of the peer. Out: bytes to it, flushed. Bounded: without TLS nothing is kept here, and "is there a byte"
//! is asked of the kernel; with TLS at most what rustls keeps, which is one record of plaintext (16 KiB) and one that is
//! arriving. Never reads ahead of TLS: what is decrypted and not yet asked for stays in rustls.

use std::io;
use std::time::Duration;

use bytes::BufMut;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use crate::protocol::WrongProtocol;

/// After a violation, how far we read on, so that answers sent before are not lost to a reset.
const LINGER_BYTES: u64 = 256 << 10;
/// How long it may take to say that nothing more will be written.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// One connection's bytes.
pub(crate) enum ConnectionStream {
    Plain(TcpStream),
    /// Boxed: connections without TLS must not pay for it.
    Tls(Box<TlsStream<TcpStream>>),
}

impl ConnectionStream {
    /// Reads at least one byte; into no room at all, waits until there is one. Gives 0 at the end. Nothing is lost when
    /// it is dropped early.
    pub(crate) async fn read(&mut self, into: &mut impl BufMut) -> io::Result<usize> {
        match self {
            Self::Plain(stream) if into.has_remaining_mut() => stream.read_buf(into).await,
            // Readiness may be stale; a look at the bytes is not.
            Self::Plain(stream) => stream.peek(&mut [0]).await,
            Self::Tls(stream) if into.has_remaining_mut() => stream.read_buf(into).await.or_else(unexpected_eof_as_end),
            Self::Tls(stream) => stream.fill_buf().await.map(<[u8]>::len).or_else(unexpected_eof_as_end),
        }
    }

    /// Writes all of it, and sees that TLS keeps none of it back.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(bytes).await,
            Self::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
        }
    }

    /// Answers a client that speaks another protocol in that, where there is an answer, and lets it take it. The others
    /// see an end, too, and not a reset, from which they could not guess their mistake.
    pub(crate) async fn reject(&mut self, wrong: &WrongProtocol) {
        if let Some(answer) = wrong.answer() {
            // Either way it is over.
            let _ = timeout(CLOSE_TIMEOUT, self.write(answer.as_bytes())).await;
        }
        self.linger().await;
    }

    /// Says that nothing more will be written (with TLS: close_notify), and lets the peer take what was.
    pub(crate) async fn linger(&mut self) {
        let leave = async {
            let socket = match self {
                Self::Plain(stream) => {
                    stream.shutdown().await?;
                    stream
                }
                Self::Tls(stream) => {
                    stream.shutdown().await?;
                    // What still comes is of no interest, so it need not be decrypted.
                    stream.get_mut().0
                }
            };
            tokio::io::copy(&mut socket.take(LINGER_BYTES), &mut tokio::io::sink()).await
        };
        // Either way it is over: the reason is known already.
        let _ = timeout(CLOSE_TIMEOUT, leave).await;
    }

    /// With TLS says close_notify, so that the peer knows that nothing was cut off; without, closing is enough.
    pub(crate) async fn close(&mut self) {
        if let Self::Tls(stream) = self {
            let _ = timeout(CLOSE_TIMEOUT, stream.shutdown()).await;
        }
    }
}

/// Many clients close the socket without close_notify. Frames have lengths, so nothing can be cut off unnoticed.
fn unexpected_eof_as_end(error: io::Error) -> io::Result<usize> {
    if error.kind() == io::ErrorKind::UnexpectedEof { Ok(0) } else { Err(error) }
}
