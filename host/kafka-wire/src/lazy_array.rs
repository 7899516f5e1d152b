//! An array of a request, which is validated when it is read and decoded again element by element instead of being
//! stored.

use std::marker::PhantomData;

use crate::wire::{Malformed, WireReader};

/// An element of an array in a request.
pub trait ArrayElement<'a>: Sized {
    /// Decodes one element in this version of its request.
    fn read(reader: &mut WireReader<'a>, version: i16) -> Result<Self, Malformed>;
}

/// The elements of an array, still encoded.
#[derive(Clone, Copy, Debug)]
pub struct LazyArray<'a, T> {
    entries: WireReader<'a>,
    count: usize,
    version: i16,
    element: PhantomData<T>,
}

impl<'a, T: ArrayElement<'a>> LazyArray<'a, T> {
    /// Skips this many elements, after checking that each can be decoded.
    pub fn read(reader: &mut WireReader<'a>, count: usize, version: i16) -> Result<Self, Malformed> {
        let entries = *reader;
        for _ in 0..count {
            T::read(reader, version)?;
        }
        Ok(Self { entries, count, version, element: PhantomData })
    }

    /// Each element, in order.
    pub fn iter(&self) -> impl Iterator<Item = T> + use<'a, T> {
        let (mut entries, version) = (self.entries, self.version);
        (0..self.count).map_while(move |_| T::read(&mut entries, version).ok())
    }
}

impl<T> LazyArray<'_, T> {
    /// The number of elements.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// All elements together have at most this many bytes.
    pub fn byte_len(&self) -> usize {
        self.entries.remaining()
    }
}
