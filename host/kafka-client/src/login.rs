//! SASL from the client's side: SaslHandshake, then tokens in SaslAuthenticate until both sides are authenticated
//! (KIP-43, KIP-152).

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::security::SaslLogin;
use super::{ErrorCode, KafkaClient};
use barnabas_auth::hash::{ScramHash, constant_time_eq};
use barnabas_kafka_wire::wire::WireReader;

const SASL_HANDSHAKE: i16 = 17;
const SASL_AUTHENTICATE: i16 = 36;
/// A broker could request more to keep us busy.
const MAX_ITERATIONS: u32 = 1 << 20;

impl KafkaClient {
    /// Authenticates this client, and with SCRAM also verifies that the broker has the credential.
    pub(super) async fn log_in(&mut self, login: &SaslLogin) -> Result<()> {
        self.sasl_handshake(login.mechanism()).await?;
        match login {
            SaslLogin::Plain { user, password } => {
                self.exchange_token(format!("\0{user}\0{password}").as_bytes()).await.map(|_| ())
            }
            SaslLogin::Bearer { token } => {
                let said = self.exchange_token(format!("n,,\x01auth=Bearer {token}\x01\x01").as_bytes()).await?;
                ensure!(said.is_empty(), "{} refused the token: {}", self.address, String::from_utf8_lossy(&said));
                Ok(())
            }
            SaslLogin::Scram { hash, user, password } => self.scram(*hash, user, password).await,
        }
    }

    async fn sasl_handshake(&mut self, mechanism: &str) -> Result<()> {
        let body = self.request(SASL_HANDSHAKE, 1, false, |out| out.text(false, Some(mechanism.as_bytes()))).await?;
        let mut reader = WireReader::new(&body);
        let code = self.check_decoded(reader.i16("the error code"))?;
        let Err(refused) = ErrorCode::check(code) else { return Ok(()) };
        let count = reader.count(false, 2, "the mechanisms").ok().flatten().unwrap_or_default();
        let known = (0..count).map_while(|_| reader.text(false, "a mechanism").ok());
        let known: Vec<_> = known.map(String::from_utf8_lossy).collect();
        bail!("{} does not support {mechanism}: {refused}; it supports {}", self.address, known.join(", "))
    }

    /// Sends one token and returns the one in the response.
    async fn exchange_token(&mut self, token: &[u8]) -> Result<Vec<u8>> {
        let body = self.request(SASL_AUTHENTICATE, 0, false, |out| out.bytes(false, token)).await?;
        let mut reader = WireReader::new(&body);
        let code = self.check_decoded(reader.i16("the error code"))?;
        let message = self.check_decoded(reader.nullable_text(false, "the error message"))?;
        if let Err(refused) = ErrorCode::check(code) {
            let message = String::from_utf8_lossy(message.unwrap_or_default());
            bail!("{} refused the authentication: {message} ({refused})", self.address);
        }
        Ok(self.check_decoded(reader.bytes(false, "the token"))?.to_vec())
    }

    async fn scram(&mut self, hash: ScramHash, user: &str, password: &str) -> Result<()> {
        let mut random = [0; 18];
        getrandom::fill(&mut random).context("failed to read random bytes from the OS")?;
        let nonce = STANDARD.encode(random);
        let first = format!("n={},r={nonce}", user.replace('=', "=3D").replace(',', "=2C"));
        let challenge = self.exchange_token(format!("n,,{first}").as_bytes()).await?;
        let challenge = String::from_utf8_lossy(&challenge).into_owned();
        let answer = scram_final(hash, password, &first, &nonce, &challenge).with_context(|| self.address.clone())?;
        let last = self.exchange_token(answer.message.as_bytes()).await?;
        let signature = last.strip_prefix(b"v=").and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default();
        ensure!(
            constant_time_eq(&signature, &answer.expected),
            "{} does not have this user's credential: it may be impersonating the broker",
            self.address
        );
        Ok(())
    }
}

/// The last message of the client, and the signature that the broker must send.
struct ScramFinal {
    message: String,
    expected: Vec<u8>,
}

/// RFC 5802 §3.
fn scram_final(hash: ScramHash, password: &str, first: &str, nonce: &str, challenge: &str) -> Result<ScramFinal> {
    let field = |name: &str| challenge.split(',').find_map(|part| part.strip_prefix(name));
    let both = field("r=").filter(|both| both.starts_with(nonce) && both.len() > nonce.len());
    let both = both.context("its nonce does not belong to this exchange")?;
    let salt = field("s=").and_then(|salt| STANDARD.decode(salt).ok()).context("its salt is not Base64")?;
    let iterations = field("i=").and_then(|text| text.parse().ok());
    let iterations =
        iterations.filter(|n| (1..=MAX_ITERATIONS).contains(n)).context("its iteration count is invalid")?;
    let salted = hash.pbkdf2(password.as_bytes(), &salt, iterations);
    let client_key = hash.hmac(&salted, b"Client Key");
    let unproven = format!("c=biws,r={both}");
    let signed = format!("{first},{challenge},{unproven}");
    let signature = hash.hmac(&hash.digest(&client_key), signed.as_bytes());
    let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
    let expected = hash.hmac(&hash.hmac(&salted, b"Server Key"), signed.as_bytes());
    Ok(ScramFinal { message: format!("{unproven},p={}", STANDARD.encode(proof)), expected })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7677 §3.
    #[test]
    fn the_rfcs_example() {
        let nonce = "rOprNGfwEbeRWgbNEkqO";
        let challenge = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let last = scram_final(ScramHash::Sha256, "pencil", &format!("n=user,r={nonce}"), nonce, challenge).unwrap();
        assert_eq!(
            last.message,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert_eq!(STANDARD.encode(last.expected), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn a_foreign_challenge_is_refused() {
        for challenge in [
            "r=other,s=AA==,i=4096",
            "r=n,s=AA==,i=4096",
            "r=nx,s=?,i=4096",
            "r=nx,s=AA==,i=0",
            "r=nx,s=AA==,i=9999999",
        ] {
            assert!(scram_final(ScramHash::Sha512, "p", "n=u,r=n", "n", challenge).is_err(), "{challenge}");
        }
    }
}
