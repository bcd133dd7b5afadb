//! The layers and habits of the house, read from `src/`.
//!
//! **core** (pure, synchronous, no clock, no I/O) ← **edge** (one piece of I/O each) ← **wiring** (`daemon`, `cli`, `main`).

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Files and folders that are core; everything else outside `WIRING` is edge.
const CORE: &[&str] = &[
    "time.rs",
    "ids.rs",
    "private.rs",
    "flow.rs",
    "dialogue",
    "hearing/segment.rs",
    "hearing/level.rs",
    "audio/floor.rs",
    "audio/echo/meter.rs",
    "transcribe/guards.rs",
    "transcribe/agree.rs",
    "transcribe/hints.rs",
    "agent/clauses.rs",
    "agent/clauses",
    "agent/spoken.rs",
    "agent/spoken",
    "agent/consent.rs",
    "agent/consent",
    "agent/data.rs",
    "agent/dead_air.rs",
    "llm/sse.rs",
    "llm/ndjson.rs",
    "llm/think.rs",
    "llm/dialect.rs",
    "gateway/admission.rs",
    "gateway/ask.rs",
    "gateway/translate.rs",
    "gateway/shape.rs",
    "gateway/collect.rs",
    "gateway/resume.rs",
    "gateway/door.rs",
    "gateway/residency.rs",
    "agent/prefix.rs",
    "memory",
    "service",
    "config/changes.rs",
    "config/raw.rs",
    "config/resolved.rs",
    "config/tools.rs",
    "agent/facts.rs",
    "agent/intents/durations.rs",
    "agent/intents/numbers.rs",
    "agent/schedule",
    "agent/tools/arguments.rs",
    "agent/tools/argv",
    "agent/tools/select.rs",
];

const WIRING: &[&str] = &["daemon", "cli", "main.rs", "lib.rs"];

/// Edges that may use another edge, each for one reason. All may use `platform`.
const EXCEPTIONS: &[(&str, &str)] = &[
    // The agent and the gateway talk to models through the backend trait and its types.
    ("agent", "llm"),
    ("gateway", "llm"),
    // The listening and the speaking thread own a source and a sink: the traits and the resampler.
    ("hearing", "audio"),
    ("speak", "audio"),
];

/// What core must not touch: runtimes, threads, files, sockets, devices, clocks, the environment.
const NOT_IN_CORE: &[&str] = &[
    "tokio",
    "std::thread",
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::io",
    "std::sync::mpsc",
    "Instant",
    "SystemTime",
    "cpal",
    "reqwest",
    "rusqlite",
    "whisper_rs",
    "tracing::",
];

/// Files that call a model's C code and may be `unsafe` for it.
const MODEL_FFI: &[&str] = &["transcribe/whisper.rs", "hearing/vad.rs"];

const CLOCK_READS: &[&str] = &[
    "Instant::now",
    "SystemTime::now",
    "Timestamp::now",
    "ZonedDateTime::now",
    "Utc::now",
    "Local::now",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layer {
    Core,
    Edge,
    Wiring,
}

struct Source {
    /// Relative to `src/`, with forward slashes.
    path: String,
    whole: String,
    /// Without comments, strings' contents are kept; cut before the test module.
    code: String,
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    collect(&src(), &mut found);
    assert!(found.len() > 20, "only {} source files found", found.len());
    found
}

fn collect(folder: &Path, found: &mut Vec<Source>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let whole = std::fs::read_to_string(&path).unwrap();
            let relative = path
                .strip_prefix(src())
                .unwrap()
                .to_string_lossy()
                .replace('\\', "/");
            found.push(Source {
                path: relative,
                code: strip(&whole),
                whole,
            });
        }
    }
}

/// Drops comments and everything from the test module on.
fn strip(whole: &str) -> String {
    let body = whole
        .split("#[cfg(test)]")
        .next()
        .unwrap()
        .split("#[cfg(all(test,")
        .next()
        .unwrap();
    let mut code = String::with_capacity(body.len());
    for line in body.lines() {
        let line = if line.trim_start().starts_with("//") {
            ""
        } else {
            line.split(" // ").next().unwrap()
        };
        code.push_str(line);
        code.push('\n');
    }
    code
}

fn inside(path: &str, places: &[&str]) -> bool {
    places.iter().any(|place| {
        path == *place
            || path
                .strip_prefix(place)
                .is_some_and(|rest| rest.starts_with('/'))
    })
}

fn layer(path: &str) -> Layer {
    if inside(path, CORE) {
        Layer::Core
    } else if inside(path, WIRING) {
        Layer::Wiring
    } else {
        Layer::Edge
    }
}

fn part(path: &str) -> &str {
    path.split('/').next().unwrap().trim_end_matches(".rs")
}

