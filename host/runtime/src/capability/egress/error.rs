//! The errors of outgoing requests.

use std::error::Error as StdError;
use std::net::IpAddr;

use super::Grants;

/// An error of a body or a connection.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// Why a request failed. `hooks.rs` maps each case to an error code of `wasi:http`, which a guest can match on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    /// The grants do not include the destination.
    #[error("`{host}:{port}` is not granted: add it to `http` in the plugin's [grants]")]
    NotGranted {
        /// The host of the request.
        host: String,
        /// The port of the request, or the default port of its scheme.
        port: u16,
    },
    /// The grants include the name, but none of its addresses.
    #[error(
        "`{host}` resolves to {address}, which is not public: add its network to `addresses` in the plugin's [grants]"
    )]
    Prohibited {
        /// The host of the request.
        host: String,
        /// The first address that is not permitted.
        address: IpAddr,
    },
    /// The destination is the admin endpoint of this host.
    #[error("`{host}:{port}` is the admin endpoint of this host, which no receiver may reach: use another destination")]
    OwnAdminEndpoint {
        /// The host of the request.
        host: String,
        /// The port of the request, or the default port of its scheme.
        port: u16,
    },
    /// The destination is a listener of this host, so the request would become a push of a client.
    #[error(
        "`{host}:{port}` is a listener of this host: whatever a receiver sends there returns to it as a push, in an \
         endless loop. Use another destination, or grant it with `own-listeners = true` in the plugin's [grants]"
    )]
    OwnListener {
        /// The host of the request.
        host: String,
        /// The port of the request, or the default port of its scheme.
        port: u16,
    },
    /// The URI is not an `http` or `https` URI with a host.
    #[error("the request has no valid http or https URI")]
    InvalidUri,
    /// The method is CONNECT, which would open a tunnel around the guard.
    #[error("the method CONNECT is not allowed")]
    ForbiddenMethod,
    /// The name does not resolve to an address.
    #[error("cannot resolve `{host}`: {reason}")]
    Dns {
        /// The host of the request.
        host: String,
        /// The reason from the resolver.
        reason: String,
    },
    /// The destination refused the connection.
    #[error("connection refused by {0}")]
    ConnectionRefused(String),
    /// The destination cannot be reached.
    #[error("cannot connect to {0}")]
    Unreachable(String),
    /// Name resolution, the connection or TLS took too long.
    #[error("timed out while connecting")]
    ConnectTimeout,
    /// The response, or its next chunk, took too long.
    #[error("timed out while waiting for the response")]
    ReadTimeout,
    /// The plugin has reached its limit of concurrent requests.
    #[error("{cap} requests are in flight, which is the limit: increase `limits.requests` in the plugin's manifest")]
    TooManyRequests {
        /// The limit.
        cap: usize,
    },
    /// The call that started the request has ended, and its requests end with it.
    #[error("the call that started the request has ended")]
    CallEnded,
    /// The certificate of the server is not trusted.
    #[error("the certificate of `{host}` is not trusted: {reason}")]
    Certificate {
        /// The name that the certificate must be valid for.
        host: String,
        /// The reason from the verifier.
        reason: String,
    },
    /// The server ended the TLS handshake with an alert.
    #[error("TLS alert from the server: {message}")]
    Alert {
        /// The number of the alert (RFC 8446).
        id: u8,
        /// The name of the alert.
        message: String,
    },
    /// Any other failure of the TLS handshake.
    #[error("TLS with `{host}` failed: {reason}")]
    Tls {
        /// The host of the request.
        host: String,
        /// The reason from the TLS library.
        reason: String,
    },
    /// This host has no root certificates.
    #[error("no root certificates: {0}")]
    NoRootCertificates(String),
    /// The connection ended before the response was complete.
    #[error("the connection ended before the response was complete")]
    Terminated,
    /// The response is not valid HTTP, or the HTTP client failed.
    #[error("HTTP failed: {0}")]
    Protocol(String),
    /// The body of the response exceeds the limit of the plugin.
    #[error("the response is larger than {cap} bytes")]
    ResponseTooLarge {
        /// The limit.
        cap: usize,
    },
}

impl EgressError {
    /// The stable name of the error for metrics and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NotGranted { .. } => "not-granted",
            Self::Prohibited { .. } => "address-prohibited",
            Self::OwnAdminEndpoint { .. } => "own-address",
            Self::OwnListener { .. } => "own-listener",
            Self::InvalidUri => "bad-uri",
            Self::ForbiddenMethod => "bad-method",
            Self::Dns { .. } => "dns",
            Self::ConnectionRefused(_) => "refused",
            Self::Unreachable(_) => "unreachable",
            Self::ConnectTimeout => "connect-timeout",
            Self::ReadTimeout => "read-timeout",
            Self::TooManyRequests { .. } => "busy",
            Self::CallEnded => "cancelled",
            Self::Certificate { .. } => "certificate",
            Self::Alert { .. } | Self::Tls { .. } => "tls",
            Self::NoRootCertificates(_) => "no-roots",
            Self::Terminated => "terminated",
            Self::Protocol(_) => "protocol",
            Self::ResponseTooLarge { .. } => "too-large",
        }
    }

    /// Why the destination was denied, in a sentence for an operator who reads why a call failed. `None` for every
    /// other error.
    pub(super) fn denial(&self, grants: &Grants) -> Option<String> {
        match self {
            Self::NotGranted { host, port } if grants.is_empty() => {
                Some(format!("it requested {}, and no destination is granted", destination(host, *port)))
            }
            Self::NotGranted { host, port } => {
                Some(format!("it requested {}; the grants are {}", destination(host, *port), grants.summary()))
            }
            Self::Prohibited { .. } | Self::OwnAdminEndpoint { .. } | Self::OwnListener { .. } => {
                Some(self.to_string())
            }
            _ => None,
        }
    }

    /// The `EgressError` in the chain of causes if there is one, or else a conversion of the HTTP error.
    fn from_chain(error: &(dyn StdError + 'static)) -> Self {
        let mut cause = Some(error);
        while let Some(at) = cause {
            if let Some(ours) = at.downcast_ref::<Self>() {
                return ours.clone();
            }
            if let Some(hyper) = at.downcast_ref::<hyper::Error>()
                && (hyper.is_incomplete_message() || hyper.is_closed() || hyper.is_canceled())
            {
                return Self::Terminated;
            }
            if let Some(io) = at.downcast_ref::<std::io::Error>() {
                return Self::from_io(io);
            }
            cause = at.source();
        }
        Self::Protocol(error_chain(error))
    }

    fn from_io(error: &std::io::Error) -> Self {
        use std::io::ErrorKind as Kind;
        match error.kind() {
            Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe | Kind::UnexpectedEof => {
                Self::Terminated
            }
            _ => Self::Protocol(error.to_string()),
        }
    }
}

fn destination(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// The messages of the whole chain of causes, because the outermost message of hyper alone is not specific.
fn error_chain(error: &(dyn StdError + 'static)) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(at) = cause {
        message.push_str(": ");
        message.push_str(&at.to_string());
        cause = at.source();
    }
    message
}

impl From<hyper_util::client::legacy::Error> for EgressError {
    fn from(error: hyper_util::client::legacy::Error) -> Self {
        Self::from_chain(&error)
    }
}

impl From<BoxError> for EgressError {
    fn from(error: BoxError) -> Self {
        Self::from_chain(error.as_ref())
    }
}
