//! A Kafka client at the level of bytes: sends any request that a test needs, including malformed ones.
//!
//! Well-formed requests are encoded, and responses decoded, by the `kafka-protocol` crate, an independent
//! implementation.

use std::net::SocketAddr;
use std::time::Duration;

use barnabas_base::{Codec, InstanceId};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, ApiVersionsResponse, GetTelemetrySubscriptionsRequest,
    GetTelemetrySubscriptionsResponse, PushTelemetryRequest, PushTelemetryResponse, RequestHeader, ResponseHeader,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, StrBytes};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Response timeout.
const PATIENCE: Duration = Duration::from_secs(20);

/// One connection.
pub struct RawClient {
    stream: TcpStream,
    correlation: i32,
    client_id: String,
}

/// A subscription from the client's point of view.
#[derive(Clone, Debug)]
pub struct Subscribed {
    /// Assigned by the host, or sent by the client and echoed.
    pub instance: InstanceId,
    /// Subscription id.
    pub id: i32,
    /// The complete response.
    pub answer: GetTelemetrySubscriptionsResponse,
}

impl RawClient {
    /// Connects.
    pub async fn connect(address: SocketAddr, client_id: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, correlation: 0, client_id: client_id.to_owned() }
    }

    /// Sends raw bytes.
    pub async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// The next frame without its length; `None` if the host has closed the connection.
    pub async fn receive(&mut self) -> Option<Bytes> {
        let read = async {
            let length = self.stream.read_i32().await.ok()?;
            let mut frame = vec![0; usize::try_from(length).ok()?];
            self.stream.read_exact(&mut frame).await.ok()?;
            Some(Bytes::from(frame))
        };
        tokio::time::timeout(PATIENCE, read).await.expect("a response or a closed connection")
    }

    /// A complete request frame, including its length.
    pub fn frame<R: Encodable + HeaderVersion>(&mut self, key: ApiKey, version: i16, request: &R) -> Bytes {
        self.correlation += 1;
        let header = RequestHeader::default()
            .with_request_api_key(key as i16)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation)
            .with_client_id(Some(StrBytes::from_string(self.client_id.clone())));
        let mut body = BytesMut::new();
        header.encode(&mut body, R::header_version(version)).unwrap();
        request.encode(&mut body, version).unwrap();
        let mut frame = BytesMut::with_capacity(body.len() + 4);
        frame.put_i32(i32::try_from(body.len()).unwrap());
        frame.extend_from_slice(&body);
        frame.freeze()
    }

    /// Sends a request and reads the response; `None` if the host has closed the connection.
    pub async fn ask<R, A>(&mut self, key: ApiKey, version: i16, request: &R) -> Option<A>
    where
        R: Encodable + HeaderVersion,
        A: Decodable + HeaderVersion,
    {
        let frame = self.frame(key, version, request);
        self.send(&frame).await.ok()?;
        self.answer(version).await
    }

    /// The response to the newest request.
    async fn answer<A: Decodable + HeaderVersion>(&mut self, version: i16) -> Option<A> {
        let mut answer = self.receive().await?;
        let header = ResponseHeader::decode(&mut answer, A::header_version(version)).unwrap();
        assert_eq!(header.correlation_id, self.correlation, "responses are in order");
        let decoded = A::decode(&mut answer, version).unwrap();
        assert!(!answer.has_remaining(), "no bytes after the response");
        Some(decoded)
    }

    /// ApiVersions v3 from a client named `software`.
    pub async fn api_versions(&mut self, software: &str) -> ApiVersionsResponse {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_string(software.to_owned()))
            .with_client_software_version(StrBytes::from_static_str("1.2.3"));
        self.ask(ApiKey::ApiVersions, 3, &request).await.unwrap()
    }

    /// GetTelemetrySubscriptions; the error code if it is rejected.
    pub async fn subscribe(&mut self, instance: InstanceId) -> Result<Subscribed, i16> {
        let request = GetTelemetrySubscriptionsRequest::default().with_client_instance_id(uuid(instance));
        let answer: GetTelemetrySubscriptionsResponse =
            self.ask(ApiKey::GetTelemetrySubscriptions, 0, &request).await.unwrap();
        if answer.error_code != 0 {
            return Err(answer.error_code);
        }
        let instance = InstanceId::from_bytes(*answer.client_instance_id.as_bytes());
        Ok(Subscribed { instance, id: answer.subscription_id, answer })
    }

    /// PushTelemetry; returns the error code, or `None` if the host has closed the connection.
    pub async fn push(&mut self, to: &Subscribed, codec: Codec, metrics: &[u8], terminating: bool) -> Option<i16> {
        let frame = self.push_frame(to, codec, metrics, terminating);
        self.send(&frame).await.ok()?;
        self.push_answer().await
    }

    /// The frame of a push, for a test that sends it later.
    pub fn push_frame(&mut self, to: &Subscribed, codec: Codec, metrics: &[u8], terminating: bool) -> Bytes {
        let request = PushTelemetryRequest::default()
            .with_client_instance_id(uuid(to.instance))
            .with_subscription_id(to.id)
            .with_terminating(terminating)
            .with_compression_type(codec.id())
            .with_metrics(Bytes::copy_from_slice(metrics));
        self.frame(ApiKey::PushTelemetry, 0, &request)
    }

    /// The error code of a push that was sent before.
    pub async fn push_answer(&mut self) -> Option<i16> {
        Some(self.answer::<PushTelemetryResponse>(0).await?.error_code)
    }
}

/// Converts an id to the type that the protocol crate uses, which is from a crate that is no direct dependency.
fn uuid<U: std::str::FromStr>(id: InstanceId) -> U {
    let hex: String = id.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    hex.parse().unwrap_or_else(|_| panic!("32 hex digits are a UUID"))
}
