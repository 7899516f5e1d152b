//! Kafka's compression types.

use std::fmt;

/// How a payload is compressed, by Kafka's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i8)]
pub enum Codec {
    /// No compression. It is never offered to clients but always accepted (Java 3.7 can send nothing else).
    None = 0,
    /// RFC 1952.
    Gzip = 1,
    /// Raw block (librdkafka) or xerial stream (Java).
    Snappy = 2,
    /// LZ4 frame format.
    Lz4 = 3,
    /// RFC 8878.
    Zstd = 4,
}

impl Codec {
    /// In the order of preference that clients are given (the same as Apache Kafka's).
    pub const OFFERED: [Self; 4] = [Self::Zstd, Self::Lz4, Self::Gzip, Self::Snappy];

    /// From the number on the wire.
    pub fn from_id(id: i8) -> Option<Self> {
        Some(match id {
            0 => Self::None,
            1 => Self::Gzip,
            2 => Self::Snappy,
            3 => Self::Lz4,
            4 => Self::Zstd,
            _ => return None,
        })
    }

    /// The number on the wire.
    pub fn id(self) -> i8 {
        self as i8
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        })
    }
}
