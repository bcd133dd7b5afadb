//! `models::pull` against the loopback server and folders.

use std::fs;
use std::path::Path;
use std::time::Duration;

use hark::models::pull::{PullError, PullEvent, Pulled, Puller, Source};
use hark::models::{Library, ModelError, Verified};
use tempfile::TempDir;

use crate::server::{Reply, Server};

/// A model of the manifest without size and hash.
const FREE: &str = "base.en";
const FREE_FILE: &str = "ggml-base.en.bin";
/// One with a hash, and one with hash and size.
const HASHED: &str = "tiny.en";
const SIZED: &str = "tiny-q5_1";

/// Bytes that begin like a model and repeat nowhere.
fn body(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let mut bytes = b"lmgg".to_vec();
    bytes.resize_with(length, || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    bytes
}

struct Rig {
    folder: TempDir,
    library: Library,
    events: Vec<PullEvent>,
}

impl Rig {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let library = Library::only(folder.path().join("models"), Vec::new());
        Self {
            folder,
            library,
            events: Vec::new(),
        }
    }

    async fn pull(&mut self, name: &str, source: &Source) -> Result<Pulled, PullError> {
        let mut puller = Puller::new(&self.library);
        puller.backoff = Duration::from_millis(1);
        let events = &mut self.events;
        puller
            .pull(name, source, &mut |event| events.push(event))
            .await
    }

    async fn pull_from(&mut self, name: &str, server: &Server) -> Result<Pulled, PullError> {
        self.pull(name, &Source::Url(server.url.clone())).await
    }

    fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.library.folder())
            .map(|entries| {
                entries
                    .flatten()
                    .map(|entry| entry.file_name().to_string_lossy().into_owned())
                    .collect()
            })
            .unwrap_or_default();
        names.sort();
        names
    }

    fn content(&self, file: &str) -> Vec<u8> {
        fs::read(self.library.folder().join(file)).expect("the file is there")
    }

    fn saw(&self, wanted: impl Fn(&PullEvent) -> bool) -> bool {
        self.events.iter().any(wanted)
    }
}

