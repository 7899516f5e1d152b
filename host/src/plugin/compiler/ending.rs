//! How a child ended that did not answer, in words.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use rustix::process::Signal;

use super::{Child, Cut};
use crate::plugin::artifact::Flaw;
use crate::plugin::change::Stage;
use crate::units::{Size, Span};

/// Most characters of the child's own words that are repeated.
const WORDS: usize = 300;
/// What the standard library and the system say when memory is at its end.
const NO_MEMORY: [&str; 4] = ["memory allocation of", "Cannot allocate memory", "out of memory", "os error 11"];

const KILLED: &str = "the process that compiled it was killed, by somebody or by the system for want of memory; see to \
                      that and load it again";

/// All that is known of it.
pub(super) struct Ending<'a> {
    pub(super) cut: Option<Cut>,
    pub(super) status: ExitStatus,
    pub(super) stderr: &'a [u8],
    pub(super) nonsense: Option<String>,
    pub(super) child: &'a Child,
}

impl Ending<'_> {
    /// Who ended it knows best why; then the signal tells, then its own words.
    pub(super) fn flaw(&self) -> Flaw {
        let limits = &self.child.limits;
        let signal = self.status.signal().and_then(Signal::from_named_raw);
        failed(match (self.cut, signal) {
            (Some(Cut::Wall), _) => too_much(&format!("takes longer than {}", Span(limits.wall))),
            (Some(Cut::Cancelled), _) => "its compilation was cancelled".into(),
            (None, Some(Signal::XCPU)) => too_much(&format!("needs more than {} s of CPU time", limits.cpu_seconds())),
            (None, Some(Signal::KILL)) => KILLED.into(),
            _ if self.lacked_memory() => {
                let most = Size(usize::try_from(limits.memory).unwrap_or(usize::MAX));
                too_much(&format!("needs more than {most} of memory"))
            }
            _ => self.odd(),
        })
    }

    /// An end that no limit explains.
    fn odd(&self) -> String {
        if self.status.success() {
            let what = self.nonsense.as_deref().unwrap_or("it did not answer");
            return format!("`{}` cannot be used to compile it: {what}", self.child.program.display());
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

fn too_much(what: &str) -> String {
    format!("it {what} to be compiled, which is the limit; build a smaller one")
}

/// A flaw of this stage.
pub(super) fn failed(reason: String) -> Flaw {
    Flaw::new(Stage::Compile, reason)
}
