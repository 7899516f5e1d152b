//! Parses `--reply 429,retry-after=3`.

use std::path::Path;

use barnabas_runtime::capability::egress::RecordedResponse;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// A status, then `name=value` for each header; `body=TEXT` or `body=@FILE` comes last and may contain commas. A part that
/// does not start like a header belongs to the previous value, as in a date.
pub(super) fn parse(text: &str) -> Result<RecordedResponse, String> {
    let (text, body) = match text.split_once(",body=") {
        Some((text, body)) => (text, read(body)?),
        None => (text, Bytes::new()),
    };
    let mut pieces = text.split(',');
    let status = pieces.next().unwrap_or_default().trim();
    let status = status.parse::<u16>().ok().filter(|status| (200..600).contains(status));
    let status = status.and_then(|status| StatusCode::from_u16(status).ok());
    let status = status.ok_or_else(|| {
        "start with a status from 200 to 599, then headers, for example `429,retry-after=3`".to_owned()
    })?;
    Ok(RecordedResponse { status, headers: headers(pieces)?, body })
}

fn headers<'a>(pieces: impl Iterator<Item = &'a str>) -> Result<HeaderMap, String> {
    let mut written: Vec<(HeaderName, String)> = Vec::new();
    for piece in pieces {
        let header = piece.split_once('=').and_then(|(name, value)| Some((name.trim().parse().ok()?, value)));
        match (header, written.last_mut()) {
            (Some((name, value)), _) => written.push((name, value.to_owned())),
            (None, Some((_, value))) => *value += &format!(",{piece}"),
            (None, None) => return Err(format!("`{piece}` is not a header; use `name=value`")),
        }
    }
    let parsed = written.into_iter().map(|(name, value)| {
        let parsed = HeaderValue::from_str(value.trim());
        parsed.map(|parsed| (name, parsed)).map_err(|_| format!("`{value}` is not a valid header value"))
    });
    parsed.collect()
}

fn read(body: &str) -> Result<Bytes, String> {
    match body.strip_prefix('@') {
        Some(file) => std::fs::read(Path::new(file)).map(Bytes::from).map_err(|e| format!("cannot read {file}: {e}")),
        None => Ok(Bytes::from(body.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_headers_and_body() {
        let reply = parse("429,retry-after=3").unwrap();
        assert_eq!((reply.status.as_u16(), &reply.headers["retry-after"]), (429, &HeaderValue::from_static("3")));
        let date = parse("503,retry-after=Wed, 21 Oct 2015 07:28:00 GMT,server=x").unwrap();
        assert_eq!(date.headers["retry-after"], "Wed, 21 Oct 2015 07:28:00 GMT");
        assert_eq!(date.headers["server"], "x");
        let json = parse("400,content-type=application/json,body={\"a\":1,\"b\":2}").unwrap();
        assert_eq!(json.body, "{\"a\":1,\"b\":2}");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("body");
        std::fs::write(&file, b"\0\xff").unwrap();
        assert_eq!(parse(&format!("200,body=@{}", file.display())).unwrap().body, &b"\0\xff"[..]);
    }

    #[test]
    fn invalid_replies_are_refused_with_a_remedy() {
        for (text, words) in [
            ("", "start with a status"),
            ("soon", "start with a status"),
            ("100", "start with a status"),
            ("200,x", "`x` is not a header"),
            ("200,a=b\u{1}", "not a valid header value"),
            ("200,body=@/nowhere", "cannot read /nowhere"),
        ] {
            assert!(parse(text).unwrap_err().contains(words), "{text}");
        }
    }
}
