//! Who a client is: SASL's mechanisms, without sockets.
//!
//! In: tokens of a client, one after the other, and the time. Out: tokens to answer with, and in the end a name or why
//! there is none. Passwords are known only as SCRAM credentials, which one cannot log in with. Bounded: a token of 64 KiB,
//! files by their own caps. Checks run on threads that may take their time, one for each connection; those of a password,
//! which cost milliseconds by design, only so many at once, and who waits for a turn too long is sent away by a fault: its
//! client comes back, and those that are served still listen. Never says to a client whether the user or the password was
//! wrong, and takes the same steps for both.

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

/// Most bytes of a token; Kafka's broker takes 512 KiB, the largest tokens in use have a few.
pub(crate) const MAX_TOKEN: usize = 64 << 10;

/// Longest wait for a turn: clients give up after ten seconds and more, so that whoever is served is still there.
const MAX_CHECK_WAIT: Duration = Duration::from_secs(5);

/// What the clients of one listener prove themselves with. Reads its files at first when it is asked to be
/// [ready](Self::ready), and again when they changed.
pub struct Auth {
    settings: AuthSettings,
    users: Option<WatchedFile<Users>>,
    keys: Option<WatchedFile<VerificationKeys>>,
    /// Makes up salts for users that do not exist; nobody else has it.
    key: [u8; 32],
    /// One for each check of a password that may be under way.
    password_checks: Arc<Semaphore>,
}

/// A fault of ours, in words for the log: the client did nothing wrong and hears nothing of it.
#[derive(Debug)]
pub struct AuthInternalError(String);

impl Auth {
    /// Opens nothing yet. An error is one sentence about settings that make no sense.
    pub fn new(settings: AuthSettings) -> Result<Arc<Self>, String> {
        settings.check()?;
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| format!("no random bytes are to be had: {error}"))?;
        Ok(Arc::new(Self {
            users: settings.users.as_deref().map(|file| WatchedFile::new(file, users::FILE)),
            keys: settings.oauth.as_ref().map(|oauth| WatchedFile::new(&oauth.jwks, keys::FILE)),
            settings,
            key,
            password_checks: Arc::new(Semaphore::new(max_concurrent_checks())),
        }))
    }

    /// Reads the files. An error is one sentence that names the file and the remedy. Blocks.
    pub fn load_files(&self, now: SystemTime) -> Result<(), String> {
        self.users.as_ref().map_or(Ok(()), |users| users.get(now).map(drop))?;
        self.keys.as_ref().map_or(Ok(()), |keys| keys.get(now).map(drop))
    }

    /// What was asked for.
    pub fn settings(&self) -> &AuthSettings {
        &self.settings
    }

    /// The enabled mechanism of this name.
    pub fn mechanism(&self, name: &[u8]) -> Option<SaslMechanism> {
        self.settings.mechanisms.iter().copied().find(|mechanism| mechanism.name().as_bytes() == name)
    }

    /// Takes the client's next token where it may take its time. A password waits for its turn when too many are being
    /// checked; an error is a fault of ours, or that the wait was too long.
    pub async fn advance(
        self: &Arc<Self>,
        exchange: SaslExchange,
        token: Bytes,
        now: SystemTime,
    ) -> Result<SaslStep, AuthInternalError> {
        let turn = if exchange.is_costly() { Some(self.acquire_check().await?) } else { None };
        let auth = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            // Held by the work, not by who waits for it: a client that hangs up does not make room for another.
            let _turn = turn;
            exchange.step(&auth, &token, now)
        });
        done.await.map_err(|error| AuthInternalError(error.to_string()))?
    }

    async fn acquire_check(&self) -> Result<OwnedSemaphorePermit, AuthInternalError> {
        let turn = timeout(MAX_CHECK_WAIT, self.password_checks.clone().acquire_owned()).await.map_err(|_| {
            AuthInternalError(format!(
                "its password waited {MAX_CHECK_WAIT:?} for its turn; SCRAM-SHA-512 costs the host far less"
            ))
        })?;
        turn.map_err(|error| AuthInternalError(error.to_string()))
    }

    fn users(&self, now: SystemTime) -> Result<Arc<Users>, AuthInternalError> {
        let users = self.users.as_ref().ok_or_else(|| AuthInternalError("there is no users file".into()))?;
        users.get(now).map_err(AuthInternalError)
    }

    fn keys(&self, now: SystemTime) -> Result<Arc<VerificationKeys>, AuthInternalError> {
        let keys = self.keys.as_ref().ok_or_else(|| AuthInternalError("there is no file of keys".into()))?;
        keys.get(now).map_err(AuthInternalError)
    }
}

/// Half of the processors: the doors run on them, too.
fn max_concurrent_checks() -> usize {
    std::thread::available_parallelism().map_or(1, |all| (all.get() / 2).max(1))
}

/// What nobody can guess and SCRAM can carry: 24 random bytes as text.
fn nonce() -> Result<String, AuthInternalError> {
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes)
        .map_err(|error| AuthInternalError(format!("no random bytes are to be had: {error}")))?;
    Ok(STANDARD.encode(bytes))
}

impl PartialEq for Auth {
    /// Two are the same that were asked for in the same words.
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