/// The files of this crate that a source refers to by `crate::…`, as deep as they exist.
fn references(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in source.code.match_indices("crate::") {
        let before = source.code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let names: Vec<&str> = source.code[at + "crate::".len()..]
            .split("::")
            .map(|name| {
                name.split(|c: char| !(c.is_alphanumeric() || c == '_'))
                    .next()
                    .unwrap()
            })
            .take(3)
            .collect();
        let mut path = String::new();
        let mut known = None;
        for name in names.iter().take_while(|name| !name.is_empty()) {
            let next = if path.is_empty() {
                (*name).to_owned()
            } else {
                format!("{path}/{name}")
            };
            if src().join(format!("{next}.rs")).exists() {
                known = Some(format!("{next}.rs"));
            } else if src().join(&next).join("mod.rs").exists() {
                known = Some(format!("{next}/mod.rs"));
            } else {
                break;
            }
            path = next;
        }
        found.extend(known);
    }
    found
}

fn report(rule: &str, broken: &[String]) {
    let mut list = String::new();
    for line in broken {
        writeln!(list, "  {line}").unwrap();
    }
    assert!(broken.is_empty(), "{rule}:\n{list}");
}

fn lines_with<'a>(source: &'a Source, needle: &'a str) -> impl Iterator<Item = String> + 'a {
    source
        .code
        .lines()
        .enumerate()
        .filter(move |(_, line)| line.contains(needle))
        .map(move |(number, _)| format!("src/{}:{}: {needle}", source.path, number + 1))
}

#[test]
fn core_never_imports_edge_or_wiring() {
    let broken: Vec<String> = sources()
        .iter()
        .filter(|source| layer(&source.path) == Layer::Core)
        .flat_map(|source| {
            references(source)
                .into_iter()
                .filter(|to| layer(to) != Layer::Core)
                .map(|to| format!("src/{} -> src/{to}", source.path))
        })
        .collect();
    report("core may use only core", &broken);
}

#[test]
fn core_has_no_clock_thread_file_socket_or_runtime() {
    let all = sources();
    let broken: Vec<String> = all
        .iter()
        .filter(|source| layer(&source.path) == Layer::Core)
        .flat_map(|source| {
            NOT_IN_CORE
                .iter()
                .flat_map(|needle| lines_with(source, needle))
        })
        .collect();
    report("core is pure", &broken);
}

#[test]
fn edges_do_not_import_each_other_or_the_wiring() {
    let mut broken = Vec::new();
    for source in sources()
        .iter()
        .filter(|source| layer(&source.path) == Layer::Edge)
    {
        for to in references(source)
            .into_iter()
            .filter(|to| layer(to) != Layer::Core)
        {
            let (from, other) = (part(&source.path), part(&to));
            let allowed = layer(&to) == Layer::Edge
                && (from == other || other == "platform" || EXCEPTIONS.contains(&(from, other)));
            if !allowed {
                broken.push(format!("src/{} -> src/{to}", source.path));
            }
        }
    }
    report(
        "an edge may use core, itself, platform and the stated exceptions",
        &broken,
    );
}

#[test]
fn imports_from_the_crate_are_written_one_module_a_line() {
    let all = sources();
    let broken: Vec<String> = all
        .iter()
        .flat_map(|source| lines_with(source, "use crate::{"))
        .collect();
    report(
        "write `use crate::module::…`: the layer test reads it",
        &broken,
    );
}

#[test]
fn target_os_stands_only_in_platform() {
    let all = sources();
    let broken: Vec<String> = all
        .iter()
        .filter(|source| part(&source.path) != "platform")
        .flat_map(|source| {
            ["target_os", "target_family"]
                .into_iter()
                .flat_map(|needle| lines_with(source, needle))
        })
        .collect();
    report(
        "what differs from system to system belongs into src/platform/",
        &broken,
    );
}

#[test]
fn clocks_are_read_only_in_platform_clock() {
    let all = sources();
    let broken: Vec<String> = all
        .iter()
        .filter(|source| source.path != "platform/clock.rs")
        .flat_map(|source| {
            CLOCK_READS
                .iter()
                .flat_map(|needle| lines_with(source, needle))
        })
        .collect();
    report("take a `Clock` instead", &broken);
}

#[test]
fn nothing_unwraps_outside_tests() {
    let all = sources();
    let broken: Vec<String> = all
        .iter()
        .flat_map(|source| lines_with(source, ".unwrap()"))
        .collect();
    report("use `expect(\"why this holds\")` or an error", &broken);
}

