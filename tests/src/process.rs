//! Clients as child processes that run until they are asked to close.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// A client process that closes when its standard input ends. It is killed on drop.
pub struct ClientProcess {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

/// The output and the exit status of a client.
#[derive(Debug)]
pub struct ClientExit {
    /// Standard output.
    pub lines: Vec<String>,
    /// Standard error.
    pub errors: String,
    /// Exit status.
    pub status: ExitStatus,
}

impl ClientProcess {
    /// Starts the process.
    pub fn start(command: &mut Command) -> Self {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (lines, output) = (Arc::<Mutex<Vec<String>>>::default(), child.stdout.take().unwrap());
        let kept = lines.clone();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                kept.lock().unwrap().push(line);
            }
        });
        Self { child, lines, reader: Some(reader) }
    }

    /// The standard output so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Whether the process is still running.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Closes its standard input and waits until it has exited.
    pub fn close(mut self) -> ClientExit {
        drop(self.child.stdin.take());
        let status = self.child.wait().unwrap();
        self.reader.take().unwrap().join().unwrap();
        let mut errors = String::new();
        let _ = self.child.stderr.take().unwrap().read_to_string(&mut errors);
        ClientExit { lines: self.lines(), errors, status }
    }
}

impl Drop for ClientProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
