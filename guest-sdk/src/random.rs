//! Random numbers from the host (`wasi:random`).

/// Unpredictable bytes.
#[cfg(target_arch = "wasm32")]
pub fn bytes(len: usize) -> Vec<u8> {
    wasip2::random::random::get_random_bytes(len as u64)
}

/// Unpredictable bytes. Natively they come from the seeds of hash maps: sufficient for a test, but not for a key.
#[cfg(not(target_arch = "wasm32"))]
pub fn bytes(len: usize) -> Vec<u8> {
    use std::hash::{BuildHasher, RandomState};
    let words = std::iter::repeat_with(|| RandomState::new().hash_one(0).to_le_bytes());
    words.flatten().take(len).collect()
}

/// An unpredictable number.
pub fn u64() -> u64 {
    bytes(8).into_iter().fold(0, |number, byte| (number << 8) | u64::from(byte))
}

#[cfg(test)]
mod tests {
    #[test]
    fn bytes_have_the_requested_length_and_differ() {
        assert_eq!(super::bytes(13).len(), 13);
        assert_ne!(super::bytes(16), super::bytes(16));
        assert_ne!(super::u64(), super::u64());
    }
}
