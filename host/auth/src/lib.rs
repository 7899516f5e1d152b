//! Authentication of clients: the SASL mechanisms, without sockets.
//!
//! In: tokens of a client, one after another, and the time. Out: tokens to answer with, and in the end a name or the
//! reason of the failure. Passwords exist only as SCRAM credentials, which cannot be used to log in. Bounded: a token
//! of 64 KiB, files by their own limits. Checks run on threads that may block, one for each connection. Checks of a
//! password, which cost milliseconds by design, are limited in number; a client that waits too long for one gets an
//! internal error, so that it connects again while the clients being served still get their answer. Never tells a
//! client whether the user or the password was wrong, and performs the same steps for both.

pub mod credential;
mod exchange;
mod failure;
pub mod hash;
mod keys;
mod mechanism;
mod oauthbearer;
mod plain;
mod scram;
mod settings;
mod token;
pub mod users;
mod watched_file;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use keys::VerificationKeys;
use users::Users;
use watched_file::WatchedFile;

pub use exchange::{SaslExchange, SaslStep};
pub use failure::AuthFailure;
pub use failure::CLIENT_MESSAGE;
pub use mechanism::SaslMechanism;
pub use settings::{AuthSettings, OAuthSettings};

/// The most bytes of a token; Kafka's broker accepts 512 KiB, and the largest tokens in use have a few.
pub(crate) const MAX_TOKEN: usize = 64 << 10;

/// The longest wait for a password check: clients give up after ten seconds or more, so a client that is served is
/// still there.
const MAX_CHECK_WAIT: Duration = Duration::from_secs(5);

/// How the clients of one listener authenticate. Its files are read by [`load_files`](Self::load_files), and reloaded
/// when they change.
pub struct Auth {
    settings: AuthSettings,
    users: Option<WatchedFile<Users>>,
    keys: Option<WatchedFile<VerificationKeys>>,
    /// The secret from which the salts of unknown users are derived.
    key: [u8; 32],
    /// One permit for each password check that may run at the same time.
    password_checks: Arc<Semaphore>,
}

/// An internal error, as text for the log: the client did nothing wrong and gets no details.
#[derive(Debug)]
pub struct AuthInternalError(String);

impl Auth {
    /// Opens no file yet. The error is one sentence about inconsistent settings.
    pub fn new(settings: AuthSettings) -> Result<Arc<Self>, String> {
        settings.check()?;
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| format!("failed to read random bytes from the OS: {error}"))?;
        Ok(Arc::new(Self {
            users: settings.users.as_deref().map(|file| WatchedFile::new(file, users::FILE)),
            keys: settings.oauth.as_ref().map(|oauth| WatchedFile::new(&oauth.jwks, keys::FILE)),
            settings,
            key,
            password_checks: Arc::new(Semaphore::new(max_concurrent_checks())),
        }))
    }

    /// Reads the files. The error is one sentence that names the file and the remedy. Blocks.
    pub fn load_files(&self, now: SystemTime) -> Result<(), String> {
        self.users.as_ref().map_or(Ok(()), |users| users.get(now).map(drop))?;
        self.keys.as_ref().map_or(Ok(()), |keys| keys.get(now).map(drop))
    }

    /// The settings.
    pub fn settings(&self) -> &AuthSettings {
        &self.settings
    }

    /// The enabled mechanism with this name.
    pub fn mechanism(&self, name: &[u8]) -> Option<SaslMechanism> {
        self.settings.mechanisms.iter().copied().find(|mechanism| mechanism.name().as_bytes() == name)
    }

    /// Handles the client's next token on a thread that may block. A password check waits while too many are running;
    /// the error is an internal one, or that the wait was too long.
    pub async fn advance(
        self: &Arc<Self>,
        exchange: SaslExchange,
        token: Bytes,
        now: SystemTime,
    ) -> Result<SaslStep, AuthInternalError> {
        let turn = if exchange.is_costly() { Some(self.acquire_check().await?) } else { None };
        let auth = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            // The permit is held by the work and not by its caller: a client that disconnects does not free it for
            // another.
            let _turn = turn;
            exchange.step(&auth, &token, now)
        });
        done.await.map_err(|error| AuthInternalError(error.to_string()))?
    }

    async fn acquire_check(&self) -> Result<OwnedSemaphorePermit, AuthInternalError> {
        let turn = timeout(MAX_CHECK_WAIT, self.password_checks.clone().acquire_owned()).await.map_err(|_| {
            AuthInternalError(format!(
                "a password check did not start within {MAX_CHECK_WAIT:?}, because too many were running; \
                 SCRAM-SHA-512 costs the host far less"
            ))
        })?;
        turn.map_err(|error| AuthInternalError(error.to_string()))
    }

    fn users(&self, now: SystemTime) -> Result<Arc<Users>, AuthInternalError> {
        let users = self.users.as_ref().ok_or_else(|| AuthInternalError("there is no users file".into()))?;
        users.get(now).map_err(AuthInternalError)
    }

    fn keys(&self, now: SystemTime) -> Result<Arc<VerificationKeys>, AuthInternalError> {
        let keys = self.keys.as_ref().ok_or_else(|| AuthInternalError("there is no JWK set file".into()))?;
        keys.get(now).map_err(AuthInternalError)
    }
}

/// Half of the processors: the listeners run on them, too.
fn max_concurrent_checks() -> usize {
    std::thread::available_parallelism().map_or(1, |all| (all.get() / 2).max(1))
}

/// An unguessable value that SCRAM can transport: 24 random bytes as text.
fn nonce() -> Result<String, AuthInternalError> {
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes)
        .map_err(|error| AuthInternalError(format!("failed to read random bytes from the OS: {error}")))?;
    Ok(STANDARD.encode(bytes))
}

impl PartialEq for Auth {
    /// Two are equal if they have equal settings.
    fn eq(&self, other: &Self) -> bool {
        self.settings == other.settings
    }
}

impl Eq for Auth {}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl fmt::Display for AuthInternalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(any(test, feature = "testing"))]
pub mod testing;

#[cfg(test)]
mod tests;
