//! How a child ended that did not answer, in words.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use rustix::process::Signal;

use super::{CompileChild, CompilerTask, KillReason};
use crate::plugin::artifact::ArtifactError;
use crate::units::{ByteSize, HumanDuration};

/// Most characters of the child's own words that are repeated.
const MAX_STDERR_CHARS: usize = 300;
/// What the standard library and the system say when memory is at its end.
const OUT_OF_MEMORY_MESSAGES: [&str; 4] =
    ["memory allocation of", "Cannot allocate memory", "out of memory", "os error 11"];

/// All that is known of it.
pub(super) struct ChildExit<'a> {
    pub(super) task: CompilerTask,
    pub(super) kill_reason: Option<KillReason>,
    pub(super) status: ExitStatus,
    pub(super) stderr: &'a [u8],
    pub(super) response_error: Option<String>,
    pub(super) child: &'a CompileChild,
}

impl ChildExit<'_> {
    /// Who ended it knows best why; then the signal tells, then its own words.
    pub(super) fn to_error(&self) -> ArtifactError {
        let (limits, done) = (&self.child.limits, self.task.participle());
        let too_much = |what: &str| format!("it {what} to be {done}, which is the limit; build a smaller one");
        let signal = self.status.signal().and_then(Signal::from_named_raw);
        let reason = match (self.kill_reason, signal) {
            (Some(KillReason::Timeout), _) => too_much(&format!("takes longer than {}", HumanDuration(limits.wall))),
            (Some(KillReason::Cancelled), _) => format!("it was not {done}, since that was cancelled"),
            (None, Some(Signal::XCPU)) => too_much(&format!("needs more than {} s of CPU time", limits.cpu_seconds())),
            (None, Some(Signal::KILL)) => format!(
                "the process that {done} it was killed, by somebody or by the system for want of memory; see to that \
                 and load it again"
            ),
            _ if self.ran_out_of_memory() => {
                let most = ByteSize(usize::try_from(limits.memory).unwrap_or(usize::MAX));
                too_much(&format!("needs more than {most} of memory"))
            }
            _ => self.describe_unexpected_exit(),
        };
        ArtifactError::new(self.task.stage(), reason)
    }

    /// An end that no limit explains.
    fn describe_unexpected_exit(&self) -> String {
        if self.status.success() {
            let what = self.response_error.as_deref().unwrap_or("it did not answer");
            let (program, verb) = (self.child.program.display(), self.task.verb());
            return format!("`{program}` cannot be used to {verb} it: {what}");
        }
        let verb = if self.status.signal().is_some() { "crashed on it" } else { "gave it up" };
        format!("the compiler {verb} ({}){}", self.status, self.last_stderr_line())
    }

    fn ran_out_of_memory(&self) -> bool {
        let stderr = String::from_utf8_lossy(self.stderr);
        !self.status.success() && OUT_OF_MEMORY_MESSAGES.iter().any(|words| stderr.contains(words))
    }

    /// The last line that the child wrote, fit for a line of ours.
    fn last_stderr_line(&self) -> String {
        let stderr = String::from_utf8_lossy(self.stderr);
        let Some(line) = stderr.lines().rev().find(|line| !line.trim().is_empty()) else { return String::new() };
        let line: String = line.trim().chars().filter(|c| !c.is_control()).take(MAX_STDERR_CHARS).collect();
        format!(": {line}")
    }
}
