//! The hooks of wasmtime for outgoing requests, and the mapping of our errors to the error codes of `wasi:http`.

use std::future::Future;

use http::{Request, Response};
use http_body_util::BodyExt as _;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::{Egress, EgressError, EgressTimeouts};

type ConnectionDriver = Box<dyn Future<Output = Result<(), Error>> + Send>;
type SendRequestFuture = Box<dyn Future<Output = Result<(Response<WasiBody>, ConnectionDriver), Error>> + Send>;

impl WasiHttpHooks for Egress {
    /// wasmtime buffers up to two chunks for each body that a guest writes, even before it is sent, and a guest may
    /// have as many bodies as handles. With the default of 1 MiB this would be gigabytes that no limit includes.
    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        16 << 10
    }

    /// Runs on the runtime of the guests, in a task that ends with the call that sent the request.
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: ConnectionDriver,
    ) -> SendRequestFuture {
        let times = options.map(times).unwrap_or_default();
        let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        let sending = self.send(request, times);
        Box::new(async move {
            let response = sending.await?;
            let response = response.map(|body| body.map_err(Error::from).boxed_unsync());
            // The pool drives the connection, so the task of the guest has nothing to drive.
            Ok((response, Box::new(async { Ok(()) }) as ConnectionDriver))
        })
    }
}

fn times(options: RequestOptions) -> EgressTimeouts {
    EgressTimeouts {
        connect: options.connect_timeout,
        first_byte: options.first_byte_timeout,
        between_bytes: options.between_bytes_timeout,
    }
}

impl From<EgressError> for Error {
    fn from(error: EgressError) -> Self {
        match error {
            EgressError::NotGranted { .. } => Self::HttpRequestDenied,
            EgressError::Prohibited { .. } | EgressError::OwnAdminEndpoint { .. } | EgressError::OwnListener { .. } => {
                Self::DestinationIpProhibited
            }
            EgressError::InvalidUri => Self::HttpRequestUriInvalid,
            EgressError::ForbiddenMethod => Self::HttpRequestMethodInvalid,
            EgressError::Dns { reason, .. } => Self::DnsError { rcode: Some(reason), info_code: None },
            EgressError::ConnectionRefused(_) => Self::ConnectionRefused,
            EgressError::Unreachable(_) => Self::DestinationUnavailable,
            EgressError::ConnectTimeout => Self::ConnectionTimeout,
            EgressError::ReadTimeout => Self::ConnectionReadTimeout,
            EgressError::TooManyRequests { .. } => Self::ConnectionLimitReached,
            EgressError::Certificate { .. } => Self::TlsCertificateError,
            EgressError::Alert { id, message } => {
                Self::TlsAlertReceived { alert_id: Some(id), alert_message: Some(message) }
            }
            EgressError::Tls { .. } => Self::TlsProtocolError,
            EgressError::NoRootCertificates(_) => Self::ConfigurationError,
            EgressError::Terminated | EgressError::CallEnded => Self::ConnectionTerminated,
            EgressError::Protocol(_) => Self::HttpProtocolError,
            EgressError::ResponseTooLarge { cap } => Self::HttpResponseBodySize(Some(cap as u64)),
        }
    }
}
