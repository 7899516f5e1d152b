//! Which of Kafka's requests are answered here, in which versions, and the error codes that are used.

/// A supported request. A request that is not listed here is not advertised; a listed one is always answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::enum_variant_names, reason = "the protocol's own names")]
pub enum Api {
    /// Kafka's Metadata request.
    Metadata,
    /// Kafka's FindCoordinator request.
    FindCoordinator,
    /// Kafka's SaslHandshake request.
    SaslHandshake,
    /// Kafka's ApiVersions request.
    ApiVersions,
    /// Kafka's DescribeConfigs request.
    DescribeConfigs,
    /// Kafka's IncrementalAlterConfigs request.
    IncrementalAlterConfigs,
    /// Kafka's DescribeCluster request.
    DescribeCluster,
    /// Kafka's SaslAuthenticate request.
    SaslAuthenticate,
    /// Kafka's GetTelemetrySubscriptions request.
    GetTelemetrySubscriptions,
    /// Kafka's PushTelemetry request.
    PushTelemetry,
    /// Kafka's ListConfigResources request.
    ListConfigResources,
}

impl Api {
    /// In order of key.
    pub const ALL: [Self; 11] = [
        Self::Metadata,
        Self::FindCoordinator,
        Self::SaslHandshake,
        Self::ApiVersions,
        Self::DescribeConfigs,
        Self::SaslAuthenticate,
        Self::IncrementalAlterConfigs,
        Self::DescribeCluster,
        Self::GetTelemetrySubscriptions,
        Self::PushTelemetry,
        Self::ListConfigResources,
    ];

    /// The request of this key, if the host knows it.
    pub fn from_key(key: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|api| api.key() == key)
    }

    /// Kafka's key of the request.
    pub fn key(self) -> i16 {
        match self {
            Self::Metadata => 3,
            Self::FindCoordinator => 10,
            Self::SaslHandshake => 17,
            Self::ApiVersions => 18,
            Self::DescribeConfigs => 32,
            Self::SaslAuthenticate => 36,
            Self::IncrementalAlterConfigs => 44,
            Self::DescribeCluster => 60,
            Self::GetTelemetrySubscriptions => 71,
            Self::PushTelemetry => 72,
            Self::ListConfigResources => 74,
        }
    }

    /// The lowest supported version.
    ///
    /// After version 0 of SaslHandshake tokens are sent without Kafka's headers, which is not supported here. Version 0
    /// is advertised and answered with UNSUPPORTED_VERSION, because librdkafka before 2.11.1 never authenticates if it
    /// is not advertised, and then uses version 1 by itself.
    pub fn min_version(self) -> i16 {
        0
    }

    /// The highest supported version.
    ///
    /// FindCoordinator ends before version 4, in which one request may name many keys: clients that support it fall
    /// back by themselves, and one byte of a request then never causes more than a few bytes of the response.
    pub fn max_version(self) -> i16 {
        match self {
            Self::Metadata => 12,
            Self::FindCoordinator => 3,
            Self::ApiVersions | Self::DescribeConfigs => 4,
            Self::SaslHandshake | Self::IncrementalAlterConfigs | Self::ListConfigResources => 1,
            Self::SaslAuthenticate | Self::DescribeCluster => 2,
            Self::GetTelemetrySubscriptions | Self::PushTelemetry => 0,
        }
    }

    /// Whether this version has compact lengths and tagged fields.
    pub fn is_flexible(self, version: i16) -> bool {
        let since = match self {
            Self::Metadata => 9,
            Self::FindCoordinator | Self::ApiVersions => 3,
            Self::DescribeConfigs => 4,
            Self::IncrementalAlterConfigs => 1,
            Self::DescribeCluster
            | Self::GetTelemetrySubscriptions
            | Self::PushTelemetry
            | Self::ListConfigResources => 0,
            Self::SaslHandshake => return false,
            Self::SaslAuthenticate => 2,
        };
        version >= since
    }

    /// Advertised only while a receiver is configured.
    pub fn is_telemetry(self) -> bool {
        matches!(self, Self::GetTelemetrySubscriptions | Self::PushTelemetry)
    }

    /// Advertised only where clients have to authenticate.
    pub fn is_sasl(self) -> bool {
        matches!(self, Self::SaslHandshake | Self::SaslAuthenticate)
    }

    /// Kafka's name of the request.
    pub fn name(self) -> &'static str {
        match self {
            Self::Metadata => "Metadata",
            Self::FindCoordinator => "FindCoordinator",
            Self::SaslHandshake => "SaslHandshake",
            Self::ApiVersions => "ApiVersions",
            Self::DescribeConfigs => "DescribeConfigs",
            Self::IncrementalAlterConfigs => "IncrementalAlterConfigs",
            Self::DescribeCluster => "DescribeCluster",
            Self::SaslAuthenticate => "SaslAuthenticate",
            Self::GetTelemetrySubscriptions => "GetTelemetrySubscriptions",
            Self::PushTelemetry => "PushTelemetry",
            Self::ListConfigResources => "ListConfigResources",
        }
    }
}

