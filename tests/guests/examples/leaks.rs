//! Sends HTTP requests and never drops their handles, as a language with a garbage collector may do. Then it accepts
//! the batch, or returns `unavailable` if a response failed.
//!
//! Settings: `url`, `requests` for each batch (default 1), `read` (default false; if true, it reads the body of the
//! response to its end but still keeps the handles), `finish` (default true; if false, it starts the body of the
//! request and never finishes it), `wait` (default true; if false, it does not wait for the response).

use barnabas_sdk::{Batch, ExportError, Receiver, StartError, register};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    url: String,
    #[serde(default = "one")]
    requests: usize,
    #[serde(default)]
    read: bool,
    #[serde(default = "yes")]
    finish: bool,
    #[serde(default = "yes")]
    wait: bool,
}

fn one() -> usize {
    1
}

fn yes() -> bool {
    true
}

struct Leaks(Settings);

impl Receiver for Leaks {
    type Settings = Settings;

    fn start(settings: Settings) -> Result<Self, StartError> {
        Ok(Self(settings))
    }

    fn export_metrics(&mut self, _: &Batch<'_>) -> Result<(), ExportError> {
        for _ in 0..self.0.requests {
            send::send(&self.0).map_err(ExportError::unavailable)?;
        }
        Ok(())
    }
}

register!(Leaks);

#[cfg(target_arch = "wasm32")]
mod send {
    use std::mem::forget;

    use barnabas_sdk::http::Url;
    use wasip2::http::outgoing_handler::handle;
    use wasip2::http::types::{Fields, Method, OutgoingBody, OutgoingRequest, Scheme};

    use super::Settings;

    pub(crate) fn send(settings: &Settings) -> Result<(), String> {
        let url: Url = settings.url.parse().map_err(|invalid: barnabas_sdk::http::InvalidUrl| invalid.to_string())?;
        let request = OutgoingRequest::new(Fields::new());
        let set = [
            request.set_method(&Method::Post),
            request.set_scheme(Some(&Scheme::Http)),
            request.set_authority(Some(&url.authority)),
            request.set_path_with_query(Some(&url.path)),
        ];
        if set.contains(&Err(())) {
            return Err("the host refuses the request".to_owned());
        }
        let body = request.body().expect("a new request has its body");
        let future = handle(request, None).map_err(|code| format!("{code:?}"))?;
        if settings.finish {
            OutgoingBody::finish(body, None).map_err(|code| format!("{code:?}"))?;
        } else {
            forget(body);
        }
        if settings.wait {
            let pollable = future.subscribe();
            pollable.block();
            forget(pollable);
            let response = future.get().expect("the response is ready").expect("it is read only once");
            let response = response.map_err(|code| format!("{code:?}"))?;
            if settings.read {
                let body = response.consume().expect("a new response has its body");
                let stream = body.stream().expect("a new body has its stream");
                while stream.blocking_read(1024).is_ok() {}
                forget((stream, body));
            }
            forget(response);
        }
        forget(future);
        Ok(())
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod send {
    use super::Settings;

    /// Natively there are no handles to leak.
    pub(crate) fn send(settings: &Settings) -> Result<(), String> {
        let Settings { url, requests, read, finish, wait } = settings;
        Err(format!("{url}: {requests} requests, {read} {finish} {wait}: only in WebAssembly"))
    }
}
