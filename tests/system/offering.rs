//! A host without a receiver logs the consequences for clients, also when the first receiver is added and the last is
//! removed.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use barnabas_lifecycle::NOT_OFFERED;
use barnabas_tests::command::{path, stdout};
use barnabas_tests::eventually;
use barnabas_tests::host::Setup;

const PATIENCE: Duration = Duration::from_secs(60);

/// `barnabas serve` and its log so far.
struct LoggedHost {
    child: Child,
    setup: Setup,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Drop for LoggedHost {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl LoggedHost {
    async fn start(setup: Setup) -> Self {
        let setup = setup.with(|written| {
            written.admin.bind = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        });
        let mut command = Command::new(path());
        let mut child = command.args(["serve", "--config"]).arg(setup.write()).stderr(Stdio::piped()).spawn().unwrap();
        let (lines, log) = (Arc::<Mutex<Vec<String>>>::default(), child.stderr.take().unwrap());
        let kept = lines.clone();
        thread::spawn(move || {
            BufReader::new(log).lines().map_while(Result::ok).for_each(|line| kept.lock().unwrap().push(line));
        });
        let served = Self { child, setup, lines };
        served.logs("admin socket: ").await;
        served
    }

    /// Waits for a log line that contains this text.
    async fn logs(&self, words: &str) -> String {
        let line = || self.lines.lock().unwrap().iter().find(|line| line.contains(words)).cloned();
        eventually(words, PATIENCE, line).await
    }

    fn never_logged(&self, words: &str) -> bool {
        !self.lines.lock().unwrap().iter().any(|line| line.contains(words))
    }

    fn plugin(&self, arguments: &[&str]) -> String {
        let config = self.setup.folder().join("barnabas.toml").display().to_string();
        stdout(&[&["plugin"], arguments, &["--config", &config]].concat())
    }

    fn readiness(&self) -> String {
        use std::io::{Read as _, Write as _};
        let admin = self.setup.config.admin.bind;
        let mut stream = std::net::TcpStream::connect(admin).unwrap();
        write!(stream, "GET /readyz HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_a_receiver_warns_until_one_is_loaded() {
    let served = LoggedHost::start(Setup::new()).await;
    assert!(served.logs(NOT_OFFERED).await.contains("WARN"));
    let ready = served.readiness();
    assert!(ready.starts_with("HTTP/1.1 200") && ready.contains(r#""warning":"no receiver is configured"#), "{ready}");
    assert!(served.plugin(&["list"]).contains(NOT_OFFERED));

    let taker = barnabas_tests::guests::path("taker").display().to_string();
    served.plugin(&["load", "first", &taker]);
    let line = served.logs("this is the first receiver").await;
    for word in ["plugin=\"first\"", "Java since 4.2", "franz-go and Dekaf", "librdkafka", "five minutes"] {
        assert!(line.contains(word), "`{line}` should contain `{word}`");
    }
    assert!(!served.readiness().contains("warning"));
    assert!(!served.plugin(&["list"]).contains("no receiver is configured"));

    served.plugin(&["load", "second", &taker]);
    served.plugin(&["remove", "first"]);
    assert!(served.never_logged("this was the last receiver"), "another receiver remains");
    served.plugin(&["remove", "second"]);
    let line = served.logs("this was the last receiver").await;
    assert!(line.contains("plugin=\"second\"") && line.contains("will not push"), "{line}");
    assert!(served.readiness().contains("warning"));
    assert_eq!(served.lines.lock().unwrap().iter().filter(|line| line.contains("first receiver")).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_starts_with_a_receiver_logs_no_warning() {
    let served = LoggedHost::start(Setup::new().receiver("taker", "taker", "")).await;
    assert!(!served.readiness().contains("warning"));
    for words in ["no receiver is configured", "this is the first receiver", "WARN"] {
        assert!(served.never_logged(words), "{words}");
    }
}
