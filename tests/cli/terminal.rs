//! On a real terminal: `config init` asks there, and nowhere else; waiting is shown there, and nowhere else.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::support::Home;

/// Longer than any step here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program with a terminal of its own.
struct Terminal {
    child: Child,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    shown: String,
}

/// Both ends of a new terminal.
fn open() -> (OwnedFd, OwnedFd) {
    let (mut ours, mut theirs) = (-1, -1);
    // A new terminal has no columns, and nothing fits into none.
    let mut size = libc::winsize {
        ws_row: 24,
        ws_col: 100,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: both numbers and the size outlive the call; the null pointers mean no name and the system's own settings.
    let status = unsafe {
        libc::openpty(
            &raw mut ours,
            &raw mut theirs,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            &raw mut size,
        )
    };
    assert_eq!(status, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: the call has just opened both, and nobody else has them.
    unsafe { (OwnedFd::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) }
}

impl Terminal {
    fn start(home: &Home, arguments: &[&str]) -> Self {
        let (ours, theirs) = open();
        let template = home.command(arguments);
        let mut command = Command::new(template.get_program());
        command
            .args(template.get_args())
            .current_dir(home.path(""))
            .env_clear()
            // Without it nothing is drawn: nobody knows what the terminal understands.
            .env("TERM", "xterm");
        for (name, value) in template.get_envs() {
            command.envs(value.map(|value| (name, value)));
        }
        let child = command
            .stdin(Stdio::from(theirs.try_clone().unwrap()))
            .stdout(Stdio::from(theirs.try_clone().unwrap()))
            .stderr(Stdio::from(theirs))
            .spawn()
            .unwrap();
        let keyboard = File::from(ours);
        let mut reader = keyboard.try_clone().unwrap();
        let (tell, screen) = channel();
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            // The end of the program closes its side, which Linux tells as an error.
            while let Ok(read @ 1..) = reader.read(&mut piece) {
                if tell.send(piece[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            keyboard,
            screen,
            shown: String::new(),
        }
    }

    /// Waits for `words` on the screen, then types an answer and Enter.
    fn answer(&mut self, words: &str, answer: &str) {
        self.see(words);
        writeln!(self.keyboard, "{answer}").unwrap();
    }

    fn see(&mut self, words: &str) {
        let by = Instant::now() + PATIENCE;
        while !self.shown.contains(words) {
            let left = by.saturating_duration_since(Instant::now());
            match self.screen.recv_timeout(left) {
                Ok(piece) => self.shown.push_str(&String::from_utf8_lossy(&piece)),
                Err(_) => panic!("{words:?} does not come: {}", self.shown),
            }
        }
        // What comes next is looked for behind it.
        let behind = self.shown.find(words).unwrap() + words.len();
        self.shown.drain(..behind);
    }

    fn ended(mut self) -> (ExitStatus, String) {
        let by = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < by, "it does not end: {}", self.shown);
            std::thread::sleep(Duration::from_millis(10));
        };
        while let Ok(piece) = self.screen.recv_timeout(Duration::from_millis(200)) {
            self.shown.push_str(&String::from_utf8_lossy(&piece));
        }
        (status, self.shown)
    }
}

fn nobody() -> String {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", socket.local_addr().unwrap())
}

fn alone() -> Home {
    Home::new()
        .with("HARK_LLM_MLX_URL", &nobody())
        .with("HARK_LLM_OLLAMA_URL", &nobody())
}

#[test]
fn config_init_asks_on_a_terminal_and_writes_what_was_answered() {
    let home = alone();
    let mut terminal = Terminal::start(&home, &["config", "init"]);
    terminal.answer("What is the assistant's name? [\"Hark\"]", "Ann");
    terminal.answer("What should wake it? [\"hey hark\"]", "");
    terminal.answer("Which key is push-to-talk? [\"ctrl+alt+space\"]", "f5");
    terminal.see("No model server answers now");
    terminal.answer("Which backend", "none");
    terminal.answer("Which language", "");
    terminal.answer("Which speech model", "");
    terminal.answer("Which voice", "");
    let (status, shown) = terminal.ended();
    assert_eq!(status.code(), Some(0), "{shown}");
    assert!(
        shown.contains("Wrote ") && shown.contains("hark doctor"),
        "{shown}"
    );
    let text = std::fs::read_to_string(home.path("config.toml")).unwrap();
    for line in [
        "\nname = \"Ann\"\n",
        "\npush_to_talk = \"f5\"\n",
        "\nbackend = \"none\"\n",
        "\n# phrase = ",
    ] {
        assert!(text.contains(line), "{line:?}: {text}");
    }
    assert_eq!(home.hark(&["config", "check"]).code, 0);
}

#[test]
fn config_init_on_a_terminal_does_not_overwrite_without_a_yes() {
    let home = alone();
    home.write("config.toml", "[tts]\nrate = 2\n");
    let mut terminal = Terminal::start(&home, &["config", "init"]);
    terminal.answer("Replace it?", "");
    let (status, shown) = terminal.ended();
    assert_eq!(status.code(), Some(2), "{shown}");
    let text = std::fs::read_to_string(home.path("config.toml")).unwrap();
    assert_eq!(text, "[tts]\nrate = 2\n");
}

#[test]
fn config_init_without_a_terminal_or_with_yes_asks_nothing() {
    let piped = alone();
    let mut command = piped.command(&["config", "init"]);
    let output = command.write_stdin("Ann\n").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let text = std::fs::read_to_string(piped.path("config.toml")).unwrap();
    assert!(text.contains("\n# name = \"Hark\"\n"), "{text}");
    let home = alone();
    let (status, shown) = Terminal::start(&home, &["config", "init", "--yes"]).ended();
    assert_eq!(status.code(), Some(0));
    assert!(shown.contains("Wrote ") && !shown.contains('?'), "{shown}");
}

#[test]
fn a_wait_of_more_than_a_second_is_shown_on_a_terminal_and_not_in_a_pipe() {
    // A server that takes the question, says nothing for three seconds, and hangs up.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", silent.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in silent.incoming() {
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_secs(3));
                drop(stream);
            });
        }
    });
    let home = || {
        Home::new()
            .with("HARK_LLM_BACKEND", "openai")
            .with("HARK_LLM_OPENAI_URL", &url)
    };
    let on_terminal = home();
    let mut terminal = Terminal::start(&on_terminal, &["ask", "tell", "me", "about", "badgers"]);
    terminal.see("the model is thinking about it");
    let (status, _) = terminal.ended();
    assert_ne!(status.code(), Some(0));
    let piped = home().hark(&["ask", "tell", "me", "about", "badgers"]);
    assert!(!piped.err.contains("is thinking"), "{}", piped.err);
    assert_ne!(piped.code, 0);
}
