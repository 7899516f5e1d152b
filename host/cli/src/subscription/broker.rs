//! Flags that select the broker, and the connection to it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use barnabas::config::Config;
use barnabas_ingress::kafka;
use barnabas_kafka_client::{ClientSecurity, KafkaClient, KafkaClientOptions, ResourceAnswer};
use clap::Args;

use super::super::ConfigArgs;
use super::super::properties::CommandConfigArgs;

/// Flags of every command that connects to a broker.
#[derive(Args)]
pub(super) struct BrokerArgs {
    /// Broker as host:port, several separated by commas. Default: the first configured Kafka listener that fits
    /// --command-config or, without that, the first one with neither TLS nor SASL.
    #[arg(long, value_name = "HOST:PORT", visible_alias = "broker-list")]
    bootstrap_server: Option<String>,
    #[command(flatten)]
    command: CommandConfigArgs,
    #[command(flatten)]
    pub(super) config: ConfigArgs,
    /// Print one JSON document.
    #[arg(long)]
    pub(super) json: bool,
}

/// The name of a subscription: a positional argument, or a flag as in Kafka's command.
#[derive(Args)]
pub(super) struct SubscriptionNameArgs {
    /// Name of the subscription.
    #[arg(long = "name", value_name = "NAME", conflicts_with = "name")]
    named: Option<String>,
    /// Name of the subscription.
    #[arg(required_unless_present = "named")]
    name: Option<String>,
}

impl SubscriptionNameArgs {
    pub(super) fn name(&self) -> String {
        self.named.as_ref().or(self.name.as_ref()).cloned().unwrap_or_default()
    }
}

impl BrokerArgs {
    /// Runs `work` with a connection.
    pub(super) fn run_with_client<T>(&self, work: impl AsyncFnOnce(&mut KafkaClient) -> Result<T>) -> Result<T> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("cannot start a runtime for the connection")?;
        runtime.block_on(async {
            let security = self.command.security()?;
            let address = self.address(security.as_ref())?;
            let options = KafkaClientOptions {
                timeout: Duration::from_secs(30),
                security: security.unwrap_or_default(),
                ..KafkaClientOptions::default()
            };
            let mut client = KafkaClient::connect(&address, &options).await?;
            work(&mut client).await
        })
    }

    fn address(&self, security: Option<&ClientSecurity>) -> Result<String> {
        if let Some(address) = &self.bootstrap_server {
            return Ok(address.clone());
        }
        let (_, config) = Config::load(self.config.config.as_deref())?;
        Ok(reachable(choose_listener(&config.kafka, security)?.bind).to_string())
    }
}

/// The first listener that requires TLS and SASL exactly if `security` has them. If `security` is given and fits no
/// listener, the first listener.
fn choose_listener<'l>(
    listeners: &'l [kafka::KafkaListenerConfig],
    security: Option<&ClientSecurity>,
) -> Result<&'l kafka::KafkaListenerConfig> {
    let first = listeners.first();
    let first = first.context("the configuration has no Kafka listener; specify a broker with --bootstrap-server")?;
    let ours = security.map_or((false, false), |ours| (ours.tls.is_some(), ours.login.is_some()));
    let fitting = listeners.iter().find(|one| (one.tls.is_some(), one.auth.is_some()) == ours);
    match (fitting, security) {
        (Some(fitting), _) => Ok(fitting),
        (None, Some(_)) => Ok(first),
        (None, None) => bail!(
            "every configured Kafka listener requires TLS or SASL; pass the security settings with --command-config, or \
             specify a broker with --bootstrap-server"
        ),
    }
}

/// The address at which a local listener can be reached from this machine.
fn reachable(bind: SocketAddr) -> SocketAddr {
    let loopback = match bind.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        other => other,
    };
    SocketAddr::new(loopback, bind.port())
}

/// The message of a successful response, or the error of the broker.
pub(super) fn require_success(what: &str, answer: ResourceAnswer) -> Result<Option<String>> {
    match (answer.error, answer.message) {
        (None, message) => Ok(message),
        (Some(code), Some(message)) => bail!("{what}: {message} ({code})"),
        (Some(code), None) => bail!("{what}: the broker returned {code}"),
    }
}

#[cfg(test)]
mod tests {
    use barnabas_auth::{Auth, AuthSettings, SaslMechanism};
    use barnabas_kafka_client::{ClientTls, SaslLogin};

    use super::*;

    #[test]
    fn a_listener_on_all_addresses_is_reached_on_loopback() {
        let reach = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(reach("0.0.0.0:9092"), "127.0.0.1:9092");
        assert_eq!(reach("[::]:9092"), "[::1]:9092");
        assert_eq!(reach("10.1.2.3:9092"), "10.1.2.3:9092");
    }

    #[test]
    fn the_listener_that_fits_the_security_settings_is_chosen() {
        let users = tempfile::NamedTempFile::new().unwrap();
        let settings = AuthSettings {
            mechanisms: vec![SaslMechanism::Plain],
            users: Some(users.path().into()),
            oauth: None,
            max_session: None,
            failure_delay: Duration::ZERO,
        };
        let plain = kafka::KafkaListenerConfig::new("plain", "127.0.0.1:1".parse().unwrap());
        let sasl = kafka::KafkaListenerConfig {
            name: "sasl".into(),
            auth: Some(Auth::new(settings).unwrap()),
            ..plain.clone()
        };
        let login = SaslLogin::Plain { user: "a".into(), password: "b".into() };
        let (nothing, named) = (ClientSecurity::default(), ClientSecurity { login: Some(login), tls: None });
        let encrypted = ClientSecurity { tls: Some(ClientTls::default()), ..named.clone() };
        let name = |listeners: &[kafka::KafkaListenerConfig], security| {
            choose_listener(listeners, security).map(|one| one.name.to_string())
        };
        let both = [sasl.clone(), plain.clone()];
        assert_eq!(name(&both, None).unwrap(), "plain");
        assert_eq!(name(&both, Some(&nothing)).unwrap(), "plain");
        assert_eq!(name(&both, Some(&named)).unwrap(), "sasl");
        assert_eq!(name(&[plain, sasl.clone()], Some(&named)).unwrap(), "sasl");
        assert_eq!(name(&both, Some(&encrypted)).unwrap(), "sasl", "the first, which may be behind a TLS proxy");
        assert!(name(&[sasl], None).unwrap_err().to_string().contains("--command-config"));
        assert!(name(&[], None).unwrap_err().to_string().contains("no Kafka listener"));
    }

    #[test]
    fn a_refusal_has_the_message_and_the_code_of_the_broker() {
        let code = barnabas_kafka_client::ErrorCode(40);
        let refused = ResourceAnswer { error: Some(code), message: Some("bad match".into()) };
        assert_eq!(
            require_success("basic", refused).unwrap_err().to_string(),
            "basic: bad match (INVALID_CONFIG (40))"
        );
        let refused = ResourceAnswer { error: Some(code), message: None };
        assert!(require_success("basic", refused).unwrap_err().to_string().contains("INVALID_CONFIG (40)"));
        let message = Some("2 learn of it".into());
        assert_eq!(
            require_success("basic", ResourceAnswer { error: None, message: message.clone() }).unwrap(),
            message
        );
    }
}
