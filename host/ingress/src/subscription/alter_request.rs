//! Several alterations at once: one request's, in order, each for itself.
//!
//! In: the changes of one request. Out: an answer for each. Runs where it may block, one request at a time; the others
//! wait for their turn so long and no longer. Bounded in changes that are held against all clients, and in patterns that
//! are compiled. Ends after the change at hand where nobody waits for the answers any more.

use std::cell::Cell;
use std::time::SystemTime;

use tokio::sync::oneshot;

use super::bounds::MAX_PATTERNS_BYTES;
use super::effective::EffectiveSubscription;
use super::{AlterError, AlterOutcome, SubscriptionChange, Subscriptions, TURN_TIMEOUT};
use barnabas_storage::audit::{AuditAction, AuditEntry, ChangeOutcome};

/// Most changes of one request that are held against all clients: that is work for each client and each rule.
pub(super) const MAX_FORECASTS: usize = 16;

/// Most bytes of one pattern.
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// How something is to be altered.
pub(super) struct AlterRequest {
    /// Nothing is to be changed.
    pub(super) validate_only: bool,
    /// Whether to find out which clients it concerns.
    pub(super) with_forecast: bool,
    /// Bytes of the patterns compiled for it so far.
    compiled: Cell<usize>,
}

impl AlterRequest {
    /// For a request with so many changes.
    pub(super) fn new(changes: usize, validate_only: bool) -> Self {
        Self { validate_only, with_forecast: changes <= MAX_FORECASTS, compiled: Cell::default() }
    }

    /// Makes one more, unless as much was compiled already as the whole book may hold.
    pub(super) fn compile_within_limit(
        &self,
        make: impl FnOnce() -> Result<EffectiveSubscription, AlterError>,
    ) -> Result<EffectiveSubscription, AlterError> {
        let compiled = self.compiled.get();
        if compiled >= MAX_PATTERNS_BYTES {
            let words =
                format!("the patterns of one request may take {MAX_PATTERNS_BYTES} bytes; ask for the rest in another");
            return Err(AlterError::Policy(words));
        }
        let made = make();
        let weight = match &made {
            Ok(held) => held.patterns,
            // Perhaps it was found too large only in the end.
            Err(AlterError::Config(_)) => MAX_PATTERN_BYTES,
            Err(_) => 0,
        };
        self.compiled.set(compiled.saturating_add(weight));
        made
    }
}

impl Subscriptions {
    /// Alters several, in order and each for itself, on a thread that may block. Begins no further one once nobody waits
    /// for the answers; what was changed by then stays, and stands in the audit log, by `who`.
    pub async fn alter_all(
        &self,
        who: String,
        changes: Vec<SubscriptionChange>,
        validate_only: bool,
    ) -> Vec<Result<AlterOutcome, AlterError>> {
        let (subscriptions, count) = (self.clone(), changes.len());
        let refused = |why: AlterError| (0..count).map(|_| Err(why.clone())).collect();
        let Ok(turn) = tokio::time::timeout(TURN_TIMEOUT, self.0.queue.clone().lock_owned()).await else {
            return refused(AlterError::Busy("others alter subscriptions here at this moment; try again".into()));
        };
        let (answer, answered) = oneshot::channel();
        // It ends by itself, after the change at hand at the latest once `answered` is dropped.
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let request = AlterRequest::new(count, validate_only);
            let pending = changes.iter().take_while(|_| !answer.is_closed());
            let done: Vec<_> = pending.map(|change| subscriptions.alter_audited(&who, change, &request)).collect();
            let _ = answer.send(done);
        });
        let broken = || refused(AlterError::Internal("the host broke at this; see its log".into()));
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
