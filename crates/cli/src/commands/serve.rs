//! `foldin serve`: a trained model as a service.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use foldin_core::{Dataset, Feedback};
use foldin_engine::store::{MemoryStore, Store};
use foldin_engine::{Engine, EngineOptions, Serving, Versions};
use foldin_server::config::Tls;
use foldin_server::keys::Keys;
use foldin_server::{Server, ServerConfig};

use crate::common::{Global, now, print, seconds_in_words};
use crate::data_args::DataArgs;
use crate::logs::{LogFormat, Logs};
use crate::progress::cancel_on_ctrl_c;
use crate::service::{StoreFolder, begin_import, end_import, import, interrupted};

/// How often a running server looks whether it is to stop.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Variables with a setting of the file.
const OF_TABLE: &str = "FOLDIN_SERVE__";

const EXAMPLES: &str = "\
Examples:
  foldin serve --model model                                  in memory, for a try
  foldin serve --model model --store store                    what is written stays
  foldin serve --store store                                  the version that served last
  foldin serve --model model --store store --import ml-1m     with the histories of a data set
  foldin serve --store store --config foldin.toml --check     say what is wrong with the settings, and stop

Settings come from --config, then from the environment (FOLDIN_LISTEN, FOLDIN_STORE, …; FOLDIN_SERVE__LIMITS__CONCURRENCY=64 for
`concurrency` of [limits], and so any other), then from flags; the last one holds.
The API describes itself at /openapi.json.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Model folder, as `foldin train` writes it; becomes the version that serves, unless it did before [default: the version that served last]
    #[arg(long, value_name = "DIR", env = "FOLDIN_MODEL")]
    model: Option<PathBuf>,
    /// Store folder, made if it is not there: events, versions of the model, keys [default: in memory]
    #[arg(long, value_name = "DIR", env = "FOLDIN_STORE")]
    store: Option<PathBuf>,
    /// Data set whose histories are put into the store first, if the store is empty
    #[arg(long, value_name = "PATH|NAME")]
    import: Option<String>,
    /// Address and port; anything but 127.0.0.1 needs API keys [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT", env = "FOLDIN_LISTEN")]
    listen: Option<SocketAddr>,
    /// File of settings, TOML
    #[arg(long, value_name = "FILE", env = "FOLDIN_CONFIG")]
    config: Option<PathBuf>,
    /// PEM file of a certificate chain, to serve HTTPS
    #[arg(long, value_name = "FILE", requires = "tls_key", env = "FOLDIN_TLS_CERTIFICATE")]
    tls_certificate: Option<PathBuf>,
    /// PEM file of its private key
    #[arg(long, value_name = "FILE", requires = "tls_certificate", env = "FOLDIN_TLS_KEY")]
    tls_key: Option<PathBuf>,
    /// Site whose pages may call the server from a browser, such as `https://shop.example`. May be given often
    #[arg(long, value_name = "ORIGIN")]
    cors_origin: Vec<String>,
    /// Requests a second of one key or address; 0 is no limit
    #[arg(long, value_name = "N", env = "FOLDIN_RATE")]
    rate: Option<u32>,
    /// Train a new version every so many seconds, if something was written, and let it serve if it is not worse
    #[arg(long, value_name = "SECONDS", env = "FOLDIN_RETRAIN_EVERY")]
    retrain_every: Option<u64>,
    /// How the log is written, on standard error
    #[arg(long, value_name = "FORM", default_value = "text", env = "FOLDIN_LOG_FORMAT")]
    log: LogFormat,
    /// How much is logged: error, warn, info or debug (every request)
    #[arg(long, value_name = "LEVEL", default_value = "info", env = "FOLDIN_LOG_LEVEL")]
    log_level: tracing::Level,
    /// Address of an OpenTelemetry collector that is sent a trace of every request (OTLP over HTTP), such as `http://localhost:4318`
    #[cfg(feature = "otlp")]
    #[arg(long, value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    otlp: Option<String>,
    #[cfg(feature = "vision")]
    #[command(flatten)]
    designer: super::vision::designer::DesignerArgs,
    /// Check settings, model and store, and stop
    #[arg(long)]
    check: bool,
}

