//! The child's response: magic and version, its engine's fingerprint (32 bytes), the length of a JSON object (four
//! bytes, little-endian), the object, the length of the code (eight bytes), the code. The code is empty if there is an
//! error or if the task was only to examine.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

use super::CompilerTask;
use crate::artifact::{ArtifactError, Inspection};
use crate::compiled_code::CompiledCode;
use barnabas_base::digest::Digest;

/// The last byte is the version.
const MAGIC: [u8; 12] = *b"compiled\0\0\0\x02";
/// Maximum size of the object in bytes. An import takes about a hundred.
const MAX_JSON_BYTES: u64 = 1 << 20;
/// Maximum size of the code in bytes. Code is about three times as large as its artifact.
const MAX_CODE_BYTES: u64 = 1 << 30;

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct ResponseHeader {
    inspection: Inspection,
    flaw: Option<ArtifactError>,
}

/// Writes a response; called in the child.
pub(super) fn write(
    out: &mut impl Write,
    fingerprint: [u8; 32],
    inspection: Inspection,
    done: Result<Option<CompiledCode>, ArtifactError>,
) -> Result<(), String> {
    let (code, flaw) = match done {
        Ok(code) => (code, None),
        Err(flaw) => (None, Some(flaw)),
    };
    let json = serde_json::to_vec(&ResponseHeader { inspection, flaw }).map_err(|error| error.to_string())?;
    let code = code.as_ref().map_or(&[][..], CompiledCode::bytes);
    if json.len() as u64 > MAX_JSON_BYTES {
        return Err(format!("the list of its imports takes {} bytes; {MAX_JSON_BYTES} are allowed", json.len()));
    }
    if code.len() as u64 > MAX_CODE_BYTES {
        return Err(format!("its code has {} bytes; {MAX_CODE_BYTES} are allowed", code.len()));
    }
    let lengths = ((json.len() as u32).to_le_bytes(), (code.len() as u64).to_le_bytes());
    let parts = [MAGIC.as_slice(), &fingerprint, &lengths.0, &json, &lengths.1, code];
    let written = parts.into_iter().try_for_each(|part| out.write_all(part)).and_then(|()| out.flush());
    written.map_err(|error| format!("cannot write the response: {error}"))
}

/// Reads the response of a child that was given this task and the artifact of `digest`; called in the parent. The outer
/// error is one sentence about a malformed response; the inner result is the error of the artifact, or its inspection
/// and, if the task was to compile, its code.
pub(super) fn read(
    mut from: impl Read,
    task: CompilerTask,
    fingerprint: [u8; 32],
    digest: &Digest,
) -> Result<Result<(Inspection, Option<CompiledCode>), ArtifactError>, String> {
    if read_array(&mut from)? != MAGIC {
        return Err("its response is not that of a compiler".into());
    }
    if read_array(&mut from)? != fingerprint {
        return Err("it compiles for another engine; it must be of the same release as this host".into());
    }
    let length = u32::from_le_bytes(read_array(&mut from)?);
    let json = read_bytes(&mut from, length.into(), MAX_JSON_BYTES)?;
    let length = u64::from_le_bytes(read_array(&mut from)?);
    let code = read_bytes(&mut from, length, MAX_CODE_BYTES)?;
    let ResponseHeader { inspection, flaw } =
        serde_json::from_slice(&json).map_err(|error| format!("its response cannot be read: {error}"))?;
    if inspection.digest != *digest {
        return Err("its response is about another artifact".into());
    }
    match flaw {
        Some(flaw) => Ok(Err(flaw)),
        None if code.is_empty() == (task == CompilerTask::Compile) || !inspection.problems.is_empty() => {
            Err("its response contradicts itself".into())
        }
        // This program compiled it from these bytes, and it came over a pipe that no other process has.
        None => Ok(Ok((inspection, (task == CompilerTask::Compile).then(|| CompiledCode::trusted(code))))),
    }
}

fn read_array<const N: usize>(from: &mut impl Read) -> Result<[u8; N], String> {
    let mut array = [0; N];
    from.read_exact(&mut array).map_err(|error| describe_read_error(&error))?;
    Ok(array)
}

