//! The store cannot be written: the caller is not held up, the user is told once, the turns wait and are written.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use hark::transcripts::forget::forget;
use hark::transcripts::{Ack, ListRequest, Notice, Reader, Trouble, Which, WriterOptions};

use super::{PATIENCE, Running, State, turn};

/// About 4 KB, so that a small disk is soon full.
fn long_turn(id: u64) -> hark::flow::Turn {
    turn(
        id,
        &format!("question number {id}"),
        &"word and another ".repeat(250),
    )
}

/// Sends turns until the store says that it is out of room; how many were sent.
fn fill(running: &Running, at_most: u64) -> u64 {
    for id in 1..=at_most {
        running.send(long_turn(id));
        if let Ok(notice) = running.notices.try_recv() {
            assert_eq!(notice, Notice::Unwritable(Trouble::DiskFull));
            return id;
        }
        // The next turn comes when this one is written or waits; a conversation is not faster.
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("{at_most} turns did not fill it");
}

fn numbers(log: &Path) -> Vec<u64> {
    let request = ListRequest {
        limit: usize::MAX,
        ..ListRequest::default()
    };
    let mut numbers: Vec<u64> = Reader::open(log)
        .unwrap()
        .list(&request)
        .unwrap()
        .iter()
        .map(|stored| stored.turn.id.0)
        .collect();
    numbers.sort_unstable();
    numbers
}

/// The turns that were told to be safe up to now.
fn safe(running: &Running) -> Vec<u64> {
    std::iter::from_fn(|| running.acknowledged_so_far())
        .map(|(id, ack)| {
            assert!(matches!(ack, Ack::Recorded(_)), "turn {id} was lost");
            id
        })
        .collect()
}

#[test]
fn a_full_log_keeps_turns_in_memory_tells_once_and_writes_them_when_there_is_room() {
    let state = State::new();
    let options = WriterOptions {
        max_pages: Some(120),
        ..WriterOptions::default()
    };
    let running = Running::start(&state.log(), options);
    let sent = fill(&running, 500);
    let began = Instant::now();
    for id in sent + 1..=sent + 20 {
        running.send(long_turn(id));
    }
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "the conversation was held up"
    );

    let mut written = safe(&running);
    assert!(!written.is_empty() && (written.len() as u64) < sent + 20);
    assert_eq!(numbers(&state.log()), written);

    forget(&state.log(), &[Which::All]).unwrap();
    let Notice::Recovered { turns } = running.notice() else {
        panic!("once is enough");
    };
    let late = safe(&running);
    assert_eq!(turns, late.len());
    written.extend(&late);
    assert_eq!(written, (1..=sent + 20).collect::<Vec<_>>());
    assert_eq!(numbers(&state.log()), late);
    assert_eq!(running.close(), 0);
}

#[test]
fn a_full_disk_keeps_turns_in_memory_and_room_on_it_brings_them_back() {
    let Some(disk) = SmallDisk::mount("4m") else {
        eprintln!("skipped: no small disk can be mounted here (not root)");
        return;
    };
    let log = disk.0.join("transcripts").join("transcripts.db");
    let ballast = disk.0.join("ballast");
    std::fs::write(&ballast, vec![1; 2_500_000]).unwrap();
    let running = Running::start(&log, WriterOptions::default());
    let sent = fill(&running, 2_000);
    for id in sent + 1..=sent + 20 {
        running.send(long_turn(id));
    }

    std::fs::remove_file(&ballast).unwrap();
    assert!(matches!(running.notice(), Notice::Recovered { .. }));
    assert_eq!(running.close(), 0);
    assert_eq!(numbers(&log), (1..=sent + 20).collect::<Vec<_>>());
}

/// A file system of a few megabytes that goes away with the test.
struct SmallDisk(
    PathBuf,
    #[expect(dead_code, reason = "keeps the mount point")] tempfile::TempDir,
);

impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(folder.path())
            .output();
        let mounted = mounted.is_ok_and(|output| output.status.success());
        mounted.then(|| Self(folder.path().to_owned(), folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(
            unmounted.is_ok_and(|status| status.success()),
            "{:?} stays mounted",
            self.0
        );
    }
}

