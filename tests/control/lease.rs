//! Who has the socket.

use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use hark::control::socket::{self, Lease, SocketError};

use crate::{Runtime, mode};

#[test]
fn the_socket_is_private_in_a_private_folder_and_gone_with_its_owner() {
    let runtime = Runtime::new();
    let path = runtime.socket();
    let lease = Lease::take(&path).unwrap();
    assert_eq!((mode(&path), mode(&runtime.folder())), (0o600, 0o700));
    assert_eq!(socket::owner(&path), Some(std::process::id()));
    drop(lease);
    assert!(!path.exists());
    assert_eq!(socket::owner(&path), None);
}

#[test]
fn a_folder_that_others_may_use_is_closed_to_them() {
    let runtime = Runtime::new();
    std::fs::DirBuilder::new()
        .mode(0o755)
        .create(runtime.folder())
        .unwrap();
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(runtime.folder(), open).unwrap();
    let _lease = Lease::take(&runtime.socket()).unwrap();
    assert_eq!(mode(&runtime.folder()), 0o700);
}

#[test]
fn the_socket_of_a_daemon_that_died_is_replaced() {
    let runtime = Runtime::new();
    std::fs::create_dir(runtime.folder()).unwrap();
    // A listener that is dropped leaves its file behind, as a process that is killed does.
    drop(UnixListener::bind(runtime.socket()).unwrap());
    std::fs::write(runtime.socket().with_extension("sock.lock"), "12345").unwrap();
    assert!(runtime.socket().exists());
    let _lease = Lease::take(&runtime.socket()).unwrap();
    assert_eq!(socket::owner(&runtime.socket()), Some(std::process::id()));
}

#[test]
fn a_second_daemon_is_refused_and_told_whose_it_is() {
    let runtime = Runtime::new();
    let first = Lease::take(&runtime.socket()).unwrap();
    let error = Lease::take(&runtime.socket()).unwrap_err();
    assert!(
        matches!(error, SocketError::Taken { process: Some(process), .. } if process == std::process::id())
    );
    let text = error.to_string();
    assert!(
        text.starts_with("hark is already running here (process "),
        "{text}"
    );
    assert!(
        runtime.socket().exists(),
        "the first one's socket is untouched"
    );
    drop(first);
    Lease::take(&runtime.socket()).unwrap();
}

#[test]
fn a_thousand_takers_at_once_are_one_owner() {
    let runtime = Runtime::new();
    let path = runtime.socket();
    let leases: Vec<Option<Lease>> = std::thread::scope(|scope| {
        let takers: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| (0..64).find_map(|_| Lease::take(&path).ok())))
            .collect();
        takers
            .into_iter()
            .map(|taker| taker.join().unwrap())
            .collect()
    });
    let owners = leases.iter().flatten().count();
    assert_eq!(owners, 1);
}

#[test]
fn a_link_in_a_public_folder_is_not_followed() {
    // Only where the path is too long for an address does the socket lie under /tmp; there the folder must be our own.
    let uid = Command::new("id")
        .arg("-u")
        .stdout(Stdio::piped())
        .output()
        .unwrap();
    let uid = String::from_utf8(uid.stdout).unwrap();
    let long = std::path::PathBuf::from(format!("/{}", "folder/".repeat(20)));
    let place = socket::place(&long);
    let expected = format!("/tmp/hark-{}/", uid.trim());
    assert!(
        place.display().to_string().starts_with(&expected),
        "{}",
        place.display()
    );
    let lease = Lease::take(&place).unwrap();
    assert_eq!(mode(place.parent().unwrap()), 0o700);
    drop(lease);
    std::fs::remove_file(place.with_extension("sock.lock")).unwrap();
    let target = tempfile::tempdir().unwrap();
    let link = std::path::PathBuf::from(format!("/tmp/hark-link-{}", std::process::id()));
    std::os::unix::fs::symlink(target.path(), &link).unwrap();
    let error = Lease::take(&link.join("x.sock")).unwrap_err();
    std::fs::remove_file(&link).unwrap();
    assert!(matches!(error, SocketError::Unsafe { .. }), "{error}");
}
