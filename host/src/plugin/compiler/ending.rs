//! How a child ended that did not answer, in words.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use rustix::process::Signal;

use super::{Child, Cut, Task};
use crate::plugin::artifact::Flaw;
use crate::units::{ByteSize, HumanDuration};

/// Most characters of the child's own words that are repeated.
const WORDS: usize = 300;
/// What the standard library and the system say when memory is at its end.
const NO_MEMORY: [&str; 4] = ["memory allocation of", "Cannot allocate memory", "out of memory", "os error 11"];

/// All that is known of it.
pub(super) struct Ending<'a> {
    pub(super) task: Task,
    pub(super) cut: Option<Cut>,
    pub(super) status: ExitStatus,
    pub(super) stderr: &'a [u8],
    pub(super) nonsense: Option<String>,
    pub(super) child: &'a Child,
}

impl Ending<'_> {
    /// Who ended it knows best why; then the signal tells, then its own words.
    pub(super) fn flaw(&self) -> Flaw {
        let (limits, done) = (&self.child.limits, self.task.done());
        let too_much = |what: &str| format!("it {what} to be {done}, which is the limit; build a smaller one");
        let signal = self.status.signal().and_then(Signal::from_named_raw);
        let reason = match (self.cut, signal) {
            (Some(Cut::Wall), _) => too_much(&format!("takes longer than {}", HumanDuration(limits.wall))),
            (Some(Cut::Cancelled), _) => format!("it was not {done}, since that was cancelled"),
            (None, Some(Signal::XCPU)) => too_much(&format!("needs more than {} s of CPU time", limits.cpu_seconds())),
            (None, Some(Signal::KILL)) => format!(
                "the process that {done} it was killed, by somebody or by the system for want of memory; see to that \
                 and load it again"
            ),
            _ if self.lacked_memory() => {
                let most = ByteSize(usize::try_from(limits.memory).unwrap_or(usize::MAX));
                too_much(&format!("needs more than {most} of memory"))
            }
            _ => self.odd(),
        };
        Flaw::new(self.task.stage(), reason)
    }

    /// An end that no limit explains.
    fn odd(&self) -> String {
        if self.status.success() {
            let what = self.nonsense.as_deref().unwrap_or("it did not answer");
            let (program, verb) = (self.child.program.display(), self.task.verb());
            return format!("`{program}` cannot be used to {verb} it: {what}");
        }
        let verb = if self.status.signal().is_some() { "crashed on it" } else { "gave it up" };
        format!("the compiler {verb} ({}){}", self.status, self.words())
    }

    fn lacked_memory(&self) -> bool {
        let said = String::from_utf8_lossy(self.stderr);
        !self.status.success() && NO_MEMORY.iter().any(|words| said.contains(words))
    }

    /// The last line that the child wrote, fit for a line of ours.
    fn words(&self) -> String {
        let said = String::from_utf8_lossy(self.stderr);
        let Some(line) = said.lines().rev().find(|line| !line.trim().is_empty()) else { return String::new() };
        let line: String = line.trim().chars().filter(|c| !c.is_control()).take(WORDS).collect();
        format!(": {line}")
    }
}
