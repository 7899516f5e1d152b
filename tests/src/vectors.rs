//! Pushes recorded from real clients, in `tests/vectors`.

use std::path::PathBuf;

use barnabas_base::Codec;

/// One recorded push.
#[derive(Clone, Debug)]
pub struct Vector {
    /// File name.
    pub name: String,
    /// Taken from the file name.
    pub codec: Codec,
    /// The `Metrics` bytes as they were on the wire.
    pub wire: Vec<u8>,
}

/// All recorded pushes, sorted by name.
pub fn all() -> Vec<Vector> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/vectors"));
    let mut vectors: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "bin"))
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            Vector { codec: codec(&name), wire: std::fs::read(&path).unwrap(), name }
        })
        .collect();
    vectors.sort_by(|a, b| a.name.cmp(&b.name));
    vectors
}

/// The first recorded push whose name starts with `prefix`.
pub fn one(prefix: &str) -> Vector {
    all().into_iter().find(|v| v.name.starts_with(prefix)).unwrap_or_else(|| panic!("no recorded push {prefix}*"))
}

/// `…-cumulative.zstd-0.bin` is zstd.
fn codec(name: &str) -> Codec {
    let word = name.rsplit('.').nth(1).and_then(|part| part.split('-').next()).unwrap();
    let codecs = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
    codecs.into_iter().find(|codec| codec.to_string() == word).unwrap_or_else(|| panic!("{name}: codec {word}"))
}
