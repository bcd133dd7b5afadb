//! A job whose words are as awkward as a user's can be.

use std::path::PathBuf;
use std::time::Duration;

use hark::service::{Folders, Job, JobName};

pub fn folders() -> Folders {
    Folders {
        home: PathBuf::from("/Users/ann"),
        config: PathBuf::from("/Users/ann/.config"),
        logs: PathBuf::from("/Users/ann/Library/Logs/hark"),
    }
}

pub fn job() -> Job {
    Job {
        name: JobName::Hark,
        program: PathBuf::from("/Users/ann/My Apps/Hark & Co/hark"),
        arguments: vec!["run".to_owned(), "50% \"<off>\" $HOME".to_owned()],
        environment: vec![
            ("HOME".to_owned(), "/Users/ann".to_owned()),
            ("HARK_SERVICE".to_owned(), "1".to_owned()),
            (
                "HARK_HOME".to_owned(),
                "/Volumes/a {{label}} & b".to_owned(),
            ),
        ],
        directory: PathBuf::from("/Users/ann"),
        stderr: PathBuf::from("/Users/ann/Library/Logs/hark/hark.stderr.log"),
        exit: Duration::from_secs(20),
    }
}
