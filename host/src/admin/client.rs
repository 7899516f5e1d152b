//! Asks a running host's admin endpoint, for the command line.
//!
//! In: an address and a path. Out: the body of the answer, or one sentence. Bounded by a deadline and a cap on the
//! answer. It blocks its thread, follows nothing, and speaks only to our own endpoint.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

/// From connecting to the last byte.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most bytes of an answer.
const LARGEST: usize = 16 << 20;

/// The body at `path`, when the answer is 200. An address that means "every interface" is asked at loopback.
pub fn get(address: SocketAddr, path: &str) -> Result<String> {
    ensure!(
        path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic()),
        "`{path}` is not a path: begin it with `/` and escape what is not printable ASCII"
    );
    let address = reachable(address);
    let answer = exchange(address, path).with_context(|| {
        format!("cannot ask the admin endpoint on {address}; is `barnabas serve` running with this configuration?")
    })?;
    body(&answer).with_context(|| format!("the admin endpoint on {address} gave no good answer for {path}"))
}

fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

fn exchange(address: SocketAddr, path: &str) -> Result<Vec<u8>> {
    let deadline = Instant::now() + PATIENCE;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let (mut answer, mut piece) = (Vec::new(), [0; 16 << 10]);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        ensure!(!left.is_zero(), "no whole answer within {PATIENCE:?}");
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut piece) {
            Ok(0) => return Ok(answer),
            Ok(read) => answer.extend(piece.iter().take(read)),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
            Err(error) => return Err(error.into()),
        }
        ensure!(answer.len() <= LARGEST, "the answer is larger than {LARGEST} bytes");
    }
}

/// Our endpoint tells a length, so an answer that was cut short is seen.
fn body(answer: &[u8]) -> Result<String> {
    let answer = std::str::from_utf8(answer).context("it is not text")?;
    let (head, body) = answer.split_once("\r\n\r\n").context("it ended before its head was whole")?;
    let mut lines = head.lines();
    let mut status = lines.next().unwrap_or_default().splitn(3, ' ');
    let (Some("HTTP/1.1"), Some(code)) = (status.next(), status.next()) else { bail!("it does not speak HTTP") };
    let mut fields = lines.filter_map(|line| line.split_once(':'));
    let length = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length: usize = length.and_then(|(_, value)| value.trim().parse().ok()).context("it tells no length")?;
    ensure!(body.len() == length, "it tells {length} bytes and has {}", body.len());
    ensure!(code == "200", "{code}: {}", body.trim());
    Ok(body.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_answer_is_its_body() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
        assert_eq!(body(answer).unwrap(), "ok\n");
    }

    #[test]
    fn other_answers_are_told_in_words() {
        let cases: [(&[u8], &str); 6] = [
            (b"HTTP/1.1 503 no\r\ncontent-length: 4\r\n\r\nwait", "503: wait"),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ncut", "9 bytes and has 3"),
            (b"HTTP/1.1 200 OK\r\n\r\nok", "no length"),
            (b"HTTP/1.1 200 OK\r\ncontent-le", "before its head"),
            (b"SSH-2.0-x\r\n\r\n", "HTTP"),
            (b"\xff\xff\r\n\r\n", "not text"),
        ];
        for (answer, words) in cases {
            let error = body(answer).unwrap_err().to_string();
            assert!(error.contains(words), "`{error}` should say `{words}`");
        }
    }

    #[test]
    fn every_interface_is_asked_at_loopback() {
        assert_eq!(reachable(([0, 0, 0, 0], 1).into()), ([127, 0, 0, 1], 1).into());
        assert_eq!(reachable("[::]:1".parse().unwrap()), "[::1]:1".parse().unwrap());
        assert_eq!(reachable(([10, 0, 0, 1], 1).into()), ([10, 0, 0, 1], 1).into());
    }

    #[test]
    fn a_path_cannot_carry_a_second_request() {
        let error = get(([127, 0, 0, 1], 1).into(), "/x HTTP/1.1\r\n\r\nGET /").unwrap_err();
        assert!(error.to_string().contains("not a path"));
    }

    #[test]
    fn nobody_there_is_told_with_the_remedy() {
        let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = get(gone, "/v1/status").unwrap_err();
        assert!(error.to_string().contains("is `barnabas serve` running"), "{error}");
    }
}
