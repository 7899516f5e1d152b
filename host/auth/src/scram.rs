//! SCRAM, the server's side (RFC 5802, RFC 7677): two messages of the client, two responses.
//!
//! As in Kafka: no channel binding, names and passwords without SASLprep, unknown extensions are ignored. Each message
//! consumes the state before it, so none can be replayed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::credential::ScramCredential;

/// The most bytes of a client's nonce; Kafka's have 26.
const LONGEST_NONCE: usize = 1024;

/// The client's first message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ClientFirstMessage<'a> {
    /// The user name that the client sent.
    pub(super) name: String,
    /// The part before `bare`: the client repeats and signs it at the end.
    header: &'a str,
    /// The message without the header.
    bare: &'a str,
    nonce: &'a str,
}

/// Waits for the client's proof.
#[derive(Debug)]
pub(super) struct ScramChallenge {
    name: String,
    credential: ScramCredential,
    header: String,
    nonce: String,
    /// Both messages so far, each followed by a comma: the beginning of what is signed.
    transcript: String,
}

/// Why a proof is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScramRefusal {
    Malformed(&'static str),
    /// Well-formed, but wrong.
    WrongProof,
}

impl<'a> ClientFirstMessage<'a> {
    pub(super) fn read(token: &'a [u8]) -> Result<Self, &'static str> {
        let text = std::str::from_utf8(token).map_err(|_| "it is not UTF-8")?;
        let (flag, rest) = text.split_once(',').ok_or("it has no header")?;
        // `y`: the client supports channel binding and believes that the server does not.
        if flag != "n" && flag != "y" {
            return Err("it asks for channel binding, which is not offered");
        }
        let (acting_for, bare) = rest.split_once(',').ok_or("it has no header")?;
        let mut fields = bare.split(',');
        let name = unescaped(fields.next().and_then(|field| field.strip_prefix("n=")).ok_or("it has no user")?)?;
        let nonce = fields.next().and_then(|field| field.strip_prefix("r=")).ok_or("it has no nonce")?;
        if nonce.is_empty() || nonce.len() > LONGEST_NONCE || !nonce.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("its nonce is empty, too long or not printable");
        }
        let acts_alone = acting_for.is_empty()
            || acting_for.strip_prefix("a=").and_then(|text| unescaped(text).ok()).is_some_and(|text| text == name);
        if !acts_alone {
            return Err("it asks to act for another user");
        }
        let header = text.strip_suffix(bare).unwrap_or_default();
        Ok(Self { name, header, bare, nonce })
    }

    /// The response, and the state that waits for the next message.
    pub(super) fn challenge(self, credential: ScramCredential, nonce: &str) -> (String, ScramChallenge) {
        let nonce = format!("{}{nonce}", self.nonce);
        let salt = STANDARD.encode(&credential.salt);
        let answer = format!("r={nonce},s={salt},i={}", credential.iterations);
        let transcript = format!("{},{answer},", self.bare);
        (answer, ScramChallenge { name: self.name, credential, header: self.header.to_owned(), nonce, transcript })
    }
}

impl ScramChallenge {
    /// The user name, and the last response, which authenticates the server.
    pub(super) fn verify(self, token: &[u8]) -> Result<(String, String), ScramRefusal> {
        let malformed = ScramRefusal::Malformed;
        let text = std::str::from_utf8(token).map_err(|_| malformed("it is not UTF-8"))?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(malformed("it has no proof"))?;
        let proof = STANDARD.decode(proof).map_err(|_| malformed("its proof is not Base64"))?;
        let mut fields = without_proof.split(',');
        let header = fields.next().and_then(|field| field.strip_prefix("c=")).ok_or(malformed("it has no header"))?;
        let nonce = fields.next().and_then(|field| field.strip_prefix("r=")).ok_or(malformed("it has no nonce"))?;
        if header != STANDARD.encode(&self.header) {
            return Err(malformed("its header is not that of the first message"));
        }
        if nonce != self.nonce {
            return Err(malformed("its nonce is not that of this exchange"));
        }
        let message = self.transcript + without_proof;
        if !self.credential.verify_proof(&proof, message.as_bytes()) {
            return Err(ScramRefusal::WrongProof);
        }
        let signature = STANDARD.encode(self.credential.signature(message.as_bytes()));
        Ok((self.name, format!("v={signature}")))
    }
}

/// Decodes a name: comma and equals sign are encoded as `=2C` and `=3D`.
fn unescaped(text: &str) -> Result<String, &'static str> {
    let mut parts = text.split('=');
    let mut name = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (sign, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return Err("its user is not escaped correctly"),
        };
        name.push(sign);
        name.push_str(rest);
    }
    if name.is_empty() { Err("its user is empty") } else { Ok(name) }
}

#[cfg(test)]
mod tests;
