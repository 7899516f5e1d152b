//! The pushes of a trial: files, pushes recorded by a host, samples.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, ensure};
use barnabas::app::recent_file::read;
use barnabas_base::Codec;
use barnabas_pipeline::admission::{Admitted, Refusal};
use barnabas_pipeline::decode;
use barnabas_pipeline::decode::{Decoded, Decoder, Payload};
use barnabas_pipeline::push::sample;
use barnabas_pipeline::push::sample::SampleClient;
use barnabas_pipeline::push::{Format, Push};
use bytes::Bytes;
use clap::{Args, ValueEnum};

/// Magic bytes of compressed files. A raw Snappy block, which librdkafka sends, has none.
const MAGIC: [(&[u8], Codec); 4] = [
    (&[0x28, 0xb5, 0x2f, 0xfd], Codec::Zstd),
    (&[0x1f, 0x8b], Codec::Gzip),
    (&[0x04, 0x22, 0x4d, 0x18], Codec::Lz4),
    (b"\x82SNAPPY\0", Codec::Snappy),
];

/// Flags that select the pushes.
#[derive(Args)]
pub(super) struct PushArgs {
    /// File with a push: an OTLP `MetricsData` or `ExportMetricsServiceRequest` in protobuf, compressed or not, or in JSON.
    /// Can be repeated.
    #[arg(long = "push", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Compression of the files of `--push`. Default: detected from their first bytes.
    #[arg(long, value_enum)]
    codec: Option<CodecName>,
    /// File with pushes recorded by a host: `recent-pushes.jsonl` in its data directory, which it writes with
    /// `[recent-pushes] on-disk = true`.
    #[arg(long, value_name = "FILE.jsonl")]
    recent: Vec<PathBuf>,
    /// A recorded push of a real client. Default without any push: `java`.
    #[arg(long, value_enum)]
    sample: Vec<SampleName>,
}

#[derive(Clone, Copy, ValueEnum)]
enum SampleName {
    Java,
    Librdkafka,
}

#[derive(Clone, Copy, ValueEnum)]
enum CodecName {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl PushArgs {
    /// All pushes: first those of `--push`, then those of `--recent`, then the samples.
    pub(super) fn payloads(&self) -> Result<Vec<Arc<Payload>>> {
        let mut payloads = Vec::new();
        for file in &self.files {
            payloads.push(self.file(file)?);
        }
        for file in &self.recent {
            let shown = file.display();
            let pushes = read(file).with_context(|| format!("cannot read the recorded pushes of {shown}"))?;
            ensure!(!pushes.is_empty(), "{shown} contains no usable push");
            payloads.extend(pushes);
        }
        let java = (payloads.is_empty() && self.sample.is_empty()).then_some(SampleName::Java);
        for name in self.sample.iter().copied().chain(java) {
            let sample = match name {
                SampleName::Java => SampleClient::Java,
                SampleName::Librdkafka => SampleClient::Librdkafka,
            };
            payloads.push(payload(decoded(sample.push()), "the sample")?);
        }
        Ok(payloads.into_iter().map(Arc::new).collect())
    }

    fn file(&self, file: &Path) -> Result<Payload> {
        let name = format!("the push {}", file.display());
        let bytes: Bytes = std::fs::read(file).with_context(|| format!("cannot read {name}"))?.into();
        let json = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
        let format = if json { Format::Json } else { Format::Protobuf };
        let of = |codec: Codec| Push { codec: codec.id(), format, ..sample::from_bytes(bytes.clone()) };
        let known = self.codec.map(CodecName::codec).or_else(|| detect_codec(&bytes));
        match known {
            Some(codec) => payload(decoded(of(codec)), &name),
            None => {
                let plain = decoded(of(Codec::None));
                let done = if plain.is_err() { decoded(of(Codec::Snappy)).or(plain) } else { plain };
                payload(done, &name)
                    .map_err(|error| anyhow!("{error}; if the file is compressed, name the codec with `--codec`"))
            }
        }
    }
}

impl CodecName {
    fn codec(self) -> Codec {
        match self {
            Self::None => Codec::None,
            Self::Gzip => Codec::Gzip,
            Self::Snappy => Codec::Snappy,
            Self::Lz4 => Codec::Lz4,
            Self::Zstd => Codec::Zstd,
        }
    }
}

fn detect_codec(bytes: &[u8]) -> Option<Codec> {
    MAGIC.iter().find(|(magic, _)| bytes.starts_with(magic)).map(|(_, codec)| *codec)
}

/// Validates and decodes a push like a listener does.
fn decoded(push: Push) -> Result<Decoded, Refusal> {
    Admitted::declared(push).and_then(|admitted| Decoder::new(decode::DecodeConfig::default()).decode(admitted))
}

fn payload(decoded: Result<Decoded, Refusal>, name: &str) -> Result<Payload> {
    match decoded.map_err(|refusal| anyhow!("{name} cannot be used: {refusal}"))? {
        Decoded::Payload(payload) => Ok(payload),
        Decoded::Empty => Err(anyhow!("{name} contains no metrics")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct PushCli {
        #[command(flatten)]
        pushes: PushArgs,
    }

    fn payloads(flags: &[&str]) -> Result<Vec<Arc<Payload>>> {
        PushCli::try_parse_from(["x"].iter().chain(flags)).unwrap().pushes.payloads()
    }

    #[test]
    fn the_codec_of_every_vector_is_detected() {
        let vectors = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors");
        let files = std::fs::read_dir(vectors).unwrap().map(|entry| entry.unwrap().path());
        let files: Vec<_> = files.filter(|file| file.extension().is_some_and(|kind| kind == "bin")).collect();
        let flags: Vec<_> = files.iter().flat_map(|file| ["--push", file.to_str().unwrap()]).collect();
        let read = payloads(&flags).unwrap();
        assert!(read.len() == files.len() && read.len() > 20 && read.iter().all(|payload| payload.points() > 0));
    }

    #[test]
    fn json_files_can_be_combined_with_samples() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("push.json");
        let json = " {\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"name\":\"m\",\"gauge\":{\"dataPoints\":\
                    [{\"asInt\":\"1\"}]}}]}]}]}";
        std::fs::write(&file, json).unwrap();
        let read = payloads(&["--sample", "librdkafka", "--push", file.to_str().unwrap()]).unwrap();
        assert_eq!(read.iter().map(|payload| payload.points()).collect::<Vec<_>>(), [1, 15]);
        assert_eq!(payloads(&[]).unwrap()[0].points(), 86, "the default is the sample of Java");
    }

    #[test]
    fn an_unusable_push_is_named_in_one_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("nonsense");
        std::fs::write(&file, "nonsense").unwrap();
        let name = file.to_str().unwrap();
        for (flags, words) in [
            (["--push", name].as_slice(), "`--codec`"),
            (&["--push", name, "--codec", "zstd"], "cannot be used"),
            (&["--push", "/nowhere"], "cannot read the push /nowhere"),
            (&["--recent", name], "cannot read the recorded pushes"),
            (&["--recent", "/nowhere"], "cannot read the recorded pushes"),
        ] {
            let said = format!("{:#}", payloads(flags).unwrap_err());
            assert!(said.contains(words) && !said.contains('\n'), "{said}");
        }
    }
}