impl Args {
    /// Where traces are sent.
    fn collector(&self) -> Option<&str> {
        #[cfg(feature = "otlp")]
        let url = self.otlp.as_deref();
        #[cfg(not(feature = "otlp"))]
        let url = None;
        url
    }
}

pub(crate) fn run(args: &Args, global: &Global) -> anyhow::Result<()> {
    let begin = Instant::now();
    let config = settings(args)?;
    config.check()?;
    let logs = Logs::begin(args.log, args.log_level, args.collector())?;

    // Without a folder everything is gone at the end, versions too.
    let store = args.store.as_deref();
    let missing = store.filter(|store| args.check && !store.exists());
    if let Some(store) = missing {
        global.remark(format!("{} is not there: a start without --check makes it", store.display()));
    }
    let place = Place::open(if missing.is_some() { None } else { store })?;
    let versions = place.versions()?;
    // One process has a store at a time; a second one must not touch what the first serves.
    let store = place.events()?;
    let serving = match &args.model {
        // Looked at where it is: a check changes nothing.
        Some(folder) if args.check => Serving::open(folder, "new")?,
        _ => {
            let version = version(args, &versions, global)?;
            versions.load(&version).with_context(|| {
                format!("version {version} cannot serve; `--model DIR` with another model folder, such as one of those beside it, does")
            })?
        }
    };
    let version = serving.version().to_owned();
    if !args.check
        && let Some(name) = interrupted(&*store)?.filter(|name| args.import.as_ref() != Some(name))
    {
        global.remark(format!(
            "warning: an import of {name} was interrupted here, and a part of it is missing; `foldin import --data {name}` writes all of it again, over what came since"
        ));
        // What is written from now on must not be overwritten by a later start that takes up the import.
        end_import(&*store)?;
    }
    if let Some(name) = args.import.as_ref().filter(|_| !args.check) {
        let feedback = serving.feedback();
        load(&*store, name, feedback, global)?;
    }
    let keys = place.keys()?;
    let engine = Engine::new(store, serving, config.engine.clone())?;
    let live = engine.live();
    let what =
        format!("{} (version {version}, {} items)", live.serving().model().name(), live.serving().n_items());
    let counts = engine.store().counts()?;
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let listen = config.listen;
    if args.check {
        if let Some(name) = &args.import {
            DataArgs::named(name).open(global)?;
        }
        Server::check(&config, &keys)?;
        #[cfg(feature = "vision")]
        let designs = args.designer.open(global)?.map_or_else(String::new, |designer| {
            format!(", designs of {} categories", designer.workshop().categories.len())
        });
        #[cfg(not(feature = "vision"))]
        let designs = "";
        return print(format!(
            "all is well: {what}, {} events of {} users, {listen}{designs}",
            counts.events, counts.users
        ));
    }
    let server = Server::bind(Arc::new(engine), versions.clone(), keys, config)?;
    #[cfg(feature = "vision")]
    let server = match args.designer.open(global)? {
        Some(designer) => server.with_designer(designer),
        None => server,
    };
    // Not before it is sure that it starts.
    versions.promote(&version)?;
    let address = server.address()?;
    print(format!(
        "Foldin serves {what} at {scheme}://{address}, ready in {}",
        seconds_in_words(begin.elapsed().as_secs_f64())
    ))?;
    if args.store.is_none() {
        global.remark("in memory: what is written is gone when the server stops; --store DIR keeps it");
    }
    run_until_stopped(server)?;
    drop(place);
    logs.end();
    global.remark("stopped; everything that was acknowledged is kept");
    Ok(())
}

/// Serves the model of a folder with the histories of a data set, in memory, until Ctrl-C: the end of the quickstart.
pub(crate) fn serve_for_a_try(model: &Path, dataset: &Dataset, global: &Global) -> anyhow::Result<()> {
    let place = Place::open(None)?;
    let versions = place.versions()?;
    let version = versions.adopt(model)?;
    versions.promote(&version)?;
    let store = place.events()?;
    import(&*store, dataset, kind_of(dataset), now(), |_| {})?;
    let engine = Engine::new(store, versions.load(&version)?, EngineOptions::default())?;
    let mut config = ServerConfig::default();
    if TcpListener::bind(config.listen).is_err() {
        global.remark(format!("{} is taken, so another port is used", config.listen));
        config.listen.set_port(0);
    }
    let server = Server::bind(Arc::new(engine), versions, place.keys()?, config)?;
    print(format!(
        "The dashboard is at http://{}/ and the API described at http://{0}/docs: rate something and watch the list. Ctrl-C ends it.",
        server.address()?
    ))?;
    run_until_stopped(server)
}

