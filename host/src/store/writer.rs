//! The one thread that writes.
//!
//! In: changes, from a bounded queue. Out: an answer to each, once all that waited together are on the disk in one
//! transaction: a sync of the disk costs the same for one change and for fifty. The thread starts with the first change
//! and ends, its queue empty, when the last handle of the store is gone.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context as _, anyhow};
use redb::{Database, Durability, WriteTransaction};

use super::database::ReopeningDatabase;

/// Changes that wait; whoever brings one more waits too.
const MAX_WAITING_WRITES: usize = 64;

pub(super) struct StoreWriter {
    base: Arc<ReopeningDatabase>,
    thread: Mutex<Option<WriterThread>>,
}

struct WriterThread {
    changes: SyncSender<Box<dyn QueuedWrite>>,
    handle: JoinHandle<()>,
}

/// One change on its way.
trait QueuedWrite: Send {
    fn apply(&mut self, transaction: &WriteTransaction) -> Result<(), redb::Error>;
    fn respond(self: Box<Self>, committed: &anyhow::Result<()>);
}

struct PendingWrite<T, F> {
    act: F,
    result: Option<T>,
    reply_to: SyncSender<anyhow::Result<T>>,
}

impl<T: Send, F: FnMut(&WriteTransaction) -> Result<T, redb::Error> + Send> QueuedWrite for PendingWrite<T, F> {
    fn apply(&mut self, transaction: &WriteTransaction) -> Result<(), redb::Error> {
        self.result = Some((self.act)(transaction)?);
        Ok(())
    }

    fn respond(self: Box<Self>, committed: &anyhow::Result<()>) {
        let answer = match (committed, self.result) {
            (Err(error), _) => Err(anyhow!("{error:#}")),
            (Ok(()), result) => result.context("the change was not made"),
        };
        // There is room for the one answer; an asker that is gone does not want it.
        let _ = self.reply_to.try_send(answer);
    }
}

impl StoreWriter {
    pub(super) fn new(base: Arc<ReopeningDatabase>) -> Self {
        Self { base, thread: Mutex::default() }
    }

    /// Makes a change and waits until it is on the disk. The error is in words; nothing was changed.
    pub(super) fn write<T, F>(&self, act: F) -> anyhow::Result<T>
    where
        T: Send + 'static,
        F: FnMut(&WriteTransaction) -> Result<T, redb::Error> + Send + 'static,
    {
        let (asker, answer) = sync_channel(1);
        let changes = self.changes().context("the store's thread does not start")?;
        let sent = changes.send(Box::new(PendingWrite { act, result: None, reply_to: asker })).is_ok();
        drop(changes);
        let answer = if sent { answer.recv().ok() } else { None };
        answer.unwrap_or_else(|| {
            self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
            Err(anyhow!("the store's thread broke at this change; the next one starts it anew"))
        })
    }

    fn changes(&self) -> io::Result<SyncSender<Box<dyn QueuedWrite>>> {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = &*thread {
            return Ok(running.changes.clone());
        }
        let (changes, queue) = sync_channel(MAX_WAITING_WRITES);
        let base = self.base.clone();
        let named = std::thread::Builder::new().name("barnabas-store".into());
        let handle = named.spawn(move || run(&base, &queue))?;
        *thread = Some(WriterThread { changes: changes.clone(), handle });
        Ok(changes)
    }
}

impl Drop for StoreWriter {
    fn drop(&mut self) {
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(WriterThread { changes, handle }) = thread {
            drop(changes);
            // Nobody waits for an answer any more, so the queue is empty and this is short.
            let _ = handle.join();
        }
    }
}

fn run(base: &ReopeningDatabase, queue: &Receiver<Box<dyn QueuedWrite>>) {
    while let Ok(first) = queue.recv() {
        let mut group = vec![first];
        group.extend(queue.try_iter().take(MAX_WAITING_WRITES - 1));
        let committed = base.run(|database| commit(database, &mut group));
        group.into_iter().for_each(|change| change.respond(&committed));
    }
}

fn commit(database: &Database, group: &mut [Box<dyn QueuedWrite>]) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    for change in group {
        change.apply(&transaction)?;
    }
    transaction.commit()?;
    Ok(())
}
