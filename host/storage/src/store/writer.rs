//! The single writer thread.
//!
//! In: writes from a bounded queue. Out: a result for each, once all writes that waited together are on the disk in one
//! transaction: syncing the disk costs the same for one write and for fifty. The thread starts with the first write and
//! ends, with an empty queue, when the last handle of the store is dropped.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context as _, anyhow};
use redb::{Database, Durability, WriteTransaction};

use super::database::ReopeningDatabase;

/// Length of the queue of writes; callers block while it is full.
const MAX_WAITING_WRITES: usize = 64;

pub(super) struct StoreWriter {
    base: Arc<ReopeningDatabase>,
    thread: Mutex<Option<WriterThread>>,
}

struct WriterThread {
    changes: SyncSender<Box<dyn QueuedWrite>>,
    handle: JoinHandle<()>,
}

/// A write in the queue.
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
        // The channel has capacity for this one result; a caller that is gone does not need it.
        let _ = self.reply_to.try_send(answer);
    }
}

impl StoreWriter {
    pub(super) fn new(base: Arc<ReopeningDatabase>) -> Self {
        Self { base, thread: Mutex::default() }
    }

    /// Makes a write and waits until it is on the disk. On an error nothing was changed.
    pub(super) fn write<T, F>(&self, act: F) -> anyhow::Result<T>
    where
        T: Send + 'static,
        F: FnMut(&WriteTransaction) -> Result<T, redb::Error> + Send + 'static,
    {
        let (asker, answer) = sync_channel(1);
        let changes = self.changes().context("cannot start the store's writer thread")?;
        let sent = changes.send(Box::new(PendingWrite { act, result: None, reply_to: asker })).is_ok();
        drop(changes);
        let answer = if sent { answer.recv().ok() } else { None };
        answer.unwrap_or_else(|| {
            self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
            Err(anyhow!("the store's writer thread panicked at this write; the next write starts it again"))
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
            // No caller waits for a result any more, so the queue is empty and joining takes no time.
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
