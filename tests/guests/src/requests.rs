//! Unusual and invalid requests. The guest `requests` tries each case in a host, and a test tries it natively with the
//! test doubles of the SDK. Both must give the same result.

use std::time::Duration;

use barnabas_sdk::http::Request;

/// A valid OTLP message that has only an unknown field, so an endpoint accepts it.
const EMPTY_OTLP: [u8; 2] = [0x12, 0];

/// A request, with whether it is sent or only checked.
pub struct RequestCase {
    /// What is unusual about the request.
    pub name: &'static str,
    request: Request,
    sent: bool,
}

impl RequestCase {
    /// The result of the check of the SDK and, if the request is sent, the status or the error. It has no backslashes,
    /// because the log of the host would escape them again.
    pub fn outcome(self) -> String {
        let checked = self.request.check();
        let outcome = if self.sent {
            let status = self.request.send().map(|response| response.status);
            format!("{checked:?}, {status:?}")
        } else {
            format!("{checked:?}")
        };
        outcome.replace('\\', "/")
    }
}

/// All cases. Those that are sent go to this URL.
pub fn cases(url: &str) -> Vec<RequestCase> {
    let to = || Request::post(url);
    let header = |name, value: &str| (name, to().header(name, value));
    let named = [
        "connection",
        "Keep-Alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "Transfer-Encoding",
        "upgrade",
        "Host",
        "http2-settings",
        "content-length",
        "Content-Length",
        "te",
        "trailer",
        "expect-ct",
        "X_Odd.~name",
        "bad name",
        "bad:name",
        "bad\nname",
        "ü",
        "",
    ]
    .map(|name| header(name, "1"));
    let valued = [
        ("a line feed", "a\nb"),
        ("a carriage return", "a\rb"),
        ("a trailing line feed", "token\n"),
        ("a NUL", "a\0b"),
        ("a DEL", "a\u{7f}b"),
        ("an escape", "a\u{1b}[2Jb"),
        ("a tab", "a\tb"),
        ("a non-ASCII letter", "ü"),
        ("surrounding spaces", " a "),
        ("an empty value", ""),
    ]
    .map(|(name, value)| (name, to().header("x-value", value)));
    let methods =
        ["M Y", "", "get", "PROPFIND", "CONNECT", "M\n", "Ü"].map(|method| (method, Request::new(method, url)));
    let sizes = [(65_536 - 80 - 1, "headers of the maximum size"), (65_536 - 80, "headers one byte above the maximum")]
        .map(|(size, name)| (name, to().header("x", "v".repeat(size))));
    let others = [
        ("a zero timeout", to().timeout(Duration::ZERO)),
        ("a zero timeout and an invalid header", to().header("host", "a").timeout(Duration::ZERO)),
        ("a repeated header", to().header("x", "1").header("x", "2")),
        ("a body and a content-length", to().header("content-length", "2").body(EMPTY_OTLP)),
        ("a body", to().body(EMPTY_OTLP)),
    ];
    let sent = named.into_iter().chain(valued).chain(methods).chain(sizes).chain(others);
    let urls = [
        "http://[::1",
        "http://[]/",
        "http://./",
        "http://a..b/",
        "http://ü/",
        "http://a b/",
        "http://a%20b/",
        "http://a<b/",
        "http://a:/",
        "http://a:0/",
        "http://a:65536/",
        "http://a:b/",
        "http://me@a/",
        "http://a/ü",
        "http://a/\u{7f}",
        "http://a/<>\"{}|\\^`",
        "http://a/%zz",
        "http://a?b=c#d",
        "ftp://a/",
        "a",
        "",
    ];
    let urls = urls.map(|url| RequestCase { name: url, request: Request::get(url), sent: false });
    sent.map(|(name, request)| RequestCase { name, request, sent: true }).chain(urls).collect()
}
