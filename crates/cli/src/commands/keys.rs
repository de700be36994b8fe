//! `foldin keys`: who may ask a server what.

use std::path::PathBuf;

use foldin_server::keys::Role;

use crate::common::{now, print, print_json, table};
use crate::service::StoreFolder;

const EXAMPLES: &str = "\
Examples:
  foldin keys create --store store --role write --label shop
  foldin keys list --store store
  foldin keys revoke --store store Ab3dEfGh1jKl

A server that is running sees a change within a second.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a key; it is shown once
    Create {
        #[command(flatten)]
        store: StoreArgs,
        /// What it may do: read, write (and read) or admin (everything)
        #[arg(long, value_name = "ROLE")]
        role: RoleArg,
        /// What it is for, in words
        #[arg(long, value_name = "TEXT")]
        label: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List keys, without their secrets
    List {
        #[command(flatten)]
        store: StoreArgs,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Take a key away
    Revoke {
        #[command(flatten)]
        store: StoreArgs,
        /// The key's name, as `foldin keys list` shows it
        id: String,
    },
}

#[derive(Debug, clap::Args)]
struct StoreArgs {
    /// Store folder of the server
    #[arg(long, value_name = "DIR", env = "FOLDIN_STORE")]
    store: PathBuf,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum RoleArg {
    Read,
    Write,
    Admin,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Read => Self::Read,
            RoleArg::Write => Self::Write,
            RoleArg::Admin => Self::Admin,
        }
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    match &args.command {
        Command::Create { store, role, label, json } => {
            let keys = StoreFolder::open(&store.store)?.keys()?;
            let (info, key) = keys.create(label, (*role).into(), now())?;
            if *json {
                return print_json(&serde_json::json!({ "key": key, "info": info }));
            }
            print(format!(
                "{key}\nThis is the key `{label}`, which may {}. Keep it: only its hash is stored, and nobody can show it again.\nSend it with each request as `Authorization: Bearer KEY`.",
                info.role
            ))
        }
        Command::List { store, json } => {
            let keys = StoreFolder::open(&store.store)?.keys()?.list();
            if *json {
                return print_json(&keys);
            }
            let mut out = table(["name", "label", "may"]);
            for key in keys {
                out.add_row([key.id, key.label, key.role.to_string()]);
            }
            print(out)
        }
        Command::Revoke { store, id } => {
            StoreFolder::open(&store.store)?.keys()?.revoke(id)?;
            print(format!("{id} is no longer a key"))
        }
    }
}
