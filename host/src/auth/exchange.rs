//! One attempt of a client, message by message. Each step uses up what it stands on, so no message counts twice.

use std::time::{Duration, SystemTime};

use super::scram::{Challenged, First, Refused};
use super::{Auth, Failure, Fault, MAX_TOKEN, Mechanism, nonce, oauthbearer, plain, token};

/// Where an attempt stands.
#[derive(Debug)]
pub(crate) struct Exchange {
    mechanism: Mechanism,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Begun,
    /// SCRAM waits for the proof.
    Challenged(Box<Challenged>),
    /// OAUTHBEARER has said why, and waits for the client's acknowledgement.
    Refused(Failure),
}

/// What came of a message.
#[derive(Debug)]
pub(crate) enum Step {
    /// Something to answer, and what waits for the next.
    Next { answer: Vec<u8>, exchange: Exchange },
    /// It is who it says.
    Proven { answer: Vec<u8>, name: String, life: Option<Duration> },
    /// It is not.
    Refused(Failure),
}

impl Exchange {
    /// Nothing said yet.
    pub(crate) fn begin(mechanism: Mechanism) -> Self {
        Self { mechanism, stage: Stage::Begun }
    }

    /// Whether its next step derives keys from a password. Those of the others cost microseconds.
    pub(super) fn is_costly(&self) -> bool {
        self.mechanism == Mechanism::Plain
    }

    /// Takes the client's next message. May take milliseconds, and read files.
    pub(super) fn step(self, auth: &Auth, message: &[u8], now: SystemTime) -> Result<Step, Fault> {
        let mechanism = self.mechanism;
        let malformed = |why| Step::Refused(Failure::Malformed(mechanism, why));
        if message.len() > MAX_TOKEN {
            return Ok(malformed("it has more than 64 KiB"));
        }
        let step = match (self.stage, mechanism.scram()) {
            (Stage::Challenged(challenged), _) => Ok(prove(*challenged, mechanism, message)),
            (Stage::Refused(failure), _) => return Ok(Step::Refused(failure)),
            (Stage::Begun, Some(_)) => challenge(auth, mechanism, message, now)?,
            (Stage::Begun, None) if mechanism == Mechanism::Plain => password(auth, message, now)?,
            (Stage::Begun, None) => bearer(auth, message, now)?,
        };
        Ok(step.unwrap_or_else(malformed))
    }
}

fn challenge(auth: &Auth, by: Mechanism, message: &[u8], now: SystemTime) -> Result<Result<Step, &'static str>, Fault> {
    let (users, nonce) = (auth.users(now)?, nonce()?);
    Ok(First::read(message).map(|first| {
        let credential = users.credential(&first.name, by.scram(), &auth.key);
        let (answer, challenged) = first.challenge(credential, &nonce);
        let stage = Stage::Challenged(Box::new(challenged));
        Step::Next { answer: answer.into_bytes(), exchange: Exchange { mechanism: by, stage } }
    }))
}

fn prove(challenged: Challenged, by: Mechanism, message: &[u8]) -> Step {
    match challenged.prove(message) {
        Ok((name, answer)) => Step::Proven { answer: answer.into_bytes(), name, life: None },
        Err(Refused::Wrong) => Step::Refused(Failure::Credentials(by)),
        Err(Refused::Malformed(why)) => Step::Refused(Failure::Malformed(by, why)),
    }
}

fn password(auth: &Auth, message: &[u8], now: SystemTime) -> Result<Result<Step, &'static str>, Fault> {
    let users = auth.users(now)?;
    Ok(plain::read(message).map(|(name, password)| {
        if users.credential(name, None, &auth.key).is_password(password) {
            Step::Proven { answer: Vec::new(), name: name.to_owned(), life: None }
        } else {
            Step::Refused(Failure::Credentials(Mechanism::Plain))
        }
    }))
}

fn bearer(auth: &Auth, message: &[u8], now: SystemTime) -> Result<Result<Step, &'static str>, Fault> {
    let (keys, wanted) = (auth.keys(now)?, &auth.settings.oauth);
    let wanted = wanted.as_ref().ok_or_else(|| Fault("nothing is said about tokens".into()))?;
    Ok(oauthbearer::read(message).map(|said| {
        let holder = token::check(said.token, &keys, wanted, now).and_then(|holder| match said.acting_for {
            Some(other) if other != holder.name => Err("is not of whom the client asks to act for"),
            _ => Ok(holder),
        });
        match holder {
            Ok(holder) => Step::Proven { answer: Vec::new(), name: holder.name, life: Some(holder.life) },
            Err(why) => {
                let stage = Stage::Refused(Failure::Token(why));
                let exchange = Exchange { mechanism: Mechanism::OAuthBearer, stage };
                Step::Next { answer: oauthbearer::INVALID_TOKEN.to_vec(), exchange }
            }
        }
    }))
}
