//! The identity of a client instance (KIP-714).

mod id_formats;

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A KIP-714 client instance id. Text form: 22 characters of base64url without padding, as Java prints it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstanceId([u8; 16]);

impl InstanceId {
    /// All zero: what a client sends before it has an id.
    pub const NIL: Self = Self([0; 16]);
    /// Kafka's second reserved id, 1.
    pub const ONE: Self = Self([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

    /// From the 16 bytes on the wire.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes on the wire.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Nil or ONE: not an identity (KIP-714, `Uuid.RESERVED`).
    pub fn is_reserved(&self) -> bool {
        *self == Self::NIL || *self == Self::ONE
    }

    /// Turns 16 random bytes into a version 4 UUID; `None` when its text would begin with `-`, which command lines
    /// parse as an option. The caller then draws other bytes.
    pub fn from_random(mut bytes: [u8; 16]) -> Option<Self> {
        let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
        *version = (*version & 0x0f) | 0x40;
        *variant = (*variant & 0x3f) | 0x80;
        let id = Self(bytes);
        (!id.is_reserved() && !id.to_string().starts_with('-')).then_some(id)
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for InstanceId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok().and_then(|b| b.try_into().ok());
        bytes
            .map(Self)
            .ok_or_else(|| format!("`{text}` is not a client instance id: 22 characters of base64url without padding"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_is_javas() {
        let id = InstanceId::from_bytes([
            0x70, 0x1a, 0xe8, 0xad, 0xd2, 0x2a, 0x5e, 0x9a, 0xb4, 0xaa, 0x4a, 0x9c, 0xbd, 0x86, 0xa1, 0x3c,
        ]);
        assert_eq!(id.to_string(), "cBrordIqXpq0qkqcvYahPA");
        assert_eq!("cBrordIqXpq0qkqcvYahPA".parse(), Ok(id));
        assert!("not an id".parse::<InstanceId>().is_err());
    }

    #[test]
    fn random_ids_are_uuid_v4_and_never_look_like_an_option() {
        assert_eq!(InstanceId::from_random([0xfb; 16]), None, "its text begins with -");
        let id = InstanceId::from_random([0x11; 16]).expect("a plain one");
        assert_eq!(id.as_bytes()[6] >> 4, 4);
        assert_eq!(id.as_bytes()[8] >> 6, 2);
    }
}
