//! Which broker is asked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use barnabas::config::Config;
use barnabas::kafka::client::{Answer, Client, Options};
use clap::Args;

use super::super::ConfigFile;
use super::super::properties::CommandConfig;

/// Flags of every command that asks a broker.
#[derive(Args)]
pub(super) struct BrokerFlags {
    /// The broker: host:port, several separated by commas. Default: the first Kafka listener of the configuration.
    #[arg(long, value_name = "HOST:PORT", visible_alias = "broker-list")]
    bootstrap_server: Option<String>,
    #[command(flatten)]
    command: CommandConfig,
    #[command(flatten)]
    pub(super) config: ConfigFile,
    /// Print one JSON document.
    #[arg(long)]
    pub(super) json: bool,
}

impl BrokerFlags {
    /// Runs `work` with a connection.
    pub(super) fn with<T>(&self, work: impl AsyncFnOnce(&mut Client) -> Result<T>) -> Result<T> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("no thread can be set up for the connection")?;
        runtime.block_on(async {
            let mut options = Options::default();
            options.timeout = Duration::from_secs(30);
            options.security = self.command.security()?.unwrap_or_default();
            let mut client = Client::connect(&self.address()?, &options).await?;
            work(&mut client).await
        })
    }

    fn address(&self) -> Result<String> {
        if let Some(address) = &self.bootstrap_server {
            return Ok(address.clone());
        }
        let (_, config) = Config::load(self.config.config.as_deref())?;
        let listener = config
            .kafka
            .first()
            .context("the configuration has no Kafka listener; name a broker with --bootstrap-server")?;
        Ok(reachable(listener.bind).to_string())
    }
}

/// Where this machine reaches a listener of its own.
fn reachable(bind: SocketAddr) -> SocketAddr {
    let loopback = match bind.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        other => other,
    };
    SocketAddr::new(loopback, bind.port())
}

/// What was said beside the answer, or the refusal as an error.
pub(super) fn accepted(what: &str, answer: Answer) -> Result<Option<String>> {
    match (answer.refused, answer.message) {
        (None, message) => Ok(message),
        (Some(code), Some(message)) => bail!("{what}: {message} ({code})"),
        (Some(code), None) => bail!("{what}: the broker answered {code}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_every_address_is_asked_on_loopback() {
        let reach = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(reach("0.0.0.0:9092"), "127.0.0.1:9092");
        assert_eq!(reach("[::]:9092"), "[::1]:9092");
        assert_eq!(reach("10.1.2.3:9092"), "10.1.2.3:9092");
    }

    #[test]
    fn a_refusal_is_told_in_the_brokers_words() {
        let code = barnabas::kafka::client::ErrorCode(40);
        let refused = Answer { refused: Some(code), message: Some("bad match".into()) };
        assert_eq!(accepted("basic", refused).unwrap_err().to_string(), "basic: bad match (INVALID_CONFIG (40))");
        let refused = Answer { refused: Some(code), message: None };
        assert!(accepted("basic", refused).unwrap_err().to_string().contains("INVALID_CONFIG (40)"));
        let message = Some("2 learn of it".into());
        assert_eq!(accepted("basic", Answer { refused: None, message: message.clone() }).unwrap(), message);
    }
}
