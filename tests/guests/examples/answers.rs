//! Returns the outcomes in its settings, one after the other. After the last one it accepts every batch.
//!
//! Settings: `{"answers": [{"outcome": "unavailable", "retry_after_ms": 5, "reason": "busy"}, {"outcome": "taken"},
//! {"outcome": "too-large", "above": 1}, {"outcome": "partial", "rejected": [0], "retry": [1]}, {"outcome": "rejected",
//! "reason": "a metric without a name", "client_id": "poison"}, {"outcome": "other", "reason": "no idea"}], "repeat":
//! false}`. `too-large` with `above` applies only to batches of more pushes; `rejected` and `other` with `client_id`
//! apply only to batches with a push of that client. With `repeat` the list starts again after its end. Each outcome is
//! logged as `{outcome} for {pushes}`.

use std::time::Duration;

use barnabas_sdk::{Batch, ExportError, Receiver, StartError, log, register};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    answers: Vec<ScriptedOutcome>,
    #[serde(default)]
    repeat: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case", deny_unknown_fields)]
enum ScriptedOutcome {
    Taken,
    Unavailable {
        retry_after_ms: Option<u64>,
        #[serde(default)]
        reason: String,
    },
    TooLarge {
        #[serde(default)]
        above: usize,
    },
    Partial {
        #[serde(default)]
        rejected: Vec<u32>,
        #[serde(default)]
        retry: Vec<u32>,
        retry_after_ms: Option<u64>,
    },
    Rejected {
        #[serde(default)]
        reason: String,
        client_id: Option<String>,
    },
    Other {
        #[serde(default)]
        reason: String,
        client_id: Option<String>,
    },
}

struct Scripted {
    settings: Settings,
    next: usize,
}

impl Receiver for Scripted {
    type Settings = Settings;

    fn start(settings: Settings) -> Result<Self, StartError> {
        Ok(Self { settings, next: 0 })
    }

    fn export_metrics(&mut self, batch: &Batch<'_>) -> Result<(), ExportError> {
        if self.settings.repeat && self.next == self.settings.answers.len() {
            self.next = 0;
        }
        let answer = self.settings.answers.get(self.next).cloned().unwrap_or(ScriptedOutcome::Taken);
        self.next += 1;
        let outcome = answer.outcome(batch);
        match &outcome {
            Ok(()) => log::info!("taken for {}", batch.len()),
            Err(error) => log::info!("{error:?} for {}", batch.len()),
        }
        outcome
    }
}

impl ScriptedOutcome {
    fn outcome(self, batch: &Batch<'_>) -> Result<(), ExportError> {
        let wait = |error: ExportError, millis: Option<u64>| error.retry_after(millis.map(Duration::from_millis));
        match self {
            Self::Unavailable { retry_after_ms, reason } => Err(wait(ExportError::unavailable(reason), retry_after_ms)),
            Self::TooLarge { above } if batch.len() > above => Err(ExportError::too_large()),
            Self::Taken | Self::TooLarge { .. } => Ok(()),
            Self::Partial { rejected, retry, retry_after_ms } => {
                // By index, because an index may be wrong on purpose.
                let mut partial = ExportError::partial();
                partial.rejected = rejected.into_iter().map(|index| (index, "rejected".to_owned())).collect();
                partial.retry = retry;
                Err(wait(partial.into(), retry_after_ms))
            }
            Self::Rejected { reason, client_id } if holds(batch, client_id.as_deref()) => {
                Err(ExportError::rejected(reason))
            }
            Self::Other { reason, client_id } if holds(batch, client_id.as_deref()) => Err(ExportError::other(reason)),
            Self::Rejected { .. } | Self::Other { .. } => Ok(()),
        }
    }
}

/// Whether the batch has a push of this client, or no client is given.
fn holds(batch: &Batch<'_>, client_id: Option<&str>) -> bool {
    client_id.is_none_or(|wanted| batch.pushes().any(|push| push.client_id().as_deref() == Some(wanted)))
}

register!(Scripted);
