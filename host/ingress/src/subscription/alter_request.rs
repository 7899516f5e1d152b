//! Several alterations in one request, in order, each with its own result.
//!
//! In: the changes of one request. Out: a result for each. Runs on a thread that may block, one request at a time; the
//! wait for the others is limited. Bounded in changes for which all clients are checked, and in compiled patterns.
//! Stops after the current change if no caller waits for the results any more.

use std::cell::Cell;
use std::time::SystemTime;

use tokio::sync::oneshot;

use super::bounds::MAX_PATTERNS_BYTES;
use super::effective::EffectiveSubscription;
use super::{AlterError, AlterOutcome, SubscriptionChange, Subscriptions, TURN_TIMEOUT};
use barnabas_storage::audit::{AuditAction, AuditEntry, ChangeOutcome};

/// The most changes of one request for which all clients are checked: that costs work for each client and each rule.
pub(super) const MAX_FORECASTS: usize = 16;

/// The most bytes of one compiled pattern.
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// The options and the limits of one request.
pub(super) struct AlterRequest {
    /// Nothing is changed.
    pub(super) validate_only: bool,
    /// Whether to determine which clients are affected.
    pub(super) with_forecast: bool,
    /// Bytes of the patterns compiled for it so far.
    compiled: Cell<usize>,
}

impl AlterRequest {
    /// A request with this many changes.
    pub(super) fn new(changes: usize, validate_only: bool) -> Self {
        Self { validate_only, with_forecast: changes <= MAX_FORECASTS, compiled: Cell::default() }
    }

    /// Compiles one more, unless the request has already compiled as much as all subscriptions together may have.
    pub(super) fn compile_within_limit(
        &self,
        make: impl FnOnce() -> Result<EffectiveSubscription, AlterError>,
    ) -> Result<EffectiveSubscription, AlterError> {
        let compiled = self.compiled.get();
        if compiled >= MAX_PATTERNS_BYTES {
            let words = format!(
                "the compiled patterns of one request may take {MAX_PATTERNS_BYTES} bytes; send the rest in another request"
            );
            return Err(AlterError::Policy(words));
        }
        let made = make();
        let weight = match &made {
            Ok(held) => held.patterns,
            // Its size may have been found too large only at the end.
            Err(AlterError::Config(_)) => MAX_PATTERN_BYTES,
            Err(_) => 0,
        };
        self.compiled.set(compiled.saturating_add(weight));
        made
    }
}

impl Subscriptions {
    /// Alters several subscriptions, in order and independently, on a thread that may block. Starts no further change
    /// once no caller waits for the results; changes made by then remain, and are in the audit log with `who` as the
    /// actor.
    pub async fn alter_all(
        &self,
        who: String,
        changes: Vec<SubscriptionChange>,
        validate_only: bool,
    ) -> Vec<Result<AlterOutcome, AlterError>> {
        let (subscriptions, count) = (self.clone(), changes.len());
        let refused = |why: AlterError| (0..count).map(|_| Err(why.clone())).collect();
        let Ok(turn) = tokio::time::timeout(TURN_TIMEOUT, self.0.queue.clone().lock_owned()).await else {
            return refused(AlterError::Busy("other alterations of subscriptions are running; try again".into()));
        };
        let (answer, answered) = oneshot::channel();
        // The task ends by itself, after the current change at the latest once `answered` is dropped.
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let request = AlterRequest::new(count, validate_only);
            let pending = changes.iter().take_while(|_| !answer.is_closed());
            let done: Vec<_> = pending.map(|change| subscriptions.alter_audited(&who, change, &request)).collect();
            let _ = answer.send(done);
        });
        let broken = || refused(AlterError::Internal("internal error; see the host's log".into()));
        answered.await.unwrap_or_else(|_| broken())
    }

    fn alter_audited(
        &self,
        who: &str,
        change: &SubscriptionChange,
        request: &AlterRequest,
    ) -> Result<AlterOutcome, AlterError> {
        let altered = self.alter_in_request(&change.name, &change.ops, request)?;
        if altered.changed {
            tracing::info!(subscription = %change.name, %who, "altered: {}", altered.difference);
            self.0.audit.append(AuditEntry {
                at: SystemTime::now(),
                who: who.to_owned(),
                action: AuditAction::AlterSubscription,
                plugin: change.name.clone(),
                from: None,
                to: None,
                grants: Vec::new(),
                outcome: Some(ChangeOutcome::Done),
                message: altered.difference.clone(),
            });
        }
        Ok(altered)
    }
}
