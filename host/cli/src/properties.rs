//! Reads the properties file of `--command-config` like Kafka's own commands: credentials and trusted certificates.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use barnabas_auth::hash::ScramHash;
use barnabas_kafka_client::{ClientSecurity, ClientTls, SaslLogin};
use clap::Args;

/// The supported security properties. All other properties are for Java and ignored.
const KNOWN: [&str; 9] = [
    "security.protocol",
    "sasl.mechanism",
    "sasl.jaas.config",
    "sasl.oauthbearer.token",
    "ssl.truststore.location",
    "ssl.truststore.type",
    "ssl.keystore.location",
    "ssl.keystore.type",
    "ssl.endpoint.identification.algorithm",
];

/// The flag of every command that connects to a broker.
#[derive(Args)]
pub(crate) struct CommandConfigArgs {
    /// Properties file with the client's security settings, as for Kafka's commands (security.protocol, sasl.mechanism,
    /// sasl.jaas.config; ssl.truststore.location and ssl.keystore.location in PEM).
    #[arg(long, value_name = "FILE")]
    command_config: Option<PathBuf>,
}

impl CommandConfigArgs {
    /// The security settings of the file, if one is given.
    pub(crate) fn security(&self) -> Result<Option<ClientSecurity>> {
        self.command_config.as_deref().map(security).transpose()
    }
}

/// Reads the file. Unknown security settings are refused: a setting that is meant to protect must not be ignored silently.
fn security(file: &Path) -> Result<ClientSecurity> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    parse(&text).with_context(|| file.display().to_string())
}

fn parse(text: &str) -> Result<ClientSecurity> {
    let settings = settings(text)?;
    let get = |key: &str| settings.get(key).map(String::as_str);
    let (encrypted, named) = match get("security.protocol").unwrap_or("PLAINTEXT").to_uppercase().as_str() {
        "PLAINTEXT" => (false, false),
        "SSL" => (true, false),
        "SASL_PLAINTEXT" => (false, true),
        "SASL_SSL" => (true, true),
        other => bail!("security.protocol is `{other}`; use PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"),
    };
    if let Some("") = get("ssl.endpoint.identification.algorithm") {
        bail!(
            "ssl.endpoint.identification.algorithm is empty, but this command always verifies the broker's host name; \
             remove the property"
        );
    }
    let tls = encrypted.then(|| {
        let authorities = pem(&settings, "truststore")?;
        let identity = pem(&settings, "keystore")?;
        anyhow::Ok(ClientTls { authorities, identity })
    });
    let login = named.then(|| login(get("sasl.mechanism").unwrap_or("GSSAPI"), &settings));
    Ok(ClientSecurity { tls: tls.transpose()?, login: login.transpose()? })
}

fn settings(text: &str) -> Result<BTreeMap<String, String>> {
    let mut settings = BTreeMap::new();
    // A backslash at the end of a line continues it.
    let joined = text.replace("\\\r\n", "").replace("\\\n", "");
    for line in joined.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', '!'])) {
        let (key, value) = line.split_once(['=', ':']).unwrap_or((line, ""));
        let (key, value) = (key.trim(), value.trim());
        let ours = ["security.", "sasl.", "ssl."].iter().any(|begin| key.starts_with(begin));
        ensure!(!ours || KNOWN.contains(&key), "`{key}` is not supported; supported are {}", KNOWN.join(", "));
        settings.insert(key.to_owned(), value.to_owned());
    }
    Ok(settings)
}

/// The key store or trust store, which must be in PEM.
fn pem(settings: &BTreeMap<String, String>, kind: &str) -> Result<Option<PathBuf>> {
    let Some(location) = settings.get(&format!("ssl.{kind}.location")) else { return Ok(None) };
    let form = settings.get(&format!("ssl.{kind}.type")).map_or("JKS", String::as_str);
    ensure!(
        form.eq_ignore_ascii_case("PEM"),
        "ssl.{kind}.type is {form}, but only PEM is supported; convert the store with keytool and openssl, and set \
         ssl.{kind}.type=PEM"
    );
    Ok(Some(location.into()))
}

fn login(mechanism: &str, settings: &BTreeMap<String, String>) -> Result<SaslLogin> {
    let jaas = settings.get("sasl.jaas.config").map_or("", String::as_str);
    let named = |name: &str| {
        let rest = jaas.split_once(&format!("{name}=\"")).map(|(_, rest)| rest);
        let value = rest.and_then(|rest| rest.split_once('"')).map(|(value, _)| value.to_owned());
        value.with_context(|| format!("sasl.jaas.config has no {name}=\"...\""))
    };
    let hash = match mechanism {
        "PLAIN" => return Ok(SaslLogin::Plain { user: named("username")?, password: named("password")? }),
        "OAUTHBEARER" => {
            let token = settings.get("sasl.oauthbearer.token").cloned();
            let token = token.context("OAUTHBEARER needs a valid token in sasl.oauthbearer.token")?;
            return Ok(SaslLogin::Bearer { token });
        }
        "SCRAM-SHA-256" => ScramHash::Sha256,
        "SCRAM-SHA-512" => ScramHash::Sha512,
        other => {
            bail!("sasl.mechanism is {other}; use PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER")
        }
    };
    Ok(SaslLogin::Scram { hash, user: named("username")?, password: named("password")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const JAAS: &str = "sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \\\n  \
                        username=\"alice\" password=\"a=b:c\";";

    #[test]
    fn properties_files_of_kafka_are_read() {
        assert_eq!(parse("# nothing\nretries=5\n").unwrap(), ClientSecurity::default());
        let text = format!(
            "security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\n{JAAS}\nssl.truststore.type=PEM\nssl.truststore.location=/ca.pem"
        );
        let security = parse(&text).unwrap();
        assert_eq!(security.tls, Some(ClientTls { authorities: Some("/ca.pem".into()), identity: None }));
        let expected = SaslLogin::Scram { hash: ScramHash::Sha512, user: "alice".into(), password: "a=b:c".into() };
        assert_eq!(security.login, Some(expected));
        let plain = parse(&format!("security.protocol=sasl_plaintext\nsasl.mechanism=PLAIN\n{JAAS}")).unwrap();
        assert_eq!(plain.login.unwrap().mechanism(), "PLAIN");
    }

    #[test]
    fn unsupported_security_properties_are_refused() {
        for (text, word) in [
            ("security.protocol=KERBEROS", "SASL_SSL"),
            ("ssl.cipher.suites=x", "ssl.cipher.suites"),
            ("security.protocol=SSL\nssl.truststore.location=/a.jks", "PEM"),
            ("security.protocol=SASL_SSL", "GSSAPI"),
            ("security.protocol=SASL_SSL\nsasl.mechanism=PLAIN", "username"),
            ("ssl.endpoint.identification.algorithm=", "always verifies"),
        ] {
            let error = format!("{:#}", parse(text).unwrap_err());
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
