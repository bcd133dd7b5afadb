//! A sound card made of software: a private PulseAudio with null sinks as microphone and loudspeaker.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tempfile::TempDir;

/// One rig at a time: the environment that leads cpal to it belongs to the process.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

const INSTALL: &str = "install it with: apt-get install -y pulseaudio pulseaudio-utils espeak-ng sox (make test does it)";

/// The nice level of everything that carries sound in the rig.
pub const PRECEDENCE: &str = "-11";

/// A running sound card; dropping it stops the server and removes every file.
pub struct Rig {
    folder: TempDir,
    server: Option<Child>,
    _turn: MutexGuard<'static, ()>,
}

impl Rig {
    /// Starts a server with a microphone `mic` (48 kHz mono) and a loudspeaker `speaker` (48 kHz stereo), both default.
    pub fn up() -> Self {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = tempfile::tempdir().unwrap();
        let mut rig = Self {
            folder,
            server: None,
            _turn: turn,
        };
        rig.lead_cpal_here();
        rig.start_server();
        rig
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        let text = |name: &str| self.path(name).display().to_string();
        vec![
            ("PULSE_RUNTIME_PATH", text("run")),
            ("PULSE_STATE_PATH", text("state")),
            ("PULSE_CONFIG_PATH", text("config")),
            ("PULSE_SERVER", format!("unix:{}", text("native"))),
            ("PULSE_COOKIE", text("cookie")),
            // ALSA is the second choice of cpal: without a server it must find no card, also on a machine that has one.
            ("ALSA_CONFIG_PATH", text("asound.conf")),
        ]
    }

    fn lead_cpal_here(&self) {
        for name in ["run", "state", "config"] {
            std::fs::create_dir_all(self.path(name)).unwrap();
        }
        std::fs::write(self.path("asound.conf"), "").unwrap();
        for (name, value) in self.environment() {
            // SAFETY: the lock of the rig is held, every test of this program takes it first, and no thread of an earlier
            // test that reads the environment is left: streams and servers are joined before the lock is given back.
            unsafe { std::env::set_var(name, value) };
        }
    }

    /// Starts the server, also again after [`Self::kill_server`].
    pub fn start_server(&mut self) {
        let script = self.path("rig.pa");
        std::fs::write(
            &script,
            format!(
                "load-module module-native-protocol-unix socket={} auth-anonymous=1 auth-cookie-enabled=0\n\
                 load-module module-always-sink\n",
                self.path("native").display()
            ),
        )
        .unwrap();
        // The precedence that a sound server has on a desktop; where this user may not give it, `nice` says so and goes on.
        let server = Command::new("nice")
            .args(["-n", PRECEDENCE, "pulseaudio"])
            .args([
                "-n",
                "--daemonize=no",
                "--exit-idle-time=-1",
                "--use-pid-file=no",
            ])
            .args([
                "--realtime=no",
                "--high-priority=no",
                "--disable-shm=yes",
                "--log-level=error",
            ])
            .arg(format!("--file={}", script.display()))
            .arg(format!(
                "--log-target=newfile:{}",
                self.path("pulse.log").display()
            ))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("pulseaudio cannot be started ({error}); {INSTALL}"));
        self.server = Some(server);
        for _ in 0..200 {
            let up = Command::new("pactl")
                .arg("info")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .unwrap_or_else(|error| panic!("pactl cannot be run ({error}); {INSTALL}"));
            if up.success() {
                self.plug_microphone();
                self.plug_speaker();
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = std::fs::read_to_string(self.path("pulse.log")).unwrap_or_default();
        panic!("pulseaudio did not come up within 10 s: {log}; {INSTALL}");
    }

    /// Kills the server as a crash would.
    pub fn kill_server(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().unwrap();
            server.wait().unwrap();
        }
        if let Err(error) = std::fs::remove_file(self.path("native")) {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
        }
    }

