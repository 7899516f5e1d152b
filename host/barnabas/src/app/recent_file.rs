//! The recent pushes on disk, if the operator configures that. They contain clients' data, so only the host's own user
//! can read the file.
//!
//! Format: one JSON object per line, the first one a header. A new file is written beside the old one with mode 0600,
//! and then renamed. A file of a newer release or a damaged one is not read, and the next write replaces it.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use barnabas_pipeline::admission::Admitted;
use barnabas_pipeline::decode::{Decoded, Decoder, Payload};
use barnabas_pipeline::dispatch::RecentStore;
use barnabas_pipeline::push::{Client, Ingress, Push};

const FORMAT: u32 = 1;

#[derive(Deserialize, Serialize)]
struct RecentFileHeader {
    barnabas_recent_pushes: u32,
}

#[derive(Deserialize, Serialize)]
struct RecentFileLine {
    received_unix_ms: u64,
    instance_id: Option<String>,
    client_id: Option<String>,
    software_name: Option<String>,
    software_version: Option<String>,
    push_interval_ms: Option<u64>,
    metrics: String,
}

/// Saves the recent pushes to `path`. Blocks.
pub(crate) fn save(recent: &RecentStore, path: &Path) -> io::Result<()> {
    let mut text = serde_json::to_string(&RecentFileHeader { barnabas_recent_pushes: FORMAT })? + "\n";
    for payload in recent.newest().iter().rev() {
        text += &(serde_json::to_string(&RecentFileLine::from_payload(payload))? + "\n");
    }
    let temporary = path.with_extension("new");
    // A file that a killed process left behind would keep its mode.
    let _ = fs::remove_file(&temporary);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    fs::rename(&temporary, path)
}

/// Restores the pushes that an earlier process saved, as far as they are valid. Blocks.
pub(crate) fn restore(recent: &RecentStore, path: &Path) -> io::Result<usize> {
    match read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        read => Ok(read?.into_iter().map(|payload| recent.record(&Arc::new(payload))).count()),
    }
}

/// Reads the pushes of a file that a host saved, the oldest first, as far as they are valid. Blocks.
pub fn read(path: &Path) -> io::Result<Vec<Payload>> {
    // With Base64 and the names a file has less than twice the size of its pushes.
    if fs::metadata(path)?.len() > 2 * RecentStore::MAX_BYTES as u64 {
        return Err(io::Error::other("it is larger than any file that a host writes"));
    }
    let text = fs::read_to_string(path)?;
    let mut lines = text.lines();
    let header: RecentFileHeader = serde_json::from_str(lines.next().unwrap_or_default())?;
    if header.barnabas_recent_pushes != FORMAT {
        let found = header.barnabas_recent_pushes;
        return Err(io::Error::other(format!("it has format {found}, and this release supports {FORMAT}")));
    }
    Ok(lines.filter_map(|line| serde_json::from_str::<RecentFileLine>(line).ok()?.into_payload()).collect())
}

impl RecentFileLine {
    fn from_payload(payload: &Payload) -> Self {
        let (client, text) = (payload.client(), |text: &Option<Arc<str>>| text.as_deref().map(str::to_owned));
        Self {
            received_unix_ms: millis(payload.received_at().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()),
            instance_id: client.instance_id.map(|id| id.to_string()),
            client_id: text(&client.client_id),
            software_name: text(&client.software_name),
            software_version: text(&client.software_version),
            push_interval_ms: payload.push_interval().map(millis),
            metrics: STANDARD.encode(payload.bytes()),
        }
    }

    fn into_payload(self) -> Option<Payload> {
        let text = |text: Option<String>| text.map(Arc::from);
        let client = Client {
            instance_id: self.instance_id.and_then(|id| id.parse().ok()),
            client_id: text(self.client_id),
            software_name: text(self.software_name),
            software_version: text(self.software_version),
            ..Client::default()
        };
        let push = Push {
            client: Arc::new(client),
            ingress: Ingress::Sample,
            received_at: SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(self.received_unix_ms))?,
            terminating: false,
            subscription_id: None,
            codec: 0,
            format: barnabas_pipeline::push::Format::Protobuf,
            wire: Bytes::from(STANDARD.decode(self.metrics).ok()?),
            push_interval: self.push_interval_ms.map(Duration::from_millis),
            node_id: None,
            trace_parent: None,
        };
        match Decoder::default().decode(Admitted::declared(push).ok()?).ok()? {
            Decoded::Payload(payload) => Some(payload),
            Decoded::Empty => None,
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use barnabas_pipeline::dispatch::RecentConfig;
    use barnabas_pipeline::push::sample::SampleClient;

    fn recent() -> RecentStore {
        RecentStore::new(RecentConfig { max_pushes: 8, max_age: Duration::from_secs(60) })
    }

    fn sample() -> Payload {
        match Decoder::default().decode(Admitted::declared(SampleClient::Java.push()).unwrap()).unwrap() {
            Decoded::Payload(payload) => payload,
            Decoded::Empty => panic!("the sample has metrics"),
        }
    }

    #[test]
    fn saved_pushes_are_restored_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("recent.jsonl");
        let before = recent();
        assert_eq!(restore(&before, &path).unwrap(), 0, "there is no file at first");
        let payload = Arc::new(sample());
        before.record(&payload);
        save(&before, &path).unwrap();
        save(&before, &path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let after = recent();
        assert_eq!(restore(&after, &path).unwrap(), 1);
        let restored = after.newest();
        assert_eq!(restored[0].bytes(), payload.bytes());
        assert_eq!(restored[0].client().software_name, payload.client().software_name);
    }

    #[test]
    fn a_newer_or_damaged_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("recent.jsonl");
        fs::write(&path, "{\"barnabas_recent_pushes\":2}\n").unwrap();
        assert!(restore(&recent(), &path).unwrap_err().to_string().contains("format 2"));
        fs::write(&path, "{\"barnabas_recent_pushes\":1}\n{\"torn").unwrap();
        assert_eq!(restore(&recent(), &path).unwrap(), 0);
        fs::write(&path, "what?").unwrap();
        assert!(restore(&recent(), &path).is_err());
    }
}
