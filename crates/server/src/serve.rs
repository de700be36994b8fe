//! Binds, serves, drains and stops.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use foldin_engine::{Engine, Versions};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::{ConfigProblem, ServerConfig, Tls};
use crate::design::{Designer, Designs};
use crate::feed::Feed;
use crate::jobs::Jobs;
use crate::keys::Keys;
use crate::layers::Gate;
use crate::metrics::Metrics;
use crate::routes;
use crate::state::{App, now};

/// Seconds that a client has to send the head of a request.
const HEAD: Duration = Duration::from_secs(10);

/// How often clients that no longer ask are forgotten.
const TIDY: Duration = Duration::from_secs(60);

/// A server that did not start, or ended by an error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// A setting that cannot be.
    #[error(transparent)]
    Config(#[from] ConfigProblem),
    /// Others could reach it, and there are no keys.
    #[error(
        "{address} can be reached from elsewhere, and there are no API keys: make one with `foldin keys create --store …`, or listen on 127.0.0.1"
    )]
    KeysNeeded {
        /// Where it was to listen.
        address: SocketAddr,
    },
    /// The address cannot be had.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Certificate or key cannot be used.
    #[error("{}: {reason}", path.display())]
    Tls {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The system failed while serving.
    #[error("serving: {0}")]
    Io(#[from] std::io::Error),
}

/// A server that is bound to its address, and not yet running.
#[derive(Debug)]
pub struct Server {
    app: App,
    gate: Gate,
    listener: TcpListener,
    handle: Handle<SocketAddr>,
    tls: Option<RustlsConfig>,
}

/// Stops a server from any thread.
#[derive(Clone, Debug)]
pub struct Stopper {
    handle: Handle<SocketAddr>,
    drain: Duration,
    jobs: Arc<Jobs>,
    designs: Arc<Designs>,
    feed: Arc<Feed>,
}

impl Stopper {
    /// No new connections; running requests may end, for as long as the configuration says. A training run or a design is cancelled.
    pub fn stop(&self) {
        self.jobs.cancel_all();
        self.designs.cancel_all();
        self.feed.end();
        self.handle.graceful_shutdown(Some(self.drain));
    }
}

impl Server {
    /// Binds the address.
    ///
    /// # Errors
    /// [`ServeError`]: a setting that cannot be, an address that cannot be had, or one that needs keys where there are none.
    pub fn bind(
        engine: Arc<Engine>,
        versions: Versions,
        keys: Keys,
        config: ServerConfig,
    ) -> Result<Self, ServeError> {
        let tls = Self::examine(&config, &keys)?;
        let address = config.listen;
        let listen = |source| ServeError::Listen { address, source };
        let listener = TcpListener::bind(address).map_err(listen)?;
        listener.set_nonblocking(true).map_err(listen)?;
        let app = App {
            engine,
            versions,
            keys: Arc::new(keys),
            jobs: Arc::default(),
            designer: None,
            designs: Arc::default(),
            feed: Arc::default(),
            metrics: Arc::default(),
            config: Arc::new(config),
            started: now(),
            beside: Arc::default(),
            backing_up: Arc::default(),
        };
        app.version_serves();
        Ok(Self { gate: Gate::new(app.clone()), app, listener, handle: Handle::new(), tls })
    }

    /// Lets people ask for new items.
    #[must_use]
    pub fn with_designer(mut self, designer: Arc<dyn Designer>) -> Self {
        self.app.designer = Some(designer);
        self
    }

    /// Whether a server of these settings and keys would start, as far as that can be said without listening.
    ///
    /// # Errors
    /// As [`Server::bind`].
    pub fn check(config: &ServerConfig, keys: &Keys) -> Result<(), ServeError> {
        Self::examine(config, keys).map(drop)
    }

    fn examine(config: &ServerConfig, keys: &Keys) -> Result<Option<RustlsConfig>, ServeError> {
        config.check()?;
        let address = config.listen;
        if !address.ip().is_loopback() && !keys.any() {
            return Err(ServeError::KeysNeeded { address });
        }
        config.tls.as_ref().map(tls).transpose()
    }

    /// Where it listens; the port that was given where 0 was asked for.
    ///
    /// # Errors
    /// [`ServeError::Io`].
    pub fn address(&self) -> Result<SocketAddr, ServeError> {
        Ok(self.listener.local_addr()?)
    }

    /// Stops it later.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper {
            handle: self.handle.clone(),
            drain: Duration::from_secs(self.app.config.drain_seconds),
            jobs: self.app.jobs.clone(),
            designs: self.app.designs.clone(),
            feed: self.app.feed.clone(),
        }
    }

    /// Figures as `/metrics` shows them.
    #[must_use]
    pub fn metrics(&self) -> Arc<Metrics> {
        self.app.metrics.clone()
    }

    /// Serves until it is stopped; then the store is closed, so that all of it is on disk.
    ///
    /// # Errors
    /// [`ServeError`].
    pub fn run(self) -> Result<(), ServeError> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("serving").build()?;
        let app = self.app.clone();
        let served = runtime.block_on(self.serve());
        runtime.shutdown_timeout(Duration::from_secs(5));
        if let Err(error) = app.engine.store().close() {
            tracing::error!(%error, "closing the store");
        }
        served
    }

    async fn serve(self) -> Result<(), ServeError> {
        let Self { app, gate, listener, handle, tls } = self;
        let tidied = gate.clone();
        tokio::spawn(async move {
            let mut every = tokio::time::interval(TIDY);
            loop {
                every.tick().await;
                tidied.tidy();
            }
        });
        if let Some(seconds) = app.config.train.every_seconds {
            tokio::spawn(retrain(app.clone(), Duration::from_secs(seconds)));
        }
        let service = routes::router(app.clone(), &gate).into_make_service_with_connect_info::<SocketAddr>();
        match tls {
            None => {
                let mut server = axum_server::from_tcp(listener)?.handle(handle);
                http1_alone(server.http_builder());
                server.serve(service).await?;
            }
            Some(tls) => {
                let mut server = axum_server::from_tcp_rustls(listener, tls)?.handle(handle);
                http1_alone(server.http_builder());
                server.serve(service).await?;
            }
        }
        Ok(())
    }
}

