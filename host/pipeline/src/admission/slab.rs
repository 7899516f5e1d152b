//! Values addressed by index.
//!
//! In: values. Out: indices that are valid until the value is removed, and are reused afterwards. It grows by chunks,
//! so values are never moved and at most one chunk is spare. Never: gives memory back; it stays as large as it ever
//! was.

/// Values per allocation.
const CHUNK: usize = 128;

#[derive(Debug)]
pub(super) struct Slab<T> {
    chunks: Vec<Vec<Option<T>>>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub(super) fn new() -> Self {
        Self { chunks: Vec::new(), free: Vec::new() }
    }

    /// All indices issued so far are below this.
    pub(super) fn end(&self) -> u32 {
        let last = self.chunks.last().map_or(0, Vec::len);
        let full = self.chunks.len().saturating_sub(1) * CHUNK;
        u32::try_from(full + last).expect("the table's capacity is a u32")
    }

    pub(super) fn insert(&mut self, value: T) -> u32 {
        if let Some(number) = self.free.pop() {
            *self.slot_mut(number).expect("a free index was issued before") = Some(value);
            return number;
        }
        let number = self.end();
        match self.chunks.last_mut().filter(|chunk| chunk.len() < CHUNK) {
            Some(chunk) => chunk.push(Some(value)),
            None => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(Some(value));
                self.chunks.push(chunk);
            }
        }
        number
    }

    pub(super) fn remove(&mut self, number: u32) -> Option<T> {
        let value = self.slot_mut(number)?.take()?;
        self.free.push(number);
        Some(value)
    }

    pub(super) fn get(&self, number: u32) -> Option<&T> {
        let number = number as usize;
        self.chunks.get(number / CHUNK)?.get(number % CHUNK)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.slot_mut(number)?.as_mut()
    }

    fn slot_mut(&mut self, number: u32) -> Option<&mut Option<T>> {
        let number = number as usize;
        self.chunks.get_mut(number / CHUNK)?.get_mut(number % CHUNK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_valid_until_removed_and_then_reused() {
        let mut slab = Slab::new();
        let numbers: Vec<u32> = (0..300).map(|value| slab.insert(value)).collect();
        assert_eq!(slab.end(), 300);
        assert!(numbers.iter().zip(0..).all(|(number, value)| slab.get(*number) == Some(&value)));
        assert_eq!((slab.remove(7), slab.remove(7), slab.get(7)), (Some(7), None, None));
        assert_eq!(slab.insert(1_000), 7);
        assert_eq!((slab.get(7), slab.end()), (Some(&1_000), 300));
        assert_eq!(slab.get_mut(300), None);
    }
}
