//! Why a request did not go, or did not come back.

use std::error::Error as StdError;
use std::net::IpAddr;

use super::Grants;

/// Any error of a body or a connection.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// Each case is one that a guest can match on (`hooks.rs` has the translation into `wasi:http`'s words).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    /// The allow-list has no such destination.
    #[error("`{host}:{port}` is not granted: add it to `http` in the plugin's [grants]")]
    NotGranted {
        /// As asked for.
        host: String,
        /// As asked for, or the scheme's.
        port: u16,
    },
    /// The name is granted, none of its addresses is.
    #[error("`{host}` is at {address}, which is not public: add its network to `addresses` in the plugin's [grants]")]
    Prohibited {
        /// As asked for.
        host: String,
        /// The first one that was refused.
        address: IpAddr,
    },
    /// It would lead back into this host.
    #[error("`{host}:{port}` is this host's own admin endpoint, which no receiver may reach: send elsewhere")]
    OwnAdminEndpoint {
        /// As asked for.
        host: String,
        /// As asked for, or the scheme's.
        port: u16,
    },
    /// It would come back to this host as a push of a client.
    #[error(
        "`{host}:{port}` is a listener of this host for its clients: what a receiver sends there comes back to it as a \
         push, without end. Send elsewhere, or grant it with `own-listeners = true` in the plugin's [grants]"
    )]
    OwnListener {
        /// As asked for.
        host: String,
        /// As asked for, or the scheme's.
        port: u16,
    },
    /// Not a plain `http` or `https` URI with a host.
    #[error("the request has no usable http or https URI")]
    InvalidUri,
    /// CONNECT would be a tunnel around the guard.
    #[error("the method CONNECT is never sent")]
    ForbiddenMethod,
    /// The name has no address.
    #[error("cannot resolve `{host}`: {reason}")]
    Dns {
        /// As asked for.
        host: String,
        /// From the resolver.
        reason: String,
    },
    /// Nobody listens there.
    #[error("connection refused by {0}")]
    ConnectionRefused(String),
    /// No way there.
    #[error("cannot connect to {0}")]
    Unreachable(String),
    /// Resolving, connecting and TLS took too long.
    #[error("no connection in time")]
    ConnectTimeout,
    /// The answer, or the next piece of it, took too long.
    #[error("no answer in time")]
    ReadTimeout,
    /// As many requests as the plugin may have are under way.
    #[error("{cap} requests are under way, as many as `limits.requests` in the plugin's manifest allows")]
    TooManyRequests {
        /// The limit.
        cap: usize,
    },
    /// What a call of a guest begins ends with the call at the latest.
    #[error("the call that began the request is over")]
    CallEnded,
    /// The server's certificate is not believed.
    #[error("certificate of `{host}` refused: {reason}")]
    Certificate {
        /// Whose name it should carry.
        host: String,
        /// From the verifier.
        reason: String,
    },
    /// The server ended the handshake.
    #[error("TLS alert from the server: {message}")]
    Alert {
        /// RFC 8446 number.
        id: u8,
        /// Its name.
        message: String,
    },
    /// Any other failure of the handshake.
    #[error("TLS with `{host}` failed: {reason}")]
    Tls {
        /// As asked for.
        host: String,
        /// From the TLS library.
        reason: String,
    },
    /// This host has no certificates to judge others by.
    #[error("no root certificates: {0}")]
    NoRootCertificates(String),
    /// The connection ended in the middle.
    #[error("the connection ended before the answer was whole")]
    Terminated,
    /// Not HTTP.
    #[error("HTTP went wrong: {0}")]
    Protocol(String),
    /// The answer's body is over the plugin's limit.
    #[error("the answer is larger than {cap} bytes")]
    ResponseTooLarge {
        /// The limit.
        cap: usize,
    },
}

impl EgressError {
    /// Stable name for metrics and logs.
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

    /// Why the destination was refused, in a sentence for the operator who reads why a call failed; `None` where it was not
    /// refused.
    pub(super) fn denial(&self, grants: &Grants) -> Option<String> {
        match self {
            Self::NotGranted { host, port } if grants.is_empty() => {
                Some(format!("it asked for {}, and nothing is granted", destination(host, *port)))
            }
            Self::NotGranted { host, port } => {
                Some(format!("it asked for {}; granted are {}", destination(host, *port), grants.summary()))
            }
            Self::Prohibited { .. } | Self::OwnAdminEndpoint { .. } | Self::OwnListener { .. } => {
                Some(self.to_string())
            }
            _ => None,
        }
    }

    /// Ours if it is somewhere in the chain, else what HTTP made of it.
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

/// The whole chain: hyper's outermost message alone says little.
fn error_chain(error: &(dyn StdError + 'static)) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(at) = cause {
        words.push_str(": ");
        words.push_str(&at.to_string());
        cause = at.source();
    }
    words
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