#[tokio::test]
async fn a_whole_file_is_pulled_pinned_and_not_pulled_again() {
    let mut rig = Rig::new();
    let whole = body(200_000, 1);
    let server = Server::start(whole.clone(), []).await;
    let pulled = rig.pull_from(FREE, &server).await.expect("pulls");
    assert!(
        matches!(&pulled, Pulled::Pinned { sha256, .. } if sha256.len() == 64),
        "{pulled:?}"
    );
    assert_eq!(rig.content(FREE_FILE), whole);
    assert_eq!(rig.files(), [FREE_FILE, "pins.toml"]);
    assert!(rig.saw(|event| *event
        == PullEvent::Progress {
            done: 200_000,
            total: 200_000
        }));
    assert_eq!(
        rig.library.verify(FREE, &mut |_, _| {}).expect("whole"),
        Verified::Pinned
    );
    let again = rig.pull_from(FREE, &server).await.expect("is here");
    assert!(matches!(again, Pulled::AlreadyHere(_)), "{again:?}");
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn a_download_that_is_cut_anywhere_goes_on_where_it_stopped() {
    let whole = body(150_000, 2);
    for cuts in [
        vec![1],
        vec![4],
        vec![70_000, 1, 65_536],
        vec![149_999],
        vec![0, 150, 0, 99_000],
        vec![150_000],
    ] {
        let mut rig = Rig::new();
        let script: Vec<Reply> = cuts.iter().map(|after| Reply::CutAfter(*after)).collect();
        let server = Server::start(whole.clone(), script).await;
        rig.pull_from(FREE, &server)
            .await
            .unwrap_or_else(|error| panic!("{cuts:?}: {error}"));
        assert_eq!(rig.content(FREE_FILE), whole, "{cuts:?}");
        let seen = server.served.lock().expect("no panic").seen.clone();
        let mut at = 0;
        for (cut, (range, if_range)) in cuts.iter().zip(&seen) {
            if at > 0 {
                assert_eq!(
                    range.as_deref(),
                    Some(format!("bytes={at}-").as_str()),
                    "{cuts:?}"
                );
                assert_eq!(if_range.as_deref(), Some("\"one\""), "{cuts:?}");
            }
            at += cut;
        }
    }
}

#[tokio::test]
async fn the_next_command_goes_on_after_a_command_that_gave_up() {
    let mut rig = Rig::new();
    let whole = body(100_000, 3);
    let unavailable = std::iter::repeat_n(Reply::Status("503 Service Unavailable"), 5);
    let script: Vec<Reply> = std::iter::once(Reply::CutAfter(60_000))
        .chain(unavailable)
        .collect();
    let server = Server::start(whole.clone(), script).await;
    let error = rig
        .pull_from(FREE, &server)
        .await
        .expect_err("five failures");
    assert!(matches!(error, PullError::Unreachable { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("hark models pull base.en --from"),
        "{error}"
    );
    assert_eq!(
        rig.files(),
        [
            format!("{FREE_FILE}.part"),
            format!("{FREE_FILE}.part.toml")
        ]
    );
    server.served.lock().expect("no panic").script.clear();
    rig.pull_from(FREE, &server).await.expect("goes on");
    assert!(
        rig.saw(|event| *event == PullEvent::Resumed { at: 60_000 }),
        "{:?}",
        rig.events
    );
    assert_eq!(rig.content(FREE_FILE), whole);
}

#[tokio::test]
async fn a_server_without_ranges_restarts_cleanly() {
    let mut rig = Rig::new();
    let whole = body(90_000, 4);
    let server = Server::start(whole.clone(), [Reply::CutAfter(50_000), Reply::NoRanges]).await;
    rig.pull_from(FREE, &server).await.expect("pulls");
    assert_eq!(rig.content(FREE_FILE), whole);
    assert!(rig.saw(|event| matches!(event, PullEvent::Restarted { .. })));
}

#[tokio::test]
async fn a_file_that_changed_in_between_is_never_mixed() {
    for second in [Reply::Good, Reply::BlindRange { bare: false }] {
        let mut rig = Rig::new();
        let unavailable = std::iter::repeat_n(Reply::Status("502 Bad Gateway"), 5);
        let script: Vec<Reply> = std::iter::once(Reply::CutAfter(50_000))
            .chain(unavailable)
            .collect();
        let server = Server::start(body(90_000, 5), script).await;
        rig.pull_from(FREE, &server).await.expect_err("gives up");
        let changed = body(90_000, 6);
        {
            let mut served = server.served.lock().expect("no panic");
            served.body = changed.clone();
            served.etag = "\"two\"".to_owned();
            served.script = [second.clone()].into();
        }
        rig.pull_from(FREE, &server)
            .await
            .expect("pulls the new one");
        assert_eq!(rig.content(FREE_FILE), changed, "{second:?}");
        assert!(
            rig.saw(|event| matches!(event, PullEvent::Restarted { .. })),
            "{second:?}"
        );
    }
}

#[tokio::test]
async fn without_a_validator_and_a_known_hash_nothing_is_continued() {
    let mut rig = Rig::new();
    let script = [Reply::CutAfter(50_000), Reply::BlindRange { bare: true }];
    let server = Server::start(body(90_000, 7), script).await;
    server.served.lock().expect("no panic").etag = "W/\"weak\"".to_owned();
    // A weak one does not promise the same bytes, so the second request asks for all of them.
    rig.pull_from(FREE, &server).await.expect("pulls");
    assert_eq!(rig.content(FREE_FILE), body(90_000, 7));
    assert_eq!(
        server.served.lock().expect("no panic").seen[1],
        (None, None)
    );
}

#[tokio::test]
async fn an_answer_without_a_length_is_taken_to_its_end() {
    let mut rig = Rig::new();
    let server = Server::start(body(30_000, 8), [Reply::NoLength]).await;
    rig.pull_from(FREE, &server).await.expect("pulls");
    assert_eq!(rig.content(FREE_FILE).len(), 30_000);
}

#[tokio::test]
async fn a_wrong_hash_sets_the_file_aside() {
    let mut rig = Rig::new();
    let server = Server::start(body(10_000, 9), []).await;
    let error = rig
        .pull_from(HASHED, &server)
        .await
        .expect_err("not the public file");
    assert!(matches!(error, PullError::Rejected { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("921e4cf8686fdd993dcd081a5da5b6c365bfde1162e72b08d75ac75289920b1f"),
        "{error}"
    );
    assert_eq!(rig.files(), ["ggml-tiny.en.bin.rejected"]);
    assert!(matches!(
        rig.library.path(HASHED),
        Err(ModelError::NotHere { .. })
    ));
}

#[tokio::test]
async fn a_wrong_size_is_refused_before_the_download() {
    let mut rig = Rig::new();
    let server = Server::start(body(10_000, 10), []).await;
    let error = rig.pull_from(SIZED, &server).await.expect_err("too small");
    assert!(
        matches!(
            error,
            PullError::WrongSize {
                offered: 10_000,
                expected: 32_152_673,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(rig.files(), Vec::<String>::new());
}

#[tokio::test]
async fn a_pinned_file_that_comes_back_different_is_refused() {
    let mut rig = Rig::new();
    let server = Server::start(body(10_000, 11), []).await;
    rig.pull_from(FREE, &server).await.expect("pins");
    fs::remove_file(rig.library.folder().join(FREE_FILE)).expect("removes");
    server.served.lock().expect("no panic").body = body(10_000, 12);
    let error = rig
        .pull_from(FREE, &server)
        .await
        .expect_err("differs from its pin");
    assert!(error.to_string().contains("instead of"), "{error}");
    assert!(rig.files().contains(&format!("{FREE_FILE}.rejected")));
}

#[tokio::test]
async fn a_sign_in_page_is_no_model() {
    let mut rig = Rig::new();
    let server = Server::start(b"<html>please sign in</html>".to_vec(), []).await;
    let error = rig.pull_from(FREE, &server).await.expect_err("no model");
    assert!(error.to_string().contains("sign-in page"), "{error}");
}

#[tokio::test]
async fn not_found_is_said_at_once_and_leaves_nothing() {
    let mut rig = Rig::new();
    let server = Server::start(Vec::new(), [Reply::Status("404 Not Found")]).await;
    let error = rig.pull_from(FREE, &server).await.expect_err("404");
    assert!(
        matches!(&error, PullError::Http { status, .. } if status.as_u16() == 404),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains("/models/ggml-base.en.bin answered 404"),
        "{error}"
    );
    assert_eq!((server.requests(), rig.files()), (1, Vec::new()));
}

#[tokio::test]
async fn without_a_network_the_error_says_how_to_bring_the_file() {
    let mut rig = Rig::new();
    // A port on which nobody listens: bound and closed again.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|socket| socket.local_addr())
        .expect("a port")
        .port();
    let error = rig
        .pull(FREE, &Source::Url(format!("http://127.0.0.1:{port}")))
        .await
        .expect_err("nobody listens");
    assert!(matches!(error, PullError::Unreachable { .. }), "{error}");
    assert!(
        error.to_string().starts_with("cannot reach 127.0.0.1: "),
        "{error}"
    );
    assert!(error.to_string().contains("--from"), "{error}");
    let retries = rig
        .events
        .iter()
        .filter(|event| matches!(event, PullEvent::Retry { .. }))
        .count();
    assert_eq!((retries, rig.files()), (4, Vec::new()));
}

#[tokio::test]
async fn a_secure_connection_to_a_plain_server_is_an_error_and_no_panic() {
    let mut rig = Rig::new();
    let server = Server::start(body(1_000, 16), []).await;
    let secure = server.url.replace("http://", "https://");
    let error = rig
        .pull(FREE, &Source::Url(secure))
        .await
        .expect_err("it does not speak TLS");
    assert!(matches!(error, PullError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn a_changed_total_betrays_a_server_that_ignores_validators() {
    let mut rig = Rig::new();
    let script = [Reply::CutAfter(50_000), Reply::BlindRange { bare: true }];
    let server = Server::start(body(90_000, 17), script).await;
    let shared = std::sync::Arc::clone(&server.served);
    let mut puller = Puller::new(&rig.library);
    puller.backoff = Duration::from_millis(1);
    let source = Source::Url(server.url.clone());
    puller
        .pull(FREE, &source, &mut |event| {
            if matches!(event, PullEvent::Retry { .. }) {
                shared.lock().expect("no panic").body = body(95_000, 18);
            }
            rig.events.push(event);
        })
        .await
        .expect("pulls the new one");
    assert_eq!(rig.content(FREE_FILE), body(95_000, 18));
    assert!(rig.saw(|event| matches!(event, PullEvent::Restarted { .. })));
}

#[tokio::test]
async fn a_folder_gives_its_file_and_a_missing_one_is_named() {
    let mut rig = Rig::new();
    let stick = rig.folder.path().join("stick");
    fs::create_dir(&stick).expect("a folder");
    let missing = rig
        .pull(FREE, &Source::Folder(stick.clone()))
        .await
        .expect_err("it is empty");
    assert!(
        matches!(missing, PullError::SourceMissing { .. }),
        "{missing}"
    );
    assert_eq!(rig.files(), Vec::<String>::new());
    fs::write(stick.join(FREE_FILE), body(40_000, 13)).expect("writes");
    let pulled = rig
        .pull(FREE, &Source::Folder(stick.clone()))
        .await
        .expect("copies");
    assert!(matches!(pulled, Pulled::Pinned { .. }), "{pulled:?}");
    assert_eq!(rig.content(FREE_FILE), body(40_000, 13));
    assert!(
        Path::new(&stick).join(FREE_FILE).exists(),
        "the source stays"
    );
    let wrong = rig
        .pull(HASHED, &Source::Folder(stick.join(FREE_FILE)))
        .await
        .expect_err("another model's file");
    assert!(matches!(wrong, PullError::Rejected { .. }), "{wrong}");
}

#[tokio::test]
async fn a_wrong_folder_does_not_cost_what_was_downloaded() {
    let mut rig = Rig::new();
    let unavailable = std::iter::repeat_n(Reply::Status("503 Service Unavailable"), 5);
    let script: Vec<Reply> = std::iter::once(Reply::CutAfter(6_000))
        .chain(unavailable)
        .collect();
    let server = Server::start(body(10_000, 19), script).await;
    rig.pull_from(FREE, &server).await.expect_err("gives up");
    let nowhere = Source::Folder(rig.folder.path().join("nowhere"));
    rig.pull(FREE, &nowhere).await.expect_err("no such folder");
    rig.pull_from(FREE, &server).await.expect("goes on");
    assert!(rig.saw(|event| *event == PullEvent::Resumed { at: 6_000 }));
}

#[tokio::test]
async fn two_pulls_of_one_model_do_not_meddle() {
    let mut rig = Rig::new();
    fs::create_dir_all(rig.library.folder()).expect("a folder");
    let part =
        fs::File::create(rig.library.folder().join(format!("{FREE_FILE}.part"))).expect("a file");
    part.lock().expect("locks");
    let server = Server::start(body(1_000, 14), []).await;
    let error = rig
        .pull_from(FREE, &server)
        .await
        .expect_err("somebody else is at it");
    assert!(matches!(error, PullError::Busy { .. }), "{error}");
    drop(part);
    rig.pull_from(FREE, &server).await.expect("free again");
}

#[tokio::test]
async fn a_damaged_file_is_pulled_anew() {
    let mut rig = Rig::new();
    let server = Server::start(body(10_000, 15), []).await;
    rig.pull_from(FREE, &server).await.expect("pulls");
    let path = rig.library.folder().join(FREE_FILE);
    fs::write(&path, body(9_000, 15)).expect("damages it");
    assert!(matches!(
        rig.library.verify(FREE, &mut |_, _| {}),
        Err(ModelError::Damaged { .. })
    ));
    let again = rig.pull_from(FREE, &server).await.expect("pulls again");
    assert!(matches!(again, Pulled::Verified(_)), "{again:?}");
    assert_eq!(rig.content(FREE_FILE), body(10_000, 15));
}

#[tokio::test]
async fn the_starter_and_unknown_names_are_not_pulled() {
    let mut rig = Rig::new();
    let bundled = rig
        .pull("starter.en", &Source::Public)
        .await
        .expect_err("it comes with Hark");
    assert!(
        matches!(bundled, PullError::Model(ModelError::Bundled { .. })),
        "{bundled}"
    );
    let unknown = rig
        .pull("tinny", &Source::Public)
        .await
        .expect_err("no such model");
    assert!(
        matches!(unknown, PullError::Model(ModelError::Unknown { .. })),
        "{unknown}"
    );
    assert_eq!(rig.files(), Vec::<String>::new());
}