/// Serves until Ctrl-C or a request to terminate; a second one ends the program at once.
fn run_until_stopped(server: Server) -> anyhow::Result<()> {
    let (stopper, flag) = (server.stopper(), cancel_on_ctrl_c()?);
    std::thread::spawn(move || {
        while !flag.is_cancelled() {
            std::thread::sleep(LOOK_EVERY);
        }
        stopper.stop();
    });
    Ok(server.run()?)
}

fn kind_of(dataset: &Dataset) -> &'static str {
    if dataset.interactions.feedback() == Feedback::Implicit { "click" } else { "rating" }
}

/// Settings of the file, with those of the environment and of flags laid over them.
fn settings(args: &Args) -> anyhow::Result<ServerConfig> {
    let mut config: ServerConfig = match &args.config {
        None => ServerConfig::default(),
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
            toml::from_str(&text).with_context(|| path.display().to_string())?
        }
    };
    for (name, value) in std::env::vars_os() {
        let Some(name) = name.to_str().filter(|name| name.starts_with(OF_TABLE)) else { continue };
        let value = value.to_str().with_context(|| format!("the variable {name} is no text"))?;
        config = with_variable(&config, name, value).with_context(|| format!("the variable {name}"))?;
    }
    if let Some(listen) = args.listen {
        config.listen = listen;
    }
    if let (Some(certificate), Some(key)) = (&args.tls_certificate, &args.tls_key) {
        config.tls = Some(Tls { certificate: certificate.clone(), key: key.clone() });
    }
    if !args.cors_origin.is_empty() {
        config.cors_origins.clone_from(&args.cors_origin);
    }
    if let Some(rate) = args.rate {
        config.limits.rate_per_second = rate;
    }
    if let Some(seconds) = args.retrain_every {
        config.train.every_seconds = Some(seconds);
    }
    if config.backups.is_none() {
        config.backups = args.store.as_ref().map(|store| store.join("backups"));
    }
    Ok(config)
}

/// Settings with one more from the environment: `FOLDIN_SERVE__LIMITS__CONCURRENCY=64` is `concurrency = 64` of `[limits]`.
fn with_variable(config: &ServerConfig, name: &str, value: &str) -> anyhow::Result<ServerConfig> {
    let path = name[OF_TABLE.len()..].to_lowercase();
    // As TOML writes it; what is none is a text, so that texts need no quotes.
    let value = toml::from_str::<toml::Table>(&format!("value = {value}"))
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| toml::Value::String(value.to_owned()));
    let mut all = toml::Value::try_from(config)?;
    let (tables, last) = path.rsplit_once("__").unwrap_or(("", &path));
    let mut table = &mut all;
    for part in tables.split("__").filter(|part| !part.is_empty()) {
        let within = table.as_table_mut().with_context(|| format!("nothing lies within `{part}`"))?;
        table = within.entry(part).or_insert_with(|| toml::Value::Table(toml::Table::new()));
    }
    let within = table.as_table_mut().with_context(|| format!("`{last}` does not lie within a table"))?;
    within.insert(last.to_owned(), value);
    Ok(all.try_into()?)
}

/// Which version is to serve: that of `--model` if it is new here, or the one that served last.
fn version(args: &Args, versions: &Versions, global: &Global) -> anyhow::Result<String> {
    if let Some(folder) = &args.model {
        if !folder.join("manifest.json").exists() {
            bail!(
                "{} is not a model folder: it has no manifest.json; `foldin train … --out {}` makes one",
                folder.display(),
                folder.display()
            );
        }
        let before = versions.names()?;
        let given = versions.adopt(folder)?;
        return Ok(match versions.serving()? {
            // The same command at the next start must not undo what was trained and promoted meanwhile.
            Some(serving) if serving != given && before.contains(&given) => {
                global.remark(format!(
                    "{} is version {given}, which served before; version {serving} goes on serving (POST /v1/models/{given}/promote changes that)",
                    folder.display()
                ));
                serving
            }
            _ => given,
        });
    }
    match versions.serving()? {
        Some(version) => Ok(version),
        None => bail!("no version served here before: give a model with --model DIR"),
    }
}

