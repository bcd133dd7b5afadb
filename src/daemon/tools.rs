//! The tools of this machine, from the settings: built-in ones and those of servers.
//!
//! [`open`] makes a [`Registry`] once; whoever runs the agent takes [`Registry::toolbox`] for each turn (servers come and go) and
//! lets [`Selection`] choose from it. What the user denies is not in the box; what is left is judged call by call with
//! [`Registry::verdict`].
//!
//! [`Selection`]: crate::agent::tools::select::Selection

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde_json::Value;

use crate::agent::notebook::Notebook;
use crate::agent::tools::builtin::{self, Offer};
use crate::agent::tools::host::Host;
use crate::agent::tools::mcp::{ServerState, Servers};
use crate::agent::tools::permission::{Verdict, verdict};
use crate::agent::tools::{Class, Tool, Toolbox};
use crate::config::tools::{Permission, Tools};
use crate::config::{Config, Places};

/// Where a tool comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// From Hark itself.
    Builtin,
    /// From a server of this name.
    Server(String),
}

/// A tool with everything that is to be told of it.
#[derive(Clone)]
pub struct Listed {
    /// The tool.
    pub tool: Arc<dyn Tool>,
    /// Where it comes from.
    pub source: Source,
    /// Why it is not offered; `None` where it is.
    pub why_not: Option<String>,
}

/// See the module.
pub struct Registry {
    /// Never held across a wait.
    settings: RwLock<Arc<Tools>>,
    builtin: Vec<Offer>,
    servers: Servers,
    start_timeout: Duration,
}

/// Makes the tools, and starts the servers of the settings in the background. Must be called on a runtime.
#[must_use]
pub fn open(config: &Config, places: &Places, notebook: &Arc<Notebook>) -> Registry {
    let host = Arc::new(Host::here(places.home.clone()));
    Registry {
        builtin: builtin::offers(&host, notebook, config.tools.run_command),
        settings: RwLock::new(Arc::new(config.tools.clone())),
        servers: Servers::start(&config.mcp),
        start_timeout: config.mcp.start_timeout,
    }
}

impl Registry {
    /// Every tool, also those that are not offered, with the reason.
    #[must_use]
    pub fn list(&self) -> Vec<Listed> {
        let builtin = self.builtin.iter().map(|offer| Listed {
            why_not: offer.why_not.clone().or_else(|| self.refused(&offer.tool)),
            tool: Arc::clone(&offer.tool),
            source: Source::Builtin,
        });
        let servers = self.servers.tools().into_iter().map(|(name, tool)| Listed {
            why_not: self.refused(&tool),
            tool,
            source: Source::Server(name),
        });
        builtin.chain(servers).collect()
    }

    /// Takes over other rules: whether there are tools, what they may do, what their descriptions may cost. Whether programs
    /// can be run at all is decided at the start.
    pub fn take_over(&self, rules: &Tools) {
        *self
            .settings
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(rules.clone());
    }

    fn settings(&self) -> Arc<Tools> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// How the servers are.
    #[must_use]
    pub fn servers(&self) -> Vec<ServerState> {
        self.servers.states()
    }

    /// Waits until every server has been started or has failed once; a verb that ends at once needs that, a daemon does not.
    pub async fn settled(&self) {
        self.servers
            .settled(self.start_timeout + Duration::from_secs(1))
            .await;
    }

    /// Ends the servers, and waits until they are gone.
    pub async fn close(&self) {
        self.servers.close().await;
    }

    fn refused(&self, tool: &Arc<dyn Tool>) -> Option<String> {
        let name = tool.spec().name;
        let denied = self.settings().permissions.of(&name) == Some(Permission::Deny);
        denied.then(|| "tools.permissions denies it".to_owned())
    }

    /// The tools that can be offered now, in their stable order; none where `tools.enabled` is false.
    #[must_use]
    pub fn toolbox(&self) -> Toolbox {
        if !self.settings().enabled {
            return Toolbox::default();
        }
        let offered = self.list().into_iter();
        Toolbox::new(
            offered
                .filter(|listed| listed.why_not.is_none())
                .map(|listed| listed.tool)
                .collect(),
        )
    }

    /// What the tools' descriptions may add to a prompt, in tokens.
    #[must_use]
    pub fn budget_tokens(&self) -> u32 {
        self.settings().budget_tokens
    }

    /// What the settings say of the tool of this name.
    #[must_use]
    pub fn permission(&self, tool: &str) -> Option<Permission> {
        self.settings().permissions.of(tool)
    }

    /// What is done with this call: see [`Verdict`].
    #[must_use]
    pub fn verdict(&self, tool: &dyn Tool, arguments: &Value) -> Verdict {
        let class: Class = tool.class(arguments);
        verdict(&self.settings().permissions, &tool.spec().name, class)
    }
}