/// Allocates as bytes arrive, not by the announced length.
fn read_bytes(from: &mut impl Read, length: u64, max: u64) -> Result<Vec<u8>, String> {
    if length > max {
        return Err(format!("its response announces {length} bytes where {max} are allowed"));
    }
    let mut bytes = Vec::new();
    from.take(length).read_to_end(&mut bytes).map_err(|error| describe_read_error(&error))?;
    if bytes.len() as u64 == length {
        Ok(bytes)
    } else {
        Err(describe_read_error(&io::ErrorKind::UnexpectedEof.into()))
    }
}

fn describe_read_error(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "its response is cut short".into(),
        _ => format!("its response cannot be read: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::examine_and_compile;
    use crate::testing::{ENGINES, TestGuest};

    fn answer(bytes: &[u8]) -> Vec<u8> {
        let (inspection, code) = examine_and_compile(&ENGINES.on_demand, bytes);
        let mut out = Vec::new();
        write(&mut out, ENGINES.fingerprint(), inspection, code.map(Some)).unwrap();
        out
    }

    fn problem(answer: &[u8], of: &[u8]) -> String {
        read(answer, CompilerTask::Compile, ENGINES.fingerprint(), &Digest::compute(of)).err().expect("it is refused")
    }

    #[test]
    fn a_response_survives_a_round_trip() {
        let module = TestGuest::default().module();
        let (inspection, code) = examine_and_compile(&ENGINES.on_demand, &module);
        let read = |answer: &[u8], task, of: &[u8]| read(answer, task, ENGINES.fingerprint(), &Digest::compute(of));
        let response = read(&answer(&module), CompilerTask::Compile, &module).unwrap().ok().unwrap();
        assert_eq!((&response.0, response.1.unwrap().bytes()), (&inspection, code.unwrap().bytes()));
        let mut examined = Vec::new();
        write(&mut examined, ENGINES.fingerprint(), inspection.clone(), Ok(None)).unwrap();
        let response = read(&examined, CompilerTask::Examine, &module).unwrap().ok().unwrap();
        assert!(response.0 == inspection && response.1.is_none());
        // Code that was not requested is not trusted, and missing code is an error.
        for (answer, task) in [(answer(&module), CompilerTask::Examine), (examined, CompilerTask::Compile)] {
            assert_eq!(read(&answer, task, &module).err().unwrap(), "its response contradicts itself");
        }
        let flaw = read(&answer(b"nonsense"), CompilerTask::Compile, b"nonsense").unwrap().err();
        assert_eq!(flaw.unwrap().reason, "it is not WebAssembly (it begins with `nons`)");
    }

    #[test]
    fn malformed_responses_are_refused() {
        let module = TestGuest::default().module();
        let good = answer(&module);
        let with = |at: usize, bytes: &[u8]| {
            let mut bad = good.clone();
            bad[at..at + bytes.len()].copy_from_slice(bytes);
            problem(&bad, &module)
        };
        assert_eq!(with(11, &[1]), "its response is not that of a compiler");
        assert!(with(12, &[good[12] ^ 1]).contains("another engine"));
        assert!(with(44, &u32::MAX.to_le_bytes()).contains("announces 4294967295 bytes where 1048576 are allowed"));
        assert!(with(48, b"x").contains("cannot be read"));
        let code = 48 + u32::from_le_bytes(good[44..48].try_into().unwrap()) as usize;
        assert!(with(code, &u64::MAX.to_le_bytes()).contains("where 1073741824 are allowed"));
        assert_eq!(with(code, &[0; 8]), "its response contradicts itself");
        assert_eq!(problem(&good, b"another"), "its response is about another artifact");
        for length in [0, 11, 12, 43, 47, 100, code + 7, good.len() - 1] {
            assert_eq!(problem(&good[..length], &module), "its response is cut short", "{length}");
        }
    }

    #[test]
    fn a_list_of_imports_that_is_too_long_is_not_written() {
        let (mut inspection, _) = examine_and_compile(&ENGINES.on_demand, b"");
        inspection.problems = vec!["p".repeat(2 << 20)];
        let said = write(
            &mut Vec::new(),
            [0; 32],
            inspection,
            Err(ArtifactError::new(crate::artifact::ArtifactStage::Contract, "")),
        );
        assert!(said.unwrap_err().contains("bytes; 1048576 are allowed"));
    }
}