/// Kafka's error code UNKNOWN_SERVER_ERROR.
pub const UNKNOWN_SERVER_ERROR: i16 = -1;
/// Kafka's error code for success.
pub const NONE: i16 = 0;
/// Kafka's error code UNKNOWN_TOPIC_OR_PARTITION.
pub const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
/// Kafka's error code REQUEST_TIMED_OUT.
pub const REQUEST_TIMED_OUT: i16 = 7;
/// Kafka's error code COORDINATOR_NOT_AVAILABLE.
pub const COORDINATOR_NOT_AVAILABLE: i16 = 15;
/// Kafka's error code CLUSTER_AUTHORIZATION_FAILED.
pub const CLUSTER_AUTHORIZATION_FAILED: i16 = 31;
/// Kafka's error code UNSUPPORTED_SASL_MECHANISM.
pub const UNSUPPORTED_SASL_MECHANISM: i16 = 33;
/// Kafka's error code ILLEGAL_SASL_STATE.
pub const ILLEGAL_SASL_STATE: i16 = 34;
/// Kafka's error code UNSUPPORTED_VERSION.
pub const UNSUPPORTED_VERSION: i16 = 35;
/// Kafka's error code INVALID_CONFIG.
pub const INVALID_CONFIG: i16 = 40;
/// Kafka's error code INVALID_REQUEST.
pub const INVALID_REQUEST: i16 = 42;
/// Kafka's error code POLICY_VIOLATION.
pub const POLICY_VIOLATION: i16 = 44;
/// Kafka's error code SASL_AUTHENTICATION_FAILED.
pub const SASL_AUTHENTICATION_FAILED: i16 = 58;
/// Kafka's error code UNSUPPORTED_COMPRESSION_TYPE.
pub const UNSUPPORTED_COMPRESSION_TYPE: i16 = 76;
/// Kafka's error code INVALID_RECORD.
pub const INVALID_RECORD: i16 = 87;
/// Kafka's error code THROTTLING_QUOTA_EXCEEDED.
pub const THROTTLING_QUOTA_EXCEEDED: i16 = 89;
/// Kafka's error code UNKNOWN_TOPIC_ID.
pub const UNKNOWN_TOPIC_ID: i16 = 100;
/// Kafka's error code MISMATCHED_ENDPOINT_TYPE.
pub const MISMATCHED_ENDPOINT_TYPE: i16 = 114;
/// Kafka's error code UNSUPPORTED_ENDPOINT_TYPE.
pub const UNSUPPORTED_ENDPOINT_TYPE: i16 = 115;
/// Kafka's error code UNKNOWN_SUBSCRIPTION_ID.
pub const UNKNOWN_SUBSCRIPTION_ID: i16 = 117;
/// Kafka's error code TELEMETRY_TOO_LARGE.
pub const TELEMETRY_TOO_LARGE: i16 = 118;

/// The name of an error code in Kafka's documentation; `None` for a code that is never used for telemetry and its
/// related requests.
pub fn error_name(code: i16) -> Option<&'static str> {
    Some(match code {
        UNKNOWN_SERVER_ERROR => "UNKNOWN_SERVER_ERROR",
        NONE => "NONE",
        UNKNOWN_TOPIC_OR_PARTITION => "UNKNOWN_TOPIC_OR_PARTITION",
        COORDINATOR_NOT_AVAILABLE => "COORDINATOR_NOT_AVAILABLE",
        CLUSTER_AUTHORIZATION_FAILED => "CLUSTER_AUTHORIZATION_FAILED",
        UNSUPPORTED_SASL_MECHANISM => "UNSUPPORTED_SASL_MECHANISM",
        ILLEGAL_SASL_STATE => "ILLEGAL_SASL_STATE",
        UNSUPPORTED_VERSION => "UNSUPPORTED_VERSION",
        REQUEST_TIMED_OUT => "REQUEST_TIMED_OUT",
        INVALID_CONFIG => "INVALID_CONFIG",
        INVALID_REQUEST => "INVALID_REQUEST",
        POLICY_VIOLATION => "POLICY_VIOLATION",
        SASL_AUTHENTICATION_FAILED => "SASL_AUTHENTICATION_FAILED",
        UNSUPPORTED_COMPRESSION_TYPE => "UNSUPPORTED_COMPRESSION_TYPE",
        INVALID_RECORD => "INVALID_RECORD",
        THROTTLING_QUOTA_EXCEEDED => "THROTTLING_QUOTA_EXCEEDED",
        UNKNOWN_TOPIC_ID => "UNKNOWN_TOPIC_ID",
        UNKNOWN_SUBSCRIPTION_ID => "UNKNOWN_SUBSCRIPTION_ID",
        TELEMETRY_TOO_LARGE => "TELEMETRY_TOO_LARGE",
        129 => "REBOOTSTRAP_REQUIRED",
        _ => return None,
    })
}
