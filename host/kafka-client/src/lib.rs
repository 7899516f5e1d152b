//! Our own Kafka client: one TCP connection to any broker, one request at a time.
//!
//! In: the address of a broker, requests. Out: the bodies of responses, decoded by the modules beside this file
//! ([`ClusterMetadata`], [`TelemetrySubscription`]). Bounded by a cap on the response's length, which is checked before
//! anything is allocated, and by one timeout for each request. After a response that does not match its request the
//! connection is not used any more: nothing is ever read from the middle of a stream. Never reconnects by itself.

mod api_versions;
mod error_code;
mod login;
mod metadata;
mod options;
mod security;
mod stream;
mod subscriptions;
mod telemetry;

use std::io;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use barnabas_kafka_wire::api::Api;
use barnabas_kafka_wire::wire::{WireReader, WireWriter};
use stream::ClientStream;

pub use error_code::ErrorCode;
pub use metadata::{BrokerAddress, ClusterMetadata};
pub use options::KafkaClientOptions;
pub use security::{ClientSecurity, ClientTls, SaslLogin};
pub use subscriptions::{ResourceAnswer, SettingChange, SettingOp, SubscriptionDescription, SubscriptionSetting};
pub use telemetry::{TelemetryPush, TelemetrySubscription};

/// The longest response that is read, in bytes. The longest of a healthy broker, Metadata with many topics, is far
/// below.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// One connection.
#[derive(Debug)]
pub struct KafkaClient {
    stream: ClientStream,
    /// The address that answered, for messages.
    address: String,
    client_id: String,
    timeout: Duration,
    correlation: i32,
    /// Key, lowest and highest version, as advertised by the broker.
    offered: Vec<(i16, i16, i16)>,
    /// A response is outstanding or was invalid: the next bytes cannot be interpreted.
    unusable: bool,
    sent: u64,
}

impl KafkaClient {
    /// Connects to the first of the addresses (`host:port`, several separated by commas) that answers, and requests its
    /// versions (ApiVersions v3 with the software's name; v0 if the broker does not support v3, KIP-511).
    ///
    /// # Errors
    ///
    /// One sentence that names every address that was tried, and why each did not answer as a broker.
    pub async fn connect(address: &str, options: &KafkaClientOptions) -> Result<Self> {
        let mut failures = Vec::new();
        for one in address.split(',').map(str::trim).filter(|one| !one.is_empty()) {
            match Self::connect_to(one, options).await {
                Ok(client) => return Ok(client),
                Err(error) => failures.push(format!("{error:#}")),
            }
        }
        if failures.is_empty() {
            bail!("no broker address given; write host:port, several separated by commas");
        }
        Err(anyhow!(failures.join("; ")))
    }

    async fn connect_to(address: &str, options: &KafkaClientOptions) -> Result<Self> {
        let stream = with_timeout(options.timeout, ClientStream::open(address, options)).await;
        let stream = stream.with_context(|| {
            format!("cannot connect to {address}; check the address and that the broker is running")
        })?;
        let mut client = Self {
            stream,
            address: address.to_owned(),
            client_id: options.client_id.clone(),
            timeout: options.timeout,
            correlation: 0,
            offered: Vec::new(),
            unusable: false,
            sent: 0,
        };
        client.offered = client.request_api_versions(&options.software).await?;
        if let Some(login) = &options.security.login {
            client.log_in(login).await?;
        }
        Ok(client)
    }

    /// The versions of a request that the broker advertises, lowest and highest; `None` if it does not advertise the
    /// request.
    pub fn versions(&self, api_key: i16) -> Option<(i16, i16)> {
        self.offered.iter().find(|(key, ..)| *key == api_key).map(|(_, least, most)| (*least, *most))
    }

    /// Whether both requests of KIP-714 are advertised.
    pub fn offers_telemetry(&self) -> bool {
        [Api::GetTelemetrySubscriptions, Api::PushTelemetry].iter().all(|api| self.versions(api.key()).is_some())
    }

    /// The address that answered, `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Bytes sent so far, including the frames' lengths.
    pub fn bytes_sent(&self) -> u64 {
        self.sent
    }

