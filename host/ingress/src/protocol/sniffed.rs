//! A stream that fails with an error if the peer speaks another protocol than HTTP/1.
//!
//! The HTTP reader gets no byte before the protocol is known: it would answer TLS and Kafka clients in HTTP, which they
//! report as misleading errors of their own. While the prefix is incomplete, the reader's own limits on a head apply.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{ClientProtocol, ListenerKind, MAX_PREFIX, ProtocolGuess, WrongProtocol, recognise};

/// The stream, and its first bytes until they were forwarded.
pub struct SniffedStream<S> {
    stream: S,
    listener_kind: ListenerKind,
    local: SocketAddr,
    first: [u8; MAX_PREFIX],
    /// Bytes in `first`, and how many of them were forwarded.
    received: usize,
    forwarded: usize,
    decided: bool,
    detected: DetectedProtocol,
}

/// The other protocol that was detected, if any. Kept beside the error, since hyper reports no error before the first
/// request.
#[derive(Clone, Debug, Default)]
pub struct DetectedProtocol(Arc<OnceLock<WrongProtocol>>);

impl DetectedProtocol {
    pub fn get(&self) -> Option<WrongProtocol> {
        self.0.get().copied()
    }
}

impl<S> SniffedStream<S> {
    /// Wraps `stream` before its first byte is read; it was accepted on `local` by a listener of this kind.
    pub fn new(stream: S, door: ListenerKind, at: SocketAddr) -> Self {
        Self {
            stream,
            listener_kind: door,
            local: at,
            first: [0; MAX_PREFIX],
            received: 0,
            forwarded: 0,
            decided: false,
            detected: DetectedProtocol::default(),
        }
    }

    /// A handle that outlives the stream.
    pub fn detected(&self) -> DetectedProtocol {
        self.detected.clone()
    }
}

impl<S: AsyncRead + Unpin> SniffedStream<S> {
    /// Reads until the protocol is known or the stream ends. Bytes of an unknown protocol are forwarded to the HTTP
    /// reader, which answers with status 400.
    fn poll_decide(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.decided {
            let mut room = ReadBuf::new(self.first.get_mut(self.received..).unwrap_or_default());
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut room))?;
            let read = room.filled().len();
            self.received += read;
            match recognise(self.first.get(..self.received).unwrap_or_default()) {
                ProtocolGuess::Incomplete if read > 0 => {}
                ProtocolGuess::Known(ClientProtocol::Http) | ProtocolGuess::Incomplete | ProtocolGuess::Unknown => {
                    self.decided = true
                }
                ProtocolGuess::Known(protocol) => {
                    let wrong = WrongProtocol { protocol, listener_kind: self.listener_kind, local: self.local };
                    let wrong = *self.detected.0.get_or_init(|| wrong);
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, wrong)));
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for SniffedStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_decide(cx))?;
        let left = self.first.get(self.forwarded..self.received).unwrap_or_default();
        if left.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let some = left.get(..buf.remaining()).unwrap_or(left);
        buf.put_slice(some);
        self.forwarded += some.len();
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for SniffedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