fn load(store: &dyn Store, name: &str, feedback: Feedback, global: &Global) -> anyhow::Result<()> {
    let counts = store.counts()?;
    if counts.events > 0 && interrupted(store)?.as_deref() == Some(name) {
        global.remark(format!(
            "an import of {name} was interrupted here; it begins again, and nothing is there twice"
        ));
    } else if counts.events > 0 {
        global.remark(format!(
            "the store has {} events already, so {name} is not imported; `foldin import` does it anyway",
            counts.events
        ));
        return Ok(());
    }
    let dataset = DataArgs::named(name).open(global)?;
    let bar = super::import::bar(dataset.interactions.len() as u64, global);
    begin_import(store, name)?;
    let loaded = import(store, &dataset, kind_of(&dataset), now(), |done| bar.set_position(done))?;
    end_import(store)?;
    bar.finish_and_clear();
    if let (Feedback::Explicit(model), Feedback::Explicit(data)) = (feedback, dataset.interactions.feedback())
        && (data.min < model.min || data.max > model.max)
    {
        global.remark(format!(
            "warning: the ratings of {name} are {} to {}, the model's {} to {}: those outside it are not used",
            data.min, data.max, model.min, model.max
        ));
    }
    global.remark(format!(
        "{name}: {} events, {} items and the features of {} users imported",
        loaded.events, loaded.items, loaded.users
    ));
    Ok(())
}

/// Where everything is kept.
enum Place {
    Folder(StoreFolder),
    Memory(Temporary),
}

/// A folder that is gone when this is dropped.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // It lies where the system clears up anyway.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Place {
    fn open(store: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(path) = store {
            return Ok(Self::Folder(StoreFolder::open(path)?));
        }
        let path = std::env::temp_dir().join(format!("foldin-{}-{}", std::process::id(), now()));
        std::fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        Ok(Self::Memory(Temporary(path)))
    }

    fn versions(&self) -> anyhow::Result<Versions> {
        match self {
            Self::Folder(folder) => folder.versions(),
            Self::Memory(place) => Ok(Versions::open(&place.0.join("models"))?),
        }
    }

    fn events(&self) -> anyhow::Result<Box<dyn Store>> {
        match self {
            Self::Folder(folder) => Ok(Box::new(folder.events()?)),
            Self::Memory(_) => Ok(Box::new(MemoryStore::new())),
        }
    }

    fn keys(&self) -> anyhow::Result<Keys> {
        match self {
            Self::Folder(folder) => folder.keys(),
            Self::Memory(place) => Ok(Keys::open(&place.0.join("keys.json"))?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_setting_can_come_from_the_environment() -> anyhow::Result<()> {
        let mut config = ServerConfig::default();
        for (name, value) in [
            ("FOLDIN_SERVE__LIMITS__CONCURRENCY", "64"),
            ("FOLDIN_SERVE__LISTEN", "127.0.0.1:9000"),
            ("FOLDIN_SERVE__CORS_ORIGINS", "[\"https://shop.example\"]"),
            ("FOLDIN_SERVE__TRAIN__OPTIONS__THREADS", "2"),
            ("FOLDIN_SERVE__TRAIN__EVERY_SECONDS", "60"),
            ("FOLDIN_SERVE__BACKUPS", "/var/backups"),
        ] {
            config = with_variable(&config, name, value)?;
        }
        assert_eq!((config.limits.concurrency, config.listen.port()), (64, 9000));
        assert_eq!(config.cors_origins, ["https://shop.example"]);
        assert_eq!((config.train.options.threads, config.train.every_seconds), (2, Some(60)));
        assert_eq!(config.backups.as_deref(), Some(Path::new("/var/backups")));
        for (name, value) in [
            ("FOLDIN_SERVE__LIMITS__COLOUR", "red"),
            ("FOLDIN_SERVE__LIMITS__CONCURRENCY", "many"),
            ("FOLDIN_SERVE__LISTEN__PORT", "1"),
            ("FOLDIN_SERVE__", "1"),
        ] {
            assert!(with_variable(&config, name, value).is_err(), "{name}");
        }
        Ok(())
    }
}