    /// Sets the `client.id` of later requests: one connection may be used for several clients in turn.
    pub fn set_client_id(&mut self, client_id: &str) {
        client_id.clone_into(&mut self.client_id);
    }

    /// Sends a request and returns the response's body, without its header.
    ///
    /// # Errors
    ///
    /// One sentence that names the address: the connection was lost, the response timed out, is too long or does not
    /// belong to this request. The connection cannot be used after that.
    pub(crate) async fn request(
        &mut self,
        api_key: i16,
        version: i16,
        flexible: bool,
        body: impl FnOnce(&mut WireWriter),
    ) -> Result<Vec<u8>> {
        if self.unusable {
            bail!("the connection to {} was lost earlier; connect again", self.address);
        }
        self.correlation = self.correlation.wrapping_add(1);
        let mut out = WireWriter::request(api_key, version, self.correlation, &self.client_id, flexible);
        body(&mut out);
        // Set even if the caller cancels: otherwise this response would be taken for the one to the next request.
        self.unusable = true;
        let answer = with_timeout(self.timeout, self.exchange(&out.finish())).await;
        let answer =
            answer.with_context(|| format!("{} did not answer {}", self.address, request_name(api_key, version)))?;
        let answer = self.strip_header(answer, flexible && api_key != Api::ApiVersions.key())?;
        self.unusable = false;
        Ok(answer)
    }

    async fn exchange(&mut self, frame: &[u8]) -> io::Result<Vec<u8>> {
        self.write(frame).await?;
        let len = self.stream.read_i32().await?;
        let cap = MAX_ANSWER_BYTES;
        let Some(len) = usize::try_from(len).ok().filter(|len| *len <= cap) else {
            let why =
                format!("it announces {len} bytes, and at most {cap} are read; check that this is a Kafka listener");
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        };
        let mut answer = Vec::new();
        // Memory follows what arrives and not what was announced.
        (&mut self.stream).take(len as u64).read_to_end(&mut answer).await?;
        if answer.len() < len {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection closed inside the answer"));
        }
        Ok(answer)
    }

    /// Sends raw bytes, for clients that misbehave on purpose.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await?;
        self.sent += bytes.len() as u64;
        Ok(())
    }

    /// Waits until the broker closes the connection or sends an unexpected byte, and returns which. Cancel safe.
    pub async fn closed(&mut self) -> anyhow::Error {
        let read = self.stream.read(&mut [0]).await;
        self.unusable = true;
        match read {
            Ok(0) => anyhow!("{} closed the connection", self.address),
            Ok(_) => anyhow!("{} sent data without a request", self.address),
            Err(error) => anyhow!("the connection to {} was lost: {error}", self.address),
        }
    }

    fn strip_header(&self, mut answer: Vec<u8>, flexible: bool) -> Result<Vec<u8>> {
        let mut reader = WireReader::new(&answer);
        let head = reader.i32("the correlation id").and_then(|id| reader.skip_tags(flexible).map(|()| id));
        let (id, left) = (self.check_decoded(head)?, reader.remaining());
        if id != self.correlation {
            let asked = self.correlation;
            bail!("{} answered request {id} instead of {asked}; check that this is a Kafka listener", self.address);
        }
        answer.drain(..answer.len() - left);
        Ok(answer)
    }

    /// Adds the address to an error of decoding a response.
    fn check_decoded<T>(&self, read: Result<T, barnabas_kafka_wire::wire::Malformed>) -> Result<T> {
        read.with_context(|| {
            format!("{} sent an answer that cannot be decoded; check that this is a Kafka listener", self.address)
        })
    }
}

/// Limits the time of an operation.
async fn with_timeout<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, format!("timed out after {limit:?}"));
    timeout(limit, work).await.map_err(late)?
}

/// The name of a request, for messages.
fn request_name(api_key: i16, version: i16) -> String {
    match Api::from_key(api_key) {
        Some(api) => format!("{} v{version}", api.name()),
        None => format!("request {api_key} v{version}"),
    }
}

#[cfg(test)]
mod tests;
