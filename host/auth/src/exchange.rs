//! One authentication attempt, message by message. Each step consumes its state, so no message counts twice.

use std::time::{Duration, SystemTime};

use super::scram::{ClientFirstMessage, ScramChallenge, ScramRefusal};
use super::{Auth, AuthFailure, AuthInternalError, MAX_TOKEN, SaslMechanism, nonce, oauthbearer, plain, token};

/// The state of an attempt.
#[derive(Debug)]
pub struct SaslExchange {
    mechanism: SaslMechanism,
    stage: SaslStage,
}

#[derive(Debug)]
enum SaslStage {
    Initial,
    /// SCRAM waits for the proof.
    Challenged(Box<ScramChallenge>),
    /// OAUTHBEARER has sent the error, and waits for the client's acknowledgement.
    Refused(AuthFailure),
}

/// The result of a message.
#[derive(Debug)]
pub enum SaslStep {
    /// A token to send, and the state that waits for the next message.
    Continue {
        /// The server's message.
        answer: Vec<u8>,
        /// The exchange, which waits for the client's next message.
        exchange: SaslExchange,
    },
    /// The client is authenticated.
    Authenticated {
        /// The server's last message.
        answer: Vec<u8>,
        /// The name of the user, or the claim of the token.
        name: String,
        /// How long the session may last; without end if there is none.
        lifetime: Option<Duration>,
    },
    /// The client is not authenticated.
    Refused(AuthFailure),
}

impl SaslExchange {
    /// The initial state.
    pub fn begin(mechanism: SaslMechanism) -> Self {
        Self { mechanism, stage: SaslStage::Initial }
    }

    /// Whether its next step derives keys from a password. The steps of the other mechanisms cost microseconds.
    pub(super) fn is_costly(&self) -> bool {
        self.mechanism == SaslMechanism::Plain
    }

    /// Handles the client's next message. May take milliseconds, and read files.
    pub(super) fn step(self, auth: &Auth, message: &[u8], now: SystemTime) -> Result<SaslStep, AuthInternalError> {
        let mechanism = self.mechanism;
        let malformed = |why| SaslStep::Refused(AuthFailure::Malformed(mechanism, why));
        if message.len() > MAX_TOKEN {
            return Ok(malformed("it is longer than 64 KiB"));
        }
        let step = match (self.stage, mechanism.scram()) {
            (SaslStage::Challenged(challenged), _) => Ok(verify_proof(*challenged, mechanism, message)),
            (SaslStage::Refused(failure), _) => return Ok(SaslStep::Refused(failure)),
            (SaslStage::Initial, Some(_)) => challenge(auth, mechanism, message, now)?,
            (SaslStage::Initial, None) if mechanism == SaslMechanism::Plain => password(auth, message, now)?,
            (SaslStage::Initial, None) => bearer(auth, message, now)?,
        };
        Ok(step.unwrap_or_else(malformed))
    }
}

fn challenge(
    auth: &Auth,
    by: SaslMechanism,
    message: &[u8],
    now: SystemTime,
) -> Result<Result<SaslStep, &'static str>, AuthInternalError> {
    let (users, nonce) = (auth.users(now)?, nonce()?);
    Ok(ClientFirstMessage::read(message).map(|first| {
        let credential = users.credential(&first.name, by.scram(), &auth.key);
        let (answer, challenged) = first.challenge(credential, &nonce);
        let stage = SaslStage::Challenged(Box::new(challenged));
        SaslStep::Continue { answer: answer.into_bytes(), exchange: SaslExchange { mechanism: by, stage } }
    }))
}

fn verify_proof(challenged: ScramChallenge, by: SaslMechanism, message: &[u8]) -> SaslStep {
    match challenged.verify(message) {
        Ok((name, answer)) => SaslStep::Authenticated { answer: answer.into_bytes(), name, lifetime: None },
        Err(ScramRefusal::WrongProof) => SaslStep::Refused(AuthFailure::Credentials(by)),
        Err(ScramRefusal::Malformed(why)) => SaslStep::Refused(AuthFailure::Malformed(by, why)),
    }
}

fn password(auth: &Auth, message: &[u8], now: SystemTime) -> Result<Result<SaslStep, &'static str>, AuthInternalError> {
    let users = auth.users(now)?;
    Ok(plain::read(message).map(|(name, password)| {
        if users.credential(name, None, &auth.key).verify_password(password) {
            SaslStep::Authenticated { answer: Vec::new(), name: name.to_owned(), lifetime: None }
        } else {
            SaslStep::Refused(AuthFailure::Credentials(SaslMechanism::Plain))
        }
    }))
}

fn bearer(auth: &Auth, message: &[u8], now: SystemTime) -> Result<Result<SaslStep, &'static str>, AuthInternalError> {
    let (keys, requirements) = (auth.keys(now)?, &auth.settings.oauth);
    let wanted = requirements.as_ref().ok_or_else(|| AuthInternalError("there are no OAuth settings".into()))?;
    Ok(oauthbearer::read(message).map(|bearer| {
        let holder = token::check(bearer.token, &keys, wanted, now).and_then(|holder| match bearer.acting_for {
            Some(other) if other != holder.name => Err("does not belong to the user that the client asks to act for"),
            _ => Ok(holder),
        });
        match holder {
            Ok(holder) => {
                SaslStep::Authenticated { answer: Vec::new(), name: holder.name, lifetime: Some(holder.lifetime) }
            }
            Err(why) => {
                let stage = SaslStage::Refused(AuthFailure::Token(why));
                let exchange = SaslExchange { mechanism: SaslMechanism::OAuthBearer, stage };
                SaslStep::Continue { answer: oauthbearer::INVALID_TOKEN.to_vec(), exchange }
            }
        }
    }))
}
