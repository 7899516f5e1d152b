//! Describes how a child exited that sent no usable response.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use rustix::process::Signal;

use super::{CompileChild, CompilerTask, KillReason};
use crate::artifact::ArtifactError;
use barnabas_base::units::{ByteSize, HumanDuration};

/// Maximum number of characters of the child's standard error that a message quotes.
const MAX_STDERR_CHARS: usize = 300;
/// Messages of the standard library and the system when memory is exhausted.
const OUT_OF_MEMORY_MESSAGES: [&str; 4] =
    ["memory allocation of", "Cannot allocate memory", "out of memory", "os error 11"];

/// What is known about the exit.
pub(super) struct ChildExit<'a> {
    pub(super) task: CompilerTask,
    pub(super) kill_reason: Option<KillReason>,
    pub(super) status: ExitStatus,
    pub(super) stderr: &'a [u8],
    pub(super) response_error: Option<String>,
    pub(super) child: &'a CompileChild,
}

impl ChildExit<'_> {
    /// The error to report. The reason for which the guard killed it comes first, then its signal, then its own
    /// message.
    pub(super) fn to_error(&self) -> ArtifactError {
        let (limits, done) = (&self.child.limits, self.task.participle());
        let too_much = |what: &str| format!("it {what} to be {done}, which is the limit; build a smaller one");
        let signal = self.status.signal().and_then(Signal::from_named_raw);
        let reason = match (self.kill_reason, signal) {
            (Some(KillReason::Timeout), _) => too_much(&format!("takes longer than {}", HumanDuration(limits.wall))),
            (Some(KillReason::Cancelled), _) => format!("it was not {done}, since that was cancelled"),
            (None, Some(Signal::XCPU)) => too_much(&format!("needs more than {} s of CPU time", limits.cpu_seconds())),
            (None, Some(Signal::KILL)) => format!(
                "the process that {done} it was killed, by a user or by the kernel's OOM killer; free memory and \
                 load it again"
            ),
            _ if self.ran_out_of_memory() => {
                let most = ByteSize(usize::try_from(limits.memory).unwrap_or(usize::MAX));
                too_much(&format!("needs more than {most} of memory"))
            }
            _ => self.describe_unexpected_exit(),
        };
        ArtifactError::new(self.task.stage(), reason)
    }

    /// An exit that no limit explains.
    fn describe_unexpected_exit(&self) -> String {
        if self.status.success() {
            let what = self.response_error.as_deref().unwrap_or("it sent no response");
            let (program, verb) = (self.child.program.display(), self.task.verb());
            return format!("`{program}` cannot be used to {verb} it: {what}");
        }
        let verb = if self.status.signal().is_some() { "crashed on it" } else { "failed on it" };
        format!("the compiler {verb} ({}){}", self.status, self.last_stderr_line())
    }

    fn ran_out_of_memory(&self) -> bool {
        let stderr = String::from_utf8_lossy(self.stderr);
        !self.status.success() && OUT_OF_MEMORY_MESSAGES.iter().any(|message| stderr.contains(message))
    }

    /// The last line that the child wrote, sanitised for a log line.
    fn last_stderr_line(&self) -> String {
        let stderr = String::from_utf8_lossy(self.stderr);
        let Some(line) = stderr.lines().rev().find(|line| !line.trim().is_empty()) else { return String::new() };
        let line: String = line.trim().chars().filter(|c| !c.is_control()).take(MAX_STDERR_CHARS).collect();
        format!(": {line}")
    }
}
