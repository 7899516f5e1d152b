use super::*;

const WHAT: &str = "it";

#[test]
fn varints() {
    for (bytes, value) in [
        (&[0][..], 0),
        (&[0x7f], 127),
        (&[0x80, 1], 128),
        (&[0xff, 0xff, 0xff, 0xff, 0x0f], u32::MAX),
        (&[0x81, 0x80, 0], 1),
    ] {
        assert_eq!(WireReader::new(bytes).uvarint(WHAT), Ok(value));
    }
    assert_eq!(WireReader::new(&[0xff, 0xff, 0xff, 0xff, 0x1f]).uvarint(WHAT), Err(Malformed::Varint(WHAT)));
    assert_eq!(WireReader::new(&[0x80; 9]).uvarint(WHAT), Err(Malformed::Varint(WHAT)));
    assert_eq!(WireReader::new(&[0x80]).uvarint(WHAT), Err(Malformed::UnexpectedEnd(WHAT)));
}

#[test]
fn written_varints_are_read_again() {
    for value in [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 268_435_455, 268_435_456, u32::MAX] {
        let mut writer = WireWriter { out: Vec::new() };
        writer.uvarint(value);
        let mut reader = WireReader::new(&writer.out);
        assert_eq!(reader.uvarint(WHAT), Ok(value));
        assert_eq!(reader.remaining(), 0);
    }
}

#[test]
fn nothing_is_read_past_the_end() {
    assert_eq!(WireReader::new(&[0; 3]).i32(WHAT), Err(Malformed::UnexpectedEnd(WHAT)));
    assert_eq!(WireReader::new(&[0; 15]).uuid(WHAT), Err(Malformed::UnexpectedEnd(WHAT)));
    assert_eq!(WireReader::new(&[0, 3, b'a', b'b']).text(false, WHAT), Err(Malformed::UnexpectedEnd(WHAT)));
    assert_eq!(WireReader::new(&[4, b'a', b'b']).text(true, WHAT), Err(Malformed::UnexpectedEnd(WHAT)));
    assert_eq!(
        WireReader::new(&[0xff, 0xff, 0xff, 0xff, 0x0f, 1]).nullable_bytes(WHAT),
        Err(Malformed::UnexpectedEnd(WHAT))
    );
}

#[test]
fn null_is_not_empty() {
    assert_eq!(WireReader::new(&[0xff, 0xff]).nullable_text(false, WHAT), Ok(None));
    assert_eq!(WireReader::new(&[0, 0]).nullable_text(false, WHAT), Ok(Some(&b""[..])));
    assert_eq!(WireReader::new(&[0]).nullable_text(true, WHAT), Ok(None));
    assert_eq!(WireReader::new(&[1]).nullable_text(true, WHAT), Ok(Some(&b""[..])));
    assert_eq!(WireReader::new(&[0]).text(true, WHAT), Err(Malformed::Null(WHAT)));
    assert_eq!(WireReader::new(&[0xff, 0xfe]).nullable_text(false, WHAT), Err(Malformed::Negative(WHAT, -2)));
}

#[test]
fn counts_are_held_against_the_bytes_left() {
    let what = WHAT;
    assert_eq!(WireReader::new(&[0, 0, 0, 2, 1, 2, 3, 4]).count(false, 2, what), Ok(Some(2)));
    assert_eq!(
        WireReader::new(&[0, 0, 0, 3, 1, 2, 3, 4]).count(false, 2, what),
        Err(Malformed::Count { what, count: 3, left: 4 })
    );
    assert_eq!(
        WireReader::new(&[0x7f, 0xff, 0xff, 0xff]).count(false, 18, what),
        Err(Malformed::Count { what, count: i32::MAX as usize, left: 0 })
    );
    assert_eq!(WireReader::new(&[0xff; 4]).count(false, 1, what), Ok(None));
    assert_eq!(WireReader::new(&[0x80, 0, 0, 0]).count(false, 1, what), Err(Malformed::Negative(what, i32::MIN)));
    assert_eq!(
        WireReader::new(&[0xff, 0xff, 0xff, 0xff, 0x0f]).count(true, 1, what),
        Err(Malformed::Count { what, count: u32::MAX as usize - 1, left: 0 })
    );
}

#[test]
fn tags_are_skipped() {
    let mut reader = WireReader::new(&[2, 0, 3, b'a', b'b', b'c', 0xff, 1, 0, 9]);
    assert_eq!(reader.skip_tags(true), Ok(()));
    assert_eq!(reader.i8(WHAT), Ok(9));
    assert_eq!(reader.skip_tags(false), Ok(()));
    assert_eq!(reader.remaining(), 0);
}

#[test]
fn tags_longer_than_the_frame_are_refused() {
    assert!(matches!(
        WireReader::new(&[3, 0, 0, 1, 0]).skip_tags(true),
        Err(Malformed::Count { count: 3, left: 4, .. })
    ));
    assert!(matches!(WireReader::new(&[1, 0, 9, 1]).skip_tags(true), Err(Malformed::UnexpectedEnd(_))));
    assert!(matches!(WireReader::new(&[0xff; 12]).skip_tags(true), Err(Malformed::Varint(_))));
}

#[test]
fn text_too_long_for_its_length_prefix_is_truncated() {
    let long = vec![b'a'; 40_000];
    let mut writer = WireWriter { out: Vec::new() };
    writer.text(false, Some(&long));
    let mut reader = WireReader::new(&writer.out);
    assert_eq!(reader.text(false, WHAT).map(<[u8]>::len), Ok(32_767));
    assert_eq!(reader.remaining(), 0);
}
