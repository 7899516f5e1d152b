use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use barnabas_base::digest::Digest;

struct AuditFixture {
    _dir: TempDir,
    path: PathBuf,
    audit: AuditLog,
}

impl AuditFixture {
    fn rotating(rotate: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        Self { audit: AuditLog::with_max_bytes(path.clone(), rotate), _dir: dir, path }
    }

    fn new() -> Self {
        Self::rotating(MAX_FILE_BYTES)
    }

    fn messages(&self, last: usize) -> Vec<String> {
        self.audit.read(last).unwrap().into_iter().map(|entry| entry.message).collect()
    }

    fn append_raw(&self, bytes: &[u8]) {
        OpenOptions::new().append(true).open(&self.path).unwrap().write_all(bytes).unwrap();
    }
}

fn entry(message: &str) -> AuditEntry {
    AuditEntry {
        at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_333_500),
        who: "uid 1000 (pid 7)".into(),
        action: AuditAction::Swap,
        plugin: "sink".into(),
        from: Some(GenerationRef { generation: 1, digest: Digest::compute(b"a") }),
        to: Some(GenerationRef { generation: 2, digest: Digest::compute(b"b") }),
        grants: vec!["+ http localhost:4318".into()],
        outcome: Some(ChangeOutcome::RolledBack),
        message: message.into(),
    }
}

#[test]
fn an_entry_is_one_line_and_reads_again() {
    let fixture = AuditFixture::new();
    fixture.audit.append(entry("one\nline"));
    let text = fs::read_to_string(&fixture.path).unwrap();
    assert_eq!(text.matches('\n').count(), 1, "{text}");
    let line: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["v"], json!(1));
    assert_eq!(line["time"], json!("2026-11-22T07:45:00Z"));
    assert_eq!(line["unix_seconds"], json!(1_795_333_500));
    assert_eq!(line["outcome"], json!("rolled-back"));
    assert_eq!(fixture.audit.read(10).unwrap(), [entry("one\nline")]);
    let mode = fs::metadata(&fixture.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn the_last_entries_are_read_oldest_first() {
    let fixture = AuditFixture::new();
    assert_eq!(fixture.messages(3), [""; 0]);
    for n in 0..5 {
        fixture.audit.append(entry(&n.to_string()));
    }
    assert_eq!(fixture.messages(2), ["3", "4"]);
    assert_eq!(fixture.messages(0), [""; 0]);
    assert_eq!(fixture.messages(99).len(), 5);
}

#[test]
fn a_torn_line_is_skipped_and_does_not_spoil_the_next() {
    let fixture = AuditFixture::new();
    fixture.audit.append(entry("before"));
    fixture.append_raw(b"{\"v\":1,\"time\":\"2026-");
    assert_eq!(fixture.messages(9), ["before"]);
    fixture.audit.append(entry("after"));
    fixture.audit.append(entry("last"));
    assert_eq!(fixture.messages(9), ["before", "after", "last"]);
}

#[test]
fn lines_of_a_later_format_are_shown_as_unreadable() {
    let fixture = AuditFixture::new();
    fixture.audit.append(entry("ours"));
    fixture
        .append_raw(b"{\"v\":2,\"unix_seconds\":5,\"plugin\":\"sink\",\"approved_by\":\"two\"}\n{\"v\":1,\"who\":3}\n");
    let entries = fixture.audit.read(9).unwrap();
    assert_eq!(entries.len(), 3);
    assert_eq!((entries[1].action, entries[1].plugin.as_str()), (AuditAction::Unreadable, "sink"));
    assert_eq!(entries[1].at, SystemTime::UNIX_EPOCH + Duration::from_secs(5));
    assert!(entries[1].message.contains("later release") && entries[1].message.contains("approved_by"));
    assert!(entries[2].action == AuditAction::Unreadable && !entries[2].message.contains("later release"));
}

#[test]
fn rotation_obeyed() {
    let fixture = AuditFixture::rotating(64 << 10);
    fixture.audit.append(entry("a"));
    fixture.audit.append(entry("b"));
    assert!(!fixture.path.with_extension("log.1").exists());
}

#[test]
fn rotation_violated() {
    let line = entry("0").to_line().len() as u64 + 1;
    let fixture = AuditFixture::rotating(2 * line);
    for n in 0..6 {
        fixture.audit.append(entry(&n.to_string()));
    }
    assert_eq!(fixture.messages(9), ["2", "3", "4", "5"], "one rotated file is kept, and is read as well");
    for path in [&fixture.path, &fixture.path.with_extension("log.1")] {
        assert!(fs::metadata(path).unwrap().len() <= 2 * line, "{}", path.display());
    }
}

#[test]
fn a_line_is_bounded() {
    let fixture = AuditFixture::new();
    let mut long = entry(&"ü".repeat(100_000));
    long.grants = vec!["+ x".repeat(10_000); 10_000];
    fixture.audit.append(long);
    let read = fixture.audit.read(1).unwrap().remove(0);
    assert!(read.message.ends_with('…') && read.message.chars().count() < 5_000);
    assert!(read.grants.len() < 300 && read.grants.last().unwrap().contains("more"));
}

#[test]
fn an_unwritable_log_does_not_fail_the_change() {
    let fixture = AuditFixture::new();
    fs::create_dir(&fixture.path).unwrap();
    fixture.audit.append(entry("lost"));
    assert!(fixture.audit.read(1).is_err());
    AuditLog::disabled().append(entry("lost"));
    assert_eq!(AuditLog::disabled().read(1).unwrap(), []);
}
