//! Operating a running host: admin socket, token, signals, and how the command presents the responses.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use barnabas_tests::command::{path, run, stderr, stdout};
use barnabas_tests::eventually;
use barnabas_tests::host::Setup;

const ENDED: &str = r#"{"step":"ended","plugin":"sink","verdict":"rolled-back","serving":1,"stage":"canary","message":"it failed","grants":["+ http a:1"]}"#;

/// `barnabas serve` without receivers.
struct ServedHost {
    child: Child,
    setup: Setup,
    config: PathBuf,
}

impl Drop for ServedHost {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl ServedHost {
    async fn start() -> Self {
        let setup = Setup::new().with(|written| {
            written.admin.bind = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        });
        let config = setup.write();
        let mut served = Self { child: serve(&config), setup, config };
        served.ready().await;
        served
    }

    async fn ready(&mut self) {
        let list = ["plugin", "list", "--config", self.config()];
        eventually("the host to be ready", Duration::from_secs(60), || {
            let output = run(&list);
            assert!(output.status.success(), "{output:?}");
            (!String::from_utf8_lossy(&output.stdout).contains("no host is running")).then_some(())
        })
        .await;
    }

    fn config(&self) -> &str {
        self.config.to_str().unwrap()
    }

    fn data(&self, name: &str) -> PathBuf {
        self.setup.config.data_dir.join(name)
    }

    fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// The status line of a response over TCP.
    fn says(&self, lines: &str) -> String {
        let mut stream = TcpStream::connect(self.setup.config.admin.bind).unwrap();
        write!(stream, "{lines}\r\nhost: localhost\r\n\r\n").unwrap();
        let mut status = String::new();
        BufReader::new(stream).read_line(&mut status).unwrap();
        status
    }
}

fn serve(config: &Path) -> Child {
    let mut command = Command::new(path());
    command.args(["serve", "--config"]).arg(config).stderr(Stdio::null()).spawn().unwrap()
}

fn signal(process: u32, name: &str) {
    assert!(Command::new("kill").args([name, &process.to_string()]).status().unwrap().success());
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_api_is_served_on_the_socket_and_on_tcp_with_a_token() {
    let served = ServedHost::start().await;
    let (socket, file) = (served.data("admin.sock"), served.data("admin.token"));
    assert_eq!((mode(&socket), mode(&file)), (0o600, 0o600));

    let token = std::fs::read_to_string(&file).unwrap();
    assert!(served.says("GET /v1/plugins HTTP/1.1").contains("401"));
    assert!(
        served.says(&format!("GET /v1/plugins HTTP/1.1\r\nauthorization: Bearer {}", token.trim())).contains("200")
    );
    assert!(served.says("GET /readyz HTTP/1.1").contains("200"));

    let by_socket = stdout(&["plugin", "list", "--admin", socket.to_str().unwrap(), "--json"]);
    assert_eq!(by_socket.trim(), "{}");
    let address = format!("http://{}", served.setup.config.admin.bind);
    let by_tcp = ["plugin", "describe", "sink", "--admin", &address];
    assert!(stderr(&by_tcp).contains("admin.token"), "without a token the host says which one");
    let with_token = [by_tcp.as_slice(), &["--token-file", file.to_str().unwrap()]].concat();
    assert!(stderr(&with_token).contains("no plugin `sink`"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_survives_sighup_removes_its_socket_and_replaces_a_stale_one() {
    let mut served = ServedHost::start().await;
    served.signal("-HUP");
    assert!(served.says("GET /healthz HTTP/1.1").contains("200"));

    let second = Command::new(path()).args(["serve", "--config", served.config()]).output().unwrap();
    assert!(!second.status.success(), "a host is already running");

    served.signal("-KILL");
    served.child.wait().unwrap();
    assert!(served.data("admin.sock").exists(), "a killed host leaves its socket behind");
    served.child = serve(&served.config);
    served.ready().await;

    served.signal("-TERM");
    assert!(served.child.wait().unwrap().success());
    assert!(!served.data("admin.sock").exists());
}

/// Whether a request has its complete body.
fn whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.map_or(0, |length| length.parse().unwrap())
}

/// Answers one request with these lines, and then keeps the connection open if `stays`.
fn fake_host(lines: &'static [&'static str], stays: bool) -> (SocketAddr, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let host = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut heard = [0; 4096];
        let mut read = 0;
        while !whole(&heard[..read]) {
            match stream.read(&mut heard[read..]).unwrap() {
                0 => return String::new(),
                more => read += more,
            }
        }
        write!(stream, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
        for line in lines {
            write!(stream, "{:x}\r\n{line}\n\r\n", line.len() + 1).unwrap();
        }
        if stays {
            let _ = stream.read_to_end(&mut Vec::new());
        } else {
            write!(stream, "0\r\n\r\n").unwrap();
        }
        String::from_utf8_lossy(&heard[..read]).into_owned()
    });
    (at, host)
}

fn run_against_fake(arguments: &[&str], lines: &'static [&'static str]) -> (Output, String) {
    let (at, host) = fake_host(lines, false);
    let output = run(&[arguments, &["--admin", &at.to_string()]].concat());
    // Unblocks the server if the command never connected.
    let _ = TcpStream::connect(at);
    (output, host.join().unwrap())
}

#[test]
fn a_change_is_printed_and_its_outcome_is_the_exit_status() {
    let news = r#"{"step":"news","plugin":"sink","stage":"canary","text":"7 batches"}"#;
    let lines: &'static [&'static str] = Box::leak(Box::new([news, "", ENDED]));
    let swap = ["plugin", "swap", "sink", "--set", "n=1", "--canary", "5%"];
    let (output, heard) = run_against_fake(&swap, lines);
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("canary") && said.ends_with("it failed\n  + http a:1\n"), "{said}");
    assert!(heard.starts_with("POST /v1/plugins/sink/swap HTTP/1.1\r\n"), "{heard}");
    assert!(heard.ends_with(r#"{"plan":{"canary":5.0},"wanted":{"settings":{"n":1}}}"#), "{heard}");

    let (output, _) = run_against_fake(&["plugin", "rollback", "sink", "--to", "1", "--json"], lines);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        format!("{news}\n{ENDED}\n"),
        "the lines of the host, unchanged"
    );
}

#[test]
fn an_interrupted_command_reports_that_the_change_continues() {
    let news = r#"{"step":"news","plugin":"sink","stage":"canary","text":"7 batches"}"#;
    let (at, _host) = fake_host(Box::leak(Box::new([news])), true);
    let mut command = Command::new(path());
    command.args(["plugin", "retry", "sink", "--admin", &at.to_string()]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("7 batches"), "{line}");
    signal(child.id(), "-INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("continues on the host") && said.contains("barnabas plugin abort sink"), "{said}");
}