/// Reads certificate and key, before anything is served: what is wrong with them is said at the start.
fn tls(files: &Tls) -> Result<RustlsConfig, ServeError> {
    // Somebody may have chosen one already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let refuse = |path: &PathBuf, reason: String| ServeError::Tls { path: path.clone(), reason };
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| refuse(&files.certificate, error.to_string()))?;
    if chain.is_empty() {
        return Err(refuse(
            &files.certificate,
            "there is no certificate in it: a PEM file has one".to_owned(),
        ));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| refuse(&files.key, format!("{error}: a PEM file with a private key is needed")))?;
    let mut config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| refuse(&files.key, format!("{error} (with {})", files.certificate.display())))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(RustlsConfig::from_config(Arc::new(config)))
}

/// HTTP/1.1 without looking for another: the look has no time limit, and whoever says nothing would be waited for.
fn http1_alone(builder: &mut Builder<TokioExecutor>) {
    *builder = Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD);
}

/// Trains again and again, as long as there is something new.
async fn retrain(app: App, every: Duration) {
    let mut ticks = tokio::time::interval(every);
    ticks.tick().await;
    let mut seen = None;
    loop {
        ticks.tick().await;
        let engine = app.engine.clone();
        let counts = tokio::task::spawn_blocking(move || engine.store().counts()).await;
        let Ok(Ok(counts)) = counts else { continue };
        if seen == Some(counts.last) {
            continue;
        }
        let options = app.config.train.options.clone();
        let noting = app.clone();
        match app.jobs.train(app.engine.clone(), app.versions.clone(), options, move || noting.trained()) {
            Ok(job) => {
                tracing::info!(job = job.id, "training begins");
                seen = Some(counts.last);
            }
            Err(error) => tracing::info!(%error.message, "no training this time"),
        }
    }
}
