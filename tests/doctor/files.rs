//! The transcript log and private files: modes, damage, a deletion that was cut short, and what `--fix` mends.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use hark::transcripts::{Which, forget, open_writable};

use crate::support::{Findings, Home};

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_log_that_others_may_read_is_named_and_fix_closes_it() {
    let home = Home::new();
    home.record_a_turn();
    home.doctor().expect("private_files", "ok", "only you", "");
    let folder = home.log().parent().unwrap().to_owned();
    set_mode(&home.log(), 0o644);
    set_mode(&folder, 0o755);
    let found = home.doctor();
    found.expect(
        "private_files",
        "warn",
        "has mode 644 instead of 600",
        "`hark doctor --fix`",
    );
    found.expect(
        "private_files",
        "warn",
        "has mode 755 instead of 700",
        "chmod 700",
    );
    assert_eq!(mode(&home.log()), 0o644, "without --fix nothing is changed");

    let fixed = Findings::read(&home.hark(&["doctor", "--fix", "--json"]));
    fixed.expect("private_files", "ok", "only you", "");
    assert_eq!((mode(&home.log()), mode(&folder)), (0o600, 0o700));
    let told = fixed.document["fixed"].as_array().unwrap();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told.iter()
            .all(|line| line.as_str().unwrap().contains("closed ")),
        "{told:?}"
    );
    let again = Findings::read(&home.hark(&["doctor", "--fix", "--json"]));
    assert_eq!(again.document["fixed"], serde_json::json!([]));
}

#[test]
fn a_damaged_log_is_named_with_how_to_set_it_aside() {
    let home = Home::new();
    home.record_a_turn();
    home.doctor().expect("transcripts", "ok", "1 turn,", "");
    fs::write(
        home.log(),
        b"this is no database, and never was one; it is only text",
    )
    .unwrap();
    let found = home.doctor();
    found.expect("transcripts", "warn", "is damaged", "`mv ");
}

#[test]
fn a_log_with_a_torn_page_is_named_though_it_opens() {
    let home = Home::new();
    home.record_a_turn();
    let mut bytes = fs::read(home.log()).unwrap();
    let pages = bytes.len() / 4096;
    assert!(pages > 4, "{pages}");
    // The first page holds the schema, without which the file would not open at all.
    for byte in bytes.iter_mut().skip(4096) {
        *byte ^= 0xa5;
    }
    fs::write(home.log(), bytes).unwrap();
    let found = home.doctor();
    let (status, detail, remedy) = found.check("transcripts");
    assert_eq!(status, "warn", "{detail}");
    assert!(detail.contains("damaged"), "{detail}");
    assert!(remedy.contains("`mv "), "{remedy}");
}

#[test]
fn a_search_index_that_has_lost_its_words_is_named() {
    let home = Home::new();
    home.record_a_turn();
    let writing = open_writable(&home.log(), std::time::Duration::from_secs(1)).unwrap();
    writing
        .execute_batch("INSERT INTO turns_text (turns_text) VALUES ('delete-all')")
        .unwrap();
    drop(writing);
    home.doctor()
        .expect("transcripts", "warn", "index does not match", "`mv ");
}

#[test]
fn a_deletion_that_was_cut_short_is_named_and_fix_finishes_it() {
    let home = Home::new();
    home.record_a_turn();
    let reading = open_writable(&home.log(), std::time::Duration::from_secs(1)).unwrap();
    reading.execute_batch("BEGIN").unwrap();
    reading
        .query_row("SELECT count(*) FROM turns", [], |_| Ok(()))
        .unwrap();
    forget::forget(&home.log(), &[Which::All]).unwrap_err();
    reading.execute_batch("ROLLBACK").unwrap();
    drop(reading);
    home.doctor()
        .expect("transcripts", "warn", "cut short", "`hark doctor --fix`");
    let fixed = home.hark(&["doctor", "--fix"]);
    assert!(
        fixed.out.contains("fixed finished a deletion"),
        "{}",
        fixed.out
    );
    home.doctor().expect("transcripts", "ok", "0 turns", "");
}

#[test]
fn fix_makes_missing_folders_that_only_the_user_may_enter() {
    let home = Home::new();
    let state = home.path().join("new/state");
    let home = home.with("HARK_HOME", state.to_str().unwrap());
    home.doctor()
        .expect("state_folder", "ok", "not there yet", "");
    assert!(!state.exists(), "without --fix nothing is made");
    let fixed = home.hark(&["doctor", "--fix"]);
    assert!(fixed.out.contains("fixed made the folder"), "{}", fixed.out);
    assert_eq!(mode(&state), 0o700);
    assert_eq!(mode(&state.join("transcripts")), 0o700);
}

#[test]
fn a_damaged_notebook_is_named_and_nothing_of_it_is_changed() {
    let home = Home::new();
    home.doctor().expect("notebook", "ok", "there is no", "");
    let added = home.hark(&["facts", "add", "the car is red"]);
    assert_eq!(added.code, Some(0), "{}", added.err);
    home.doctor()
        .expect("notebook", "ok", "1 timers, notes and facts", "");
    let file = home.places().notebook();
    fs::write(
        &file,
        b"this is no database, and never was one; it is only text",
    )
    .unwrap();
    home.doctor().expect("notebook", "warn", "damaged", "`cp ");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("this is no database"), "doctor only looks");
}

#[test]
fn a_folder_that_cannot_be_written_is_named_with_how_to_take_it_back() {
    if !cfg!(target_os = "linux") {
        println!("skipped: only Linux has a folder that not even root may write");
        return;
    }
    let found = Home::new().with("HARK_HOME", "/proc/hark").doctor();
    found.expect("state_folder", "warn", "cannot be written", "`sudo chown");
}

#[test]
fn a_file_where_the_folder_should_be_is_named_with_how_to_move_it_away() {
    let home = Home::new();
    let file = home.path().join("taken");
    fs::write(&file, "").unwrap();
    let home = home.with("HARK_HOME", file.join("state").to_str().unwrap());
    home.doctor()
        .expect("state_folder", "warn", "is a file", "`mv ");
}
