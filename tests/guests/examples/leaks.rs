//! Sends HTTP requests and keeps every handle that it gets for it, for ever, as a program with a garbage collector may.
//! Then the batch is taken; where an answer did not come, it is `unavailable`.
//!
//! Settings: `url`, `requests` (1, each batch), `read` (false; true: the answer's body is read to its end, and its handles
//! are kept all the same), `finish` (true; false: the request's body is begun and never finished), `wait` (true; false:
//! nobody waits for an answer).

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
        let answer = handle(request, None).map_err(|code| format!("{code:?}"))?;
        if settings.finish {
            OutgoingBody::finish(body, None).map_err(|code| format!("{code:?}"))?;
        } else {
            forget(body);
        }
        if settings.wait {
            let pollable = answer.subscribe();
            pollable.block();
            forget(pollable);
            let response = answer.get().expect("it is ready").expect("it is asked for once");
            let response = response.map_err(|code| format!("{code:?}"))?;
            if settings.read {
                let body = response.consume().expect("a new answer has its body");
                let stream = body.stream().expect("a new body has its stream");
                while stream.blocking_read(1024).is_ok() {}
                forget((stream, body));
            }
            forget(response);
        }
        forget(answer);
        Ok(())
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod send {
    use super::Settings;

    /// There are no handles to keep.
    pub(crate) fn send(settings: &Settings) -> Result<(), String> {
        let Settings { url, requests, read, finish, wait } = settings;
        Err(format!("{url}: {requests} requests, {read} {finish} {wait}: only in WebAssembly"))
    }
}
