//! What `hark service` runs: Hark itself and a model server, made from the settings and this process's surroundings.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::logging::SERVICE;
use crate::config::{Config, Places};
use crate::service::backend::{self, Server};
use crate::service::{Folders, Job, JobName};

/// What is done about a program that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// Nothing is installed.
    Refused,
    /// It is shown by its name.
    Named,
}

/// What the jobs are made from.
pub(super) struct Scene {
    config: Config,
    program: PathBuf,
    pub(super) folders: Folders,
    /// Variables that say where Hark's files lie: the service must look at the same place.
    places: Vec<(String, String)>,
    /// Settings in this shell's environment, which the service will not have.
    stray: Vec<String>,
}

impl Scene {
    /// From the environment of this process.
    ///
    /// # Errors
    /// This program's own path cannot be found out, or there is no home folder.
    pub(super) fn of_this_process(config: &Config, places: &Places) -> anyhow::Result<Self> {
        let program = std::env::current_exe().map_err(|error| {
            Failure::failed(
                format!("the path of this program cannot be found out: {error}"),
                "call it by its whole path",
            )
        })?;
        // The program itself and not a link to it: macOS grants the microphone to the app around it.
        let program = lasting(&program.canonicalize().unwrap_or(program));
        let folders =
            crate::daemon::service::folders(places).ok_or(crate::platform::directories::NoHome)?;
        let carried = ["HARK_HOME", "HARK_MODELS_DIR", "HARK_CACHE"];
        let (mut place, mut stray) = (Vec::new(), Vec::new());
        for (name, value) in std::env::vars() {
            if carried.contains(&name.as_str()) {
                place.push((name, value));
            } else if name.starts_with("HARK_")
                && name != SERVICE
                && !name.starts_with("HARK_TEST_")
            {
                stray.push(name);
            }
        }
        place.sort();
        stray.sort();
        Ok(Self {
            config: config.clone(),
            program,
            folders,
            places: place,
            stray,
        })
    }

    /// Hark itself.
    pub(super) fn hark(&self) -> Job {
        let mut environment = vec![
            ("HOME".to_owned(), self.folders.home.display().to_string()),
            (
                "PATH".to_owned(),
                crate::platform::program_path().to_owned(),
            ),
            ("LANG".to_owned(), "en_US.UTF-8".to_owned()),
            (SERVICE.to_owned(), "1".to_owned()),
        ];
        environment.extend(self.places.iter().cloned());
        Job {
            name: JobName::Hark,
            program: self.program.clone(),
            arguments: vec!["run".to_owned()],
            environment,
            directory: self.folders.home.clone(),
            stderr: self.folders.logs.join("hark.stderr.log"),
            // Our own shutdown takes 5 s at most.
            exit: Duration::from_secs(20),
        }
    }

    /// A model server at the address of the settings.
    ///
    /// # Errors
    /// Its program is not installed, or the settings do not say what it is to run.
    pub(super) fn server(&self, name: JobName, missing: Missing) -> anyhow::Result<Job> {
        let (program, url, install) = match name {
            JobName::Mlx => (
                "mlx_lm.server",
                &self.config.llm.mlx.url,
                "pip install mlx-lm (in an environment whose programs are on your PATH)",
            ),
            _ => (
                "ollama",
                &self.config.llm.ollama.url,
                "install Ollama (brew install ollama) and pull a model",
            ),
        };
        let found = which(program);
        if found.is_none() && missing == Missing::Refused {
            return Err(Failure::failed(format!("{program} is not on your PATH"), install).into());
        }
        let (host, port) = address(url, name)?;
        let server = Server {
            program: found.unwrap_or_else(|| PathBuf::from(program)),
            host,
            port,
            home: self.folders.home.clone(),
            stderr: self.folders.logs.join(format!("{}.log", name.stem())),
            path: crate::platform::program_path().to_owned(),
        };
        if name == JobName::Ollama {
            return Ok(backend::ollama(server, self.config.llm.ollama.num_ctx));
        }
        let Some(model) = &self.config.llm.mlx.model else {
            return Err(Failure::usage(
                "llm.mlx.model does not say which model mlx_lm.server is to load",
                "set it to the model's folder in the file that `hark config path` prints",
            )
            .into());
        };
        Ok(backend::mlx(server, model, self.config.llm.ollama.num_ctx))
    }

    /// Tells what of this shell the service will not have.
    pub(super) fn warn(&self, console: &mut Console<'_>) -> std::io::Result<()> {
        for name in &self.stray {
            writeln!(
                console.err,
                "{name} is set in this shell only: the service will not see it; put it into the file that `hark config path` prints"
            )?;
        }
        let text = self.program.display().to_string();
        if text.contains("/target/debug/") || text.contains("/target/release/") {
            writeln!(
                console.err,
                "the service will run {text}: `cargo clean` would take it away; a copy in ~/.local/bin lasts"
            )?;
        }
        Ok(())
    }
}

/// The path that stays through an update: Homebrew keeps each version in a folder of its own and a link beside them.
fn lasting(program: &Path) -> PathBuf {
    let parts: Vec<_> = program.iter().collect();
    let cellar = parts.iter().position(|part| *part == "Cellar");
    match cellar {
        Some(at) if parts.len() > at + 3 => {
            let linked = parts[..at]
                .iter()
                .copied()
                .chain(["opt".as_ref(), parts[at + 1]])
                .chain(parts[at + 3..].iter().copied());
            linked.collect()
        }
        _ => program.to_owned(),
    }
}

/// The host and port of a local server's address.
fn address(url: &str, name: JobName) -> anyhow::Result<(String, u16)> {
    let refused = |what: &str| {
        Failure::usage(
            format!("{url} {what}"),
            format!(
                "give llm.{}.url an address of this machine, like http://127.0.0.1:8080/v1",
                name.stem()
            ),
        )
    };
    let parsed = reqwest::Url::parse(url).map_err(|_| refused("is no address"))?;
    let host = parsed.host_str().unwrap_or_default();
    if !["127.0.0.1", "localhost", "[::1]"].contains(&host) {
        return Err(refused("is not on this machine, so nothing can be started there").into());
    }
    let port = parsed
        .port_or_known_default()
        .ok_or_else(|| refused("has no port"))?;
    Ok((host.to_owned(), port))
}

/// The program of that name on this shell's `PATH`.
fn which(program: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let runs = |path: &PathBuf| {
        path.metadata()
            .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    let paths = std::env::var_os("PATH")?;
    std::env::split_paths(&paths)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(program))
        .find(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_homebrew_is_named_by_the_link_that_survives_an_update() {
        let named = lasting(Path::new("/opt/homebrew/Cellar/hark/0.1.0/bin/hark"));
        assert_eq!(named, PathBuf::from("/opt/homebrew/opt/hark/bin/hark"));
        let app = Path::new("/Applications/Hark.app/Contents/MacOS/hark");
        assert_eq!(lasting(app), app);
    }
}
