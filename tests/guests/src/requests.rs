//! Requests that may be refused: each case is tried by the guest `requests` in a host, and natively against the SDK's
//! doubles. Both have to say the same.

use std::time::Duration;

use barnabas_sdk::http::Request;

/// An OTLP message with nothing in it that anybody knows: an endpoint takes it.
const EMPTY_OTLP: [u8; 2] = [0x12, 0];

/// A request, and whether it is sent or only checked.
pub struct RequestCase {
    /// What is odd about it.
    pub name: &'static str,
    request: Request,
    sent: bool,
}

impl RequestCase {
    /// What the SDK says of the request, and what came of it where it was sent: its status, or the error. Without
    /// backslashes, since a host's log escapes them once more.
    pub fn outcome(self) -> String {
        let checked = self.request.check();
        let outcome = if self.sent {
            let answered = self.request.send().map(|answer| answer.status);
            format!("{checked:?}, {answered:?}")
        } else {
            format!("{checked:?}")
        };
        outcome.replace('\\', "/")
    }
}

/// All cases; those that are sent go to this URL.
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
        ("a line feed at its end", "token\n"),
        ("a NUL", "a\0b"),
        ("a DEL", "a\u{7f}b"),
        ("an escape", "a\u{1b}[2Jb"),
        ("a tab", "a\tb"),
        ("a letter beyond ASCII", "ü"),
        ("spaces around it", " a "),
        ("nothing", ""),
    ]
    .map(|(name, value)| (name, to().header("x-value", value)));
    let methods =
        ["M Y", "", "get", "PROPFIND", "CONNECT", "M\n", "Ü"].map(|method| (method, Request::new(method, url)));
    let sizes = [(65_536 - 80 - 1, "headers as large as may be"), (65_536 - 80, "headers one byte larger")]
        .map(|(size, name)| (name, to().header("x", "v".repeat(size))));
    let others = [
        ("no time", to().timeout(Duration::ZERO)),
        ("no time and a wrong header", to().header("host", "a").timeout(Duration::ZERO)),
        ("a header twice", to().header("x", "1").header("x", "2")),
        ("a body and its length", to().header("content-length", "2").body(EMPTY_OTLP)),
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
