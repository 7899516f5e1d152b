//! A batch of pushes, borrowed from the host for one call.

use crate::contract::batches as host;
use crate::{ExportError, GoneClient, Label, Push};

/// A batch of pushes, borrowed from the host for one call. The pushes stay in the host: a method of this type or of
/// [`Push`] copies only the value that it returns.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    lent: &'a host::Batch,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(lent: &'a host::Batch) -> Self {
        Self { lent }
    }

    /// The number of pushes. It is 0 if the batch carries nothing but [`gone`](Self::gone) clients.
    pub fn len(&self) -> usize {
        self.lent.len() as usize
    }

    /// Whether the batch has no push.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sum of the sizes of all pushes, in bytes.
    pub fn size(&self) -> u64 {
        self.lent.size()
    }

    /// The pushes. Those of one client are in the order in which they arrived.
    pub fn pushes(&self) -> Pushes<'a> {
        Pushes { lent: self.lent, next: 0, len: self.lent.len() }
    }

    /// All pushes as one serialized `ExportMetricsServiceRequest`, with these labels among the attributes of every
    /// resource. The host builds the request, so this is the cheapest way to forward a batch.
    ///
    /// The host refuses more than 22 labels, and labels that make the request larger than 64 MiB.
    pub fn otlp_request(&self, labels: &[Label]) -> Result<Vec<u8>, ExportError> {
        let labels: Vec<_> = labels.iter().map(Into::into).collect();
        self.lent.otlp_request(&labels).map_err(ExportError::Other)
    }

    /// The clients that are gone, so that their time series are stale. The notice comes after the last push of the
    /// client was accepted or dropped.
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

/// An iterator over the pushes of a [`Batch`].
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