#[test]
fn a_lock_of_another_process_is_waited_out_without_a_word() {
    let state = State::with(vec![turn(1, "one", "uno")]);
    let other = rusqlite::Connection::open(state.log()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let running = state.running();
    let began = Instant::now();
    running.send(turn(1, "two", "due"));
    assert!(
        began.elapsed() < Duration::from_millis(900),
        "the conversation was held up"
    );
    // Longer than a write waits for the lock.
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(running.acknowledged_so_far(), None);
    other.execute_batch("ROLLBACK").unwrap();
    assert!(matches!(running.acknowledged(), (1, Ack::Recorded(_))));
    assert!(
        running.notices.try_recv().is_err(),
        "a short lock is nothing to tell"
    );
    running.close();
}

#[test]
fn a_log_that_is_deleted_while_it_is_open_is_made_anew() {
    let state = State::new();
    let running = state.running();
    running.record(turn(1, "one", "uno"));
    std::fs::remove_dir_all(state.log().parent().unwrap()).unwrap();
    running.record(turn(2, "two", "due"));
    running.close();
    assert_eq!(numbers(&state.log()), [2]);
}

#[test]
fn a_damaged_log_is_set_aside_and_recording_goes_on() {
    let state = State::with((1..=50).map(long_turn).collect());
    let mut bytes = std::fs::read(state.log()).unwrap();
    let half = bytes.len() / 2;
    bytes[..half].fill(0x5a);
    std::fs::write(state.log(), &bytes).unwrap();
    let running = state.running();
    running.record(turn(1, "after the damage", "yes"));
    let Notice::SetAside(moved) = running.notice() else {
        panic!("it should have been told");
    };
    assert_eq!(
        std::fs::read(moved).unwrap(),
        bytes,
        "nothing of the old file is lost"
    );
    running.close();
    assert_eq!(numbers(&state.log()), [1]);
}

#[test]
fn turns_beyond_the_memory_for_waiting_are_lost_and_said_so_once() {
    let state = State::with(vec![turn(1, "one", "uno")]);
    let other = rusqlite::Connection::open(state.log()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let options = WriterOptions {
        keep_in_memory: 3,
        ..WriterOptions::default()
    };
    let running = Running::start(&state.log(), options);
    for id in 1..=10 {
        running.send(turn(id, "waiting", "yes"));
    }
    for id in 4..=10 {
        assert_eq!(running.acknowledged(), (id, Ack::Lost));
    }
    assert_eq!(running.notice(), Notice::Overflow);
    other.execute_batch("ROLLBACK").unwrap();
    for id in 1..=3 {
        let (acknowledged, ack) = running.acknowledged();
        assert!(acknowledged == id && matches!(ack, Ack::Recorded(_)));
    }
    assert!(running.notices.try_recv().is_err());
    running.close();
}

#[test]
fn closing_does_not_wait_longer_than_its_grace_for_a_store_that_cannot_be_written() {
    let state = State::with(vec![turn(1, "one", "uno")]);
    let other = rusqlite::Connection::open(state.log()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let running = state.running();
    running.send(turn(1, "never written", "no"));
    let began = Instant::now();
    let closed = running.writer.close(Duration::from_millis(300));
    // The thread may be within its last wait for the lock, and is left behind then.
    assert!(closed.lost == 1 || closed.stuck);
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
}

/// Root may write everywhere, so this part runs as `nobody` where the test runs as root.
#[test]
fn a_read_only_folder_keeps_turns_in_memory_until_it_can_be_written() {
    let state = State::new();
    if let Some(folder) = std::env::var_os("HARK_TEST_READ_ONLY") {
        read_only_folder(Path::new(&folder));
        return;
    }
    if is_root() {
        as_nobody(
            &state,
            "outage::a_read_only_folder_keeps_turns_in_memory_until_it_can_be_written",
        );
    } else {
        read_only_folder(state.folder());
    }
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    // A file that was just made belongs to whoever runs this.
    tempfile::tempfile().unwrap().metadata().unwrap().uid() == 0
}

/// Runs this test again as a user without rights.
fn as_nobody(state: &State, name: &str) {
    const NOBODY: u32 = 65_534;
    let program = state.folder().join("test");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let home = state.folder().join("home");
    std::fs::create_dir(&home).unwrap();
    std::os::unix::fs::chown(&home, Some(NOBODY), Some(NOBODY)).unwrap();
    open_to_all(state.folder());
    let output = Command::new(&program)
        .args(["--exact", name, "--nocapture"])
        .env("HARK_TEST_READ_ONLY", &home)
        .env("TMPDIR", &home)
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("1 passed"), "{said}");
}

fn open_to_all(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn read_only_folder(home: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let folder = home.join("transcripts");
    let log = folder.join("transcripts.db");
    let first = Running::start(&log, WriterOptions::default());
    first.record(turn(1, "before", "yes"));
    first.close();
    let set = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap()
    };
    set(&log, 0o400);
    set(&folder, 0o500);

    let running = Running::start(&log, WriterOptions::default());
    assert_eq!(running.notice(), Notice::Unwritable(Trouble::Denied));
    running.send(turn(2, "meanwhile", "yes"));
    assert_eq!(running.acknowledged_so_far(), None);
    assert_eq!(numbers(&log), [1], "what is there can still be read");

    set(&folder, 0o700);
    set(&log, 0o600);
    assert!(matches!(running.acknowledged(), (2, Ack::Recorded(_))));
    assert_eq!(running.notice(), Notice::Recovered { turns: 1 });
    assert_eq!(running.writer.close(PATIENCE).lost, 0);
    assert_eq!(numbers(&log), [1, 2]);
}
