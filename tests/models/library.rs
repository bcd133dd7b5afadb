//! Finding, verifying and removing model files, and `hark models` on them.

use std::fs;
use std::path::PathBuf;

use clap::Parser;
use hark::cli::models::{Args, ModelsCommandError, execute};
use hark::models::{Library, ModelError, Verified};
use tempfile::TempDir;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: Args,
}

fn run(library: &Library, arguments: &[&str]) -> (String, Result<(), ModelsCommandError>) {
    let args = Command::parse_from(std::iter::once("models").chain(arguments.iter().copied())).args;
    let mut output = Vec::new();
    let result = execute(&args, library, &mut output);
    (String::from_utf8(output).expect("UTF-8"), result)
}

fn library() -> (TempDir, Library) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let library = Library::only(
        folder.path().join("models"),
        vec![folder.path().join("bundled")],
    );
    fs::create_dir_all(library.folder()).expect("a folder");
    fs::create_dir_all(folder.path().join("bundled")).expect("a folder");
    (folder, library)
}

fn put(library: &Library, file: &str) -> PathBuf {
    let path = library.folder().join(file);
    fs::write(&path, b"lmgg and more").expect("writes");
    path
}

#[test]
fn files_are_found_by_name_by_path_and_in_order() {
    let (folder, library) = library();
    assert!(matches!(
        library.path("base"),
        Err(ModelError::NotHere { .. })
    ));
    let bundled = folder.path().join("bundled/ggml-base.bin");
    fs::write(&bundled, b"lmgg").expect("writes");
    assert_eq!(library.path("base").expect("found"), bundled);
    let pulled = put(&library, "ggml-base.bin");
    assert_eq!(library.path("base").expect("found"), pulled);
    assert_eq!(
        library
            .path(&bundled.display().to_string())
            .expect("a path is taken as it is"),
        bundled
    );
}

#[test]
fn a_missing_starter_is_an_incomplete_installation() {
    let (folder, library) = library();
    let error = library.starter().expect_err("it is missing");
    assert!(error.to_string().contains("HARK_MODELS_DIR"), "{error}");
    let starter = folder.path().join("bundled/starter.en.bin");
    fs::write(&starter, b"lmgg").expect("writes");
    assert_eq!(library.starter().expect("found"), starter);
    let (info, path) = library.best("de", 1).expect("nothing fits, so the starter");
    assert_eq!((info.name.as_str(), path), ("starter.en", starter));
    put(&library, "ggml-small.bin");
    assert_eq!(
        library.best("de", 1 << 30).expect("one fits").0.name,
        "small"
    );
}

#[test]
fn a_file_with_another_hash_or_size_is_damaged() {
    let (_folder, library) = library();
    put(&library, "ggml-tiny.en.bin");
    put(&library, "ggml-tiny-q5_1.bin");
    put(&library, "ggml-base.en.bin");
    let hash = library
        .verify("tiny.en", &mut |_, _| {})
        .expect_err("another file");
    assert!(hash.to_string().contains("its SHA-256 is "), "{hash}");
    let size = library
        .verify("tiny-q5_1", &mut |_, _| {})
        .expect_err("another file");
    assert!(
        size.to_string().contains("13 bytes instead of 32152673"),
        "{size}"
    );
    let unknown = library
        .verify("base.en", &mut |_, _| {})
        .expect("nothing to compare with");
    assert!(matches!(unknown, Verified::Unknown { .. }));
}

#[test]
fn list_shows_what_is_here_and_json_is_one_document() {
    let (_folder, library) = library();
    put(&library, "ggml-base.bin");
    let (text, result) = run(&library, &["list"]);
    assert!(result.is_ok());
    let line = |name: &str| {
        text.lines()
            .find(|line| line.split(' ').next() == Some(name))
            .expect("listed")
            .to_owned()
    };
    assert!(
        line("base").ends_with("yes") && !line("small").ends_with("yes"),
        "{text}"
    );
    let (text, _) = run(&library, &["list", "--json"]);
    let models: serde_json::Value = serde_json::from_str(&text).expect("one JSON document");
    let base = models
        .as_array()
        .expect("an array")
        .iter()
        .find(|model| model["name"] == "base")
        .expect("listed");
    assert!(
        base["path"]
            .as_str()
            .is_some_and(|path| path.ends_with("ggml-base.bin")),
        "{base}"
    );
    assert_eq!(base["multilingual"], true);
}

#[test]
fn verify_reports_each_and_fails_if_one_is_damaged() {
    let (_folder, library) = library();
    put(&library, "ggml-base.bin");
    put(&library, "ggml-tiny.en.bin");
    let (text, result) = run(&library, &["verify"]);
    let error = result.expect_err("tiny.en is damaged");
    assert_eq!(
        (error.exit_code(), error.to_string().as_str()),
        (1, "1 of 2 models are damaged; see above")
    );
    assert!(
        text.contains("base: no SHA-256 is known for it") && text.contains("tiny.en: "),
        "{text}"
    );
}

#[test]
fn remove_deletes_the_file_and_what_is_left_of_downloads() {
    let (_folder, library) = library();
    put(&library, "ggml-base.bin");
    put(&library, "ggml-base.bin.part");
    let (text, result) = run(&library, &["remove", "base", "--json"]);
    assert!(result.is_ok());
    let document: serde_json::Value = serde_json::from_str(&text).expect("one JSON document");
    assert_eq!(
        document,
        serde_json::json!({"name": "base", "freed_bytes": 26})
    );
    assert_eq!(
        fs::read_dir(library.folder()).expect("the folder").count(),
        0
    );
    assert_eq!(
        run(&library, &["remove", "base"])
            .1
            .expect_err("gone")
            .exit_code(),
        1
    );
    assert_eq!(
        run(&library, &["remove", "starter.en"])
            .1
            .expect_err("bundled")
            .exit_code(),
        2
    );
    assert_eq!(
        run(&library, &["remove", "bass"])
            .1
            .expect_err("unknown")
            .exit_code(),
        2
    );
}

#[test]
fn path_prints_the_file_alone() {
    let (_folder, library) = library();
    let path = put(&library, "ggml-base.bin");
    assert_eq!(
        run(&library, &["path", "base"]).0,
        format!("{}\n", path.display())
    );
    assert_eq!(
        run(&library, &["path", "small"])
            .1
            .expect_err("not here")
            .exit_code(),
        1
    );
}

#[test]
fn pull_from_a_folder_works_as_a_command() {
    let (folder, library) = library();
    let stick = folder.path().join("stick");
    fs::create_dir(&stick).expect("a folder");
    fs::write(stick.join("ggml-small.bin"), b"lmgg from a stick").expect("writes");
    let stick = stick.display().to_string();
    let (text, result) = run(&library, &["pull", "small", "--from", &stick]);
    assert!(result.is_ok(), "{result:?}");
    assert!(text.contains("This one is pinned now"), "{text}");
    let (text, _) = run(&library, &["pull", "small", "--from", &stick, "--json"]);
    assert!(text.contains("\"already_here\""), "{text}");
    assert_eq!(
        run(&library, &["pull", "small", "bass"])
            .1
            .expect_err("unknown")
            .exit_code(),
        2
    );
}
