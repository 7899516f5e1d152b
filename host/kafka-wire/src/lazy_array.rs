//! An array of a request: checked when it is read, and read again one by one instead of being kept.

use std::marker::PhantomData;

use crate::wire::{Malformed, WireReader};

/// Something that arrays of a request are made of.
pub trait ArrayElement<'a>: Sized {
    /// Reads one, as this version of its request spells it.
    fn read(reader: &mut WireReader<'a>, version: i16) -> Result<Self, Malformed>;
}

/// The elements of an array, still as bytes.
#[derive(Clone, Copy, Debug)]
pub struct LazyArray<'a, T> {
    entries: WireReader<'a>,
    count: usize,
    version: i16,
    element: PhantomData<T>,
}

impl<'a, T: ArrayElement<'a>> LazyArray<'a, T> {
    /// Reads past so many elements: all of them can be read.
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
    pub fn len(&self) -> usize {
        self.count
    }

    /// All elements together are not longer.
    pub fn byte_len(&self) -> usize {
        self.entries.remaining()
    }
}