    /// Stops the server as it is: it keeps every connection and answers nothing.
    pub fn freeze_server(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub fn thaw_server(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let server = self.server.as_ref().expect("the server runs");
        run(Command::new("kill")
            .arg(format!("-{name}"))
            .arg(server.id().to_string()));
    }

    /// Plugs the microphone in and makes it the default.
    pub fn plug_microphone(&self) {
        // `norewinds=1`: without it a null sink wakes every 2 s, and a capture starts up to 2 s late.
        pactl(&[
            "load-module",
            "module-null-sink",
            "sink_name=mic_in",
            "norewinds=1",
            "format=float32le",
            "rate=48000",
            "channels=1",
            "channel_map=mono",
            "sink_properties=device.description=MicFeed",
        ]);
        pactl(&[
            "load-module",
            "module-remap-source",
            "source_name=mic",
            "master=mic_in.monitor",
            "channels=1",
            "channel_map=mono",
            "master_channel_map=mono",
            "remix=no",
            "source_properties=device.description=RigMicrophone",
        ]);
        pactl(&["set-default-source", "mic"]);
    }

    /// Plugs the loudspeaker in and makes it the default.
    pub fn plug_speaker(&self) {
        pactl(&[
            "load-module",
            "module-null-sink",
            "sink_name=speaker",
            "norewinds=1",
            "format=float32le",
            "rate=48000",
            "channels=2",
            "sink_properties=device.description=RigSpeaker",
        ]);
        pactl(&["set-default-sink", "speaker"]);
    }

    /// Pulls the microphone out of the running machine.
    pub fn unplug_microphone(&self) {
        pactl(&["unload-module", "module-remap-source"]);
        unload("sink_name=mic_in");
    }

    /// Pulls the loudspeaker out.
    pub fn unplug_speaker(&self) {
        unload("sink_name=speaker");
    }

    /// A second microphone (16 kHz, 16 bits), not the default.
    pub fn plug_second_microphone(&self) {
        pactl(&[
            "load-module",
            "module-null-sink",
            "sink_name=mic2_in",
            "norewinds=1",
            "format=s16le",
            "rate=16000",
            "channels=1",
            "channel_map=mono",
            "sink_properties=device.description=SecondFeed",
        ]);
        pactl(&[
            "load-module",
            "module-remap-source",
            "source_name=mic2",
            "master=mic2_in.monitor",
            "channels=1",
            "channel_map=mono",
            "master_channel_map=mono",
            "remix=no",
            "source_properties=device.description=SecondMicrophone",
        ]);
    }

    /// Pulls the second microphone out.
    pub fn unplug_second_microphone(&self) {
        unload("source_name=mic2");
        unload("sink_name=mic2_in");
    }

    /// Plays a WAV into a microphone's feed and returns when it has ended.
    pub fn speak(&self, wav: &Path, feed: &str) {
        run(Command::new("paplay")
            .arg(format!("--device={feed}"))
            .arg("--latency-msec=50")
            .arg(wav));
    }

    /// Says `text` with espeak-ng into a WAV in the rig's folder.
    pub fn clip(&self, text: &str) -> PathBuf {
        let path = self.path("clip.wav");
        run(Command::new("espeak-ng")
            .args(["-v", "en-us", "-s", "150", "-w"])
            .arg(&path)
            .arg(text));
        path
    }

    /// Starts recording what the loudspeaker plays.
    pub fn record(&self) -> Recording {
        let path = self.path("recorded.raw");
        let child = Command::new("parec")
            .args([
                "--device=speaker.monitor",
                "--rate=48000",
                "--channels=2",
                "--format=float32le",
                "--raw",
            ])
            .arg("--latency-msec=50")
            .stdout(std::fs::File::create(&path).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("parec cannot be run ({error}); {INSTALL}"));
        let recording = Recording { child, path };
        // It records from its first bytes on.
        recording.wait_for(1);
        recording
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.kill_server();
    }
}

/// A recording of the loudspeaker that is running.
pub struct Recording {
    child: Child,
    path: PathBuf,
}

impl Recording {
    fn bytes(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |metadata| metadata.len())
    }

    /// Waits until `bytes` more have been recorded.
    pub fn wait_for(&self, bytes: u64) {
        let until = self.bytes() + bytes;
        for _ in 0..2_000 {
            if self.bytes() >= until {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the recording does not go on");
    }

    /// Waits for `ms` more of sound, ends it, and gives the left channel.
    pub fn end_after(mut self, ms: u64) -> Vec<f32> {
        self.wait_for(48 * 8 * ms);
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let bytes = std::fs::read(&self.path).unwrap();
        let frames = bytes.chunks_exact(8);
        frames
            .map(|frame| f32::from_le_bytes(frame[..4].try_into().unwrap()))
            .collect()
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        // After `end_after` it is dead already; after a panic it must not be left behind.
        if let Ok(None) = self.child.try_wait() {
            self.child.kill().unwrap_or_default();
            self.child.wait().map(drop).unwrap_or_default();
        }
    }
}

fn unload(argument: &str) {
    let listed = Command::new("pactl")
        .args(["list", "short", "modules"])
        .output()
        .unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    for line in listed
        .lines()
        .filter(|line| line.split_whitespace().any(|word| word == argument))
    {
        pactl(&["unload-module", line.split('\t').next().unwrap()]);
    }
}

fn pactl(arguments: &[&str]) {
    run(Command::new("pactl").args(arguments).stdout(Stdio::null()));
}

fn run(command: &mut Command) {
    let status = command
        .status()
        .unwrap_or_else(|error| panic!("{command:?} cannot be run ({error}); {INSTALL}"));
    assert!(status.success(), "{command:?} failed: {status}");
}

/// CPU time of this process so far, to show that nothing spins.
pub fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    // USER_HZ is 100 on every Linux that this runs on.
    Duration::from_millis(ticks * 10)
}

#[test]
fn the_cpu_time_of_a_spinning_core_is_seen() {
    let clock = hark::platform::clock::Clock::start();
    let before = cpu_time();
    while clock.now().since_start() < Duration::from_secs(2) {
        std::hint::spin_loop();
    }
    let used = cpu_time() - before;
    assert!(
        used > Duration::from_millis(200),
        "{used:?} of CPU in 2 s of spinning"
    );
}
