use std::io::Cursor;

use super::*;

fn gz(build: impl FnOnce(&mut tar::Builder<flate2::write::GzEncoder<Vec<u8>>>)) -> Cursor<Vec<u8>> {
    let encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut archive = tar::Builder::new(encoder);
    build(&mut archive);
    Cursor::new(archive.into_inner().unwrap().finish().unwrap())
}

fn file(archive: &mut tar::Builder<flate2::write::GzEncoder<Vec<u8>>>, name: &str, mode: u32, body: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_size(body.len() as u64);
    header.set_mode(mode);
    archive.append_data(&mut header, name, body).unwrap();
}

#[test]
fn files_folders_and_inner_links() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = tempfile::tempdir().unwrap();
    let archive = gz(|archive| {
        file(archive, "a/run.sh", 0o4777, b"x");
        file(archive, "a/text", 0o600, b"y");
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(EntryType::Symlink);
        header.set_size(0);
        archive.append_link(&mut header, "a/link", "../a/text").unwrap();
    });
    assert_eq!(unpack(archive, scratch.path(), 1 << 20), Unpacked::Done { files: 3, bytes: 2 });
    let mode = |name: &str| scratch.path().join(name).metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("a/run.sh"), mode("a/text")), (0o755, 0o644));
    assert_eq!(std::fs::read(scratch.path().join("a/link")).unwrap(), b"y");
}

#[test]
fn what_is_no_archive_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let refused = |bytes: &[u8]| match unpack(Cursor::new(bytes.to_vec()), scratch.path(), 1 << 20) {
        Unpacked::Refused { text } => text,
        other => panic!("{other:?}"),
    };
    assert!(refused(b"hello").contains("damaged or no tar.gz"));
    let mut cut = gz(|archive| file(archive, "a", 0o644, &[b'x'; 1000])).into_inner();
    cut.truncate(cut.len() / 2);
    assert!(!refused(&cut).is_empty());
}

#[test]
fn a_file_is_written_once() {
    let scratch = tempfile::tempdir().unwrap();
    let archive = gz(|archive| {
        file(archive, "a", 0o644, b"1");
        file(archive, "a", 0o644, b"2");
    });
    assert!(matches!(unpack(archive, scratch.path(), 1 << 20), Unpacked::Refused { .. }));
}

#[test]
fn a_small_archive_of_much_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let archive = gz(|archive| file(archive, "a", 0o644, &vec![0; 8 << 20]));
    let Unpacked::Refused { text } = unpack(archive, scratch.path(), 1 << 20) else { panic!("unpacked") };
    assert_eq!(text, "the source is larger than 1 MiB");
}
