//! Formats the steps of a change as lines.

use std::fmt::Write as _;
use std::time::Duration;

use barnabas_lifecycle::change::ChangeStep;

use crate::format::escape;

/// Formats a step as one aligned line; the last step is its message and the changes of grants. With `named`, the line
/// starts with the name of the plugin.
pub(super) fn format_step(step: &ChangeStep, named: bool) -> String {
    let of = |plugin: &str| if named { format!("{:<16}", escape(plugin)) } else { String::new() };
    match step {
        ChangeStep::Passed { plugin, stage, took, note, .. } => {
            let took = format_duration(*took);
            let line = format!(
                "{}{:<10}{took:>9}  {}",
                of(plugin),
                stage.as_str(),
                note.as_deref().map(escape).unwrap_or_default()
            );
            line.trim_end().to_owned() + "\n"
        }
        ChangeStep::News { plugin, stage, text } => {
            format!("{}{:<10}{:>9}  {}\n", of(plugin), stage.as_str(), "…", escape(text))
        }
        ChangeStep::Ended(ending) => {
            let plugin = if named && !ending.plugin.is_empty() {
                format!("{}: ", escape(&ending.plugin))
            } else {
                String::new()
            };
            let mut words = format!("{plugin}{}\n", escape(&ending.message));
            for grant in &ending.grants {
                let _ = writeln!(words, "  {}", escape(grant));
            }
            words
        }
    }
}

/// In milliseconds if it is less than a second.
fn format_duration(took: Duration) -> String {
    let seconds = took.as_secs_f64();
    if seconds < 1.0 { format!("{:.1} ms", seconds * 1e3) } else { format!("{seconds:.1} s") }
}