#[test]
fn only_the_command_line_prints() {
    let all = sources();
    let broken: Vec<String> = all
        .iter()
        .filter(|source| !inside(&source.path, &["cli", "main.rs"]))
        .flat_map(|source| {
            ["println!", "eprintln!", "print!(", "dbg!"]
                .into_iter()
                .flat_map(|needle| lines_with(source, needle))
        })
        .collect();
    report("printing belongs into src/cli/", &broken);
}

#[test]
fn unsafe_stands_only_in_platform_and_model_ffi_and_is_explained() {
    let mut broken = Vec::new();
    for source in &sources() {
        let lines: Vec<&str> = source.whole.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap();
            if !code.contains("unsafe {") && !code.contains("unsafe impl") {
                continue;
            }
            let place =
                part(&source.path) == "platform" || MODEL_FFI.contains(&source.path.as_str());
            let explained = lines[index.saturating_sub(6)..index]
                .iter()
                .any(|line| line.contains("SAFETY:"));
            if !place || !explained {
                broken.push(format!("src/{}:{}", source.path, index + 1));
            }
        }
    }
    report(
        "unsafe only in platform/ and model FFI, each with `// SAFETY:`",
        &broken,
    );
}

#[test]
fn every_module_says_what_it_is_for() {
    let broken: Vec<String> = sources()
        .iter()
        .filter(|source| !source.whole.starts_with("//!"))
        .map(|source| format!("src/{}", source.path))
        .collect();
    report("a file starts with its module doc", &broken);
}

#[test]
fn files_stay_under_800_lines_and_functions_under_100() {
    let mut broken = Vec::new();
    for source in &sources() {
        let lines = source.whole.lines().count();
        if lines > 800 {
            broken.push(format!("src/{}: {lines} lines", source.path));
        }
        broken.extend(long_functions(source));
    }
    report("split it", &broken);
}

/// Functions over 100 lines, found by the indentation that rustfmt gives to their closing brace.
fn long_functions(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    let lines: Vec<&str> = source.whole.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let is_function = [
            "fn ",
            "pub fn ",
            "async fn ",
            "pub async fn ",
            "pub(super) fn ",
            "pub(crate) fn ",
            "unsafe extern",
        ]
        .iter()
        .any(|start| code.starts_with(start));
        if !is_function || code.ends_with(';') {
            continue;
        }
        let close = format!("{}}}", " ".repeat(line.len() - code.len()));
        let length = lines[index..]
            .iter()
            .position(|line| *line == close)
            .unwrap_or(0);
        if length > 100 {
            found.push(format!("src/{}:{}: {length} lines", source.path, index + 1));
        }
    }
    found
}

/// Names of fields are the settings' own; one that nobody reads outside `config/` is a promise without effect.
#[test]
fn no_setting_is_without_effect() {
    let all = sources();
    let outside: String = all
        .iter()
        .filter(|source| !source.path.starts_with("config/"))
        .map(|source| source.code.as_str())
        .collect();
    let mut fields = 0;
    let mut broken = Vec::new();
    for source in all.iter().filter(|source| {
        matches!(
            source.path.as_str(),
            "config/resolved.rs" | "config/tools.rs"
        )
    }) {
        for line in source.code.lines() {
            let field = line
                .trim()
                .strip_prefix("pub ")
                .and_then(|rest| rest.split_once(": "))
                .map(|(name, _)| name)
                .filter(|name| !name.contains([' ', '(']));
            let Some(field) = field else { continue };
            fields += 1;
            if !reads(&outside, field) {
                broken.push(format!("src/{}: {field}", source.path));
            }
        }
    }
    assert!(fields > 60, "only {fields} settings were found");
    report("every setting is read by somebody", &broken);
}

/// Whether `code` reads the field: `.name` and no longer name.
fn reads(code: &str, field: &str) -> bool {
    let written = format!(".{field}");
    code.match_indices(&written).any(|(at, _)| {
        let next = code[at + written.len()..].chars().next();
        !next.is_some_and(|next| next.is_alphanumeric() || next == '_')
    })
}

#[test]
fn no_test_is_ignored_and_no_channel_is_unbounded() {
    let all = sources();
    let broken: Vec<String> = all
        .iter()
        .flat_map(|source| {
            [
                "#[ignore",
                "#[should_panic",
                "unbounded_channel",
                "mpsc::channel()",
                "todo!(",
                "unimplemented!(",
            ]
            .into_iter()
            .flat_map(|needle| lines_with(source, needle))
        })
        .collect();
    report(
        "no ignored tests, no unbounded channels, nothing left to do",
        &broken,
    );
}

#[test]
fn the_tree_of_dependencies_stays_below_its_ceiling() {
    let lock =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock")).unwrap();
    let packages = lock.matches("[[package]]").count();
    assert!(
        packages <= 470,
        "{packages} packages in Cargo.lock: raise the ceiling only with a reason in the commit"
    );
}
