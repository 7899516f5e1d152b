//! A batch on loan from the host.

use crate::contract::batches as host;
use crate::{ExportError, GoneClient, Label, Push};

/// A batch of pushes, lent for the time of one call. A receiver pays only for what it asks: nothing is copied into the
/// guest until a method here or on [`Push`] asks for it.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    lent: &'a host::Batch,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(lent: &'a host::Batch) -> Self {
        Self { lent }
    }

    /// How many pushes. May be 0 when the batch carries only [`gone`](Self::gone) clients.
    pub fn len(&self) -> usize {
        self.lent.len() as usize
    }

    /// Whether there is no push in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sum of the sizes of all pushes, in bytes.
    pub fn size(&self) -> u64 {
        self.lent.size()
    }

    /// The pushes, those of one client in the order in which they arrived.
    pub fn pushes(&self) -> Pushes<'a> {
        Pushes { lent: self.lent, next: 0, len: self.lent.len() }
    }

    /// All pushes as the bytes of one `ExportMetricsServiceRequest`, with these labels among the attributes of every
    /// resource. The host writes it, so this is the cheapest way to forward a batch.
    ///
    /// The host refuses more than 22 labels, and a request that its labels make larger than 64 MiB.
    pub fn otlp_request(&self, labels: &[Label]) -> Result<Vec<u8>, ExportError> {
        let labels: Vec<_> = labels.iter().map(Into::into).collect();
        self.lent.otlp_request(&labels).map_err(ExportError::Other)
    }

    /// Clients that are gone, given after their last push was settled: their series are stale.
    pub fn gone(&self) -> Vec<GoneClient> {
        self.lent.gone().into_iter().map(Into::into).collect()
    }
}

impl<'a> IntoIterator for &Batch<'a> {
    type Item = Push<'a>;
    type IntoIter = Pushes<'a>;

    fn into_iter(self) -> Pushes<'a> {
        self.pushes()
    }
}

/// The pushes of a [`Batch`], one by one.
#[derive(Clone, Debug)]
pub struct Pushes<'a> {
    lent: &'a host::Batch,
    next: u32,
    len: u32,
}

impl<'a> Iterator for Pushes<'a> {
    type Item = Push<'a>;

    fn next(&mut self) -> Option<Push<'a>> {
        let index = self.next;
        (index < self.len).then(|| {
            self.next += 1;
            Push::new(self.lent, index)
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = (self.len - self.next) as usize;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Pushes<'_> {}
