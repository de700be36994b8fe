//! Where a server says what it does: a log on standard error, and traces for a collector, with the feature `otlp`.

use std::io::IsTerminal;

use foldin_server::traces::TARGET;
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    // No documentation here: it would be printed, and make the help of the command twice as long.
    Text,
    Json,
}

/// What is to be flushed at the end.
#[derive(Debug, Default)]
pub(crate) struct Logs {
    #[cfg(feature = "otlp")]
    traces: Option<opentelemetry_sdk::trace::SdkTracerProvider>,
}

impl Logs {
    /// Begins to log, and to send traces if there is somewhere to send them to.
    ///
    /// # Errors
    /// An address that is none.
    pub(crate) fn begin(format: LogFormat, level: Level, collector: Option<&str>) -> anyhow::Result<Self> {
        let colours = std::io::stderr().is_terminal();
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(colours)
            .with_target(false);
        let lines: Box<dyn Layer<Registry> + Send + Sync> = match format {
            LogFormat::Text => lines.boxed(),
            LogFormat::Json => lines.json().flatten_event(true).boxed(),
        };
        let no_spans = Targets::new().with_default(level).with_target(TARGET, LevelFilter::OFF);
        let subscriber = tracing_subscriber::registry().with(lines.with_filter(no_spans));
        #[cfg(feature = "otlp")]
        if let Some(url) = collector {
            let provider = otlp::provider(url)?;
            let tracer = opentelemetry::trace::TracerProvider::tracer(&provider, "foldin");
            let spans = Targets::new().with_target(TARGET, LevelFilter::INFO);
            let layer = tracing_opentelemetry::layer().with_tracer(tracer).with_filter(spans);
            // Somebody may have chosen one already, which is as good.
            let _ = subscriber.with(layer).try_init();
            return Ok(Self { traces: Some(provider) });
        }
        let _ = collector;
        // As above.
        let _ = subscriber.try_init();
        Ok(Self::default())
    }

    /// Sends what is left.
    pub(crate) fn end(self) {
        #[cfg(feature = "otlp")]
        if let Some(Err(error)) = self.traces.map(|traces| traces.shutdown()) {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

#[cfg(feature = "otlp")]
mod otlp {
    //! Traces over OTLP (HTTP, protocol buffers).

    use std::time::Duration;

    use anyhow::Context;
    use async_trait::async_trait;
    use bytes::Bytes;
    use http::{Request, Response};
    use opentelemetry_http::{HttpClient, HttpError};
    use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::propagation::TraceContextPropagator;
    use opentelemetry_sdk::trace::SdkTracerProvider;

    /// Time that a collector has to answer.
    const PATIENCE: Duration = Duration::from_secs(5);

    /// Sends batches from a thread of their own, so that requests never wait for a collector.
    pub(super) fn provider(url: &str) -> anyhow::Result<SdkTracerProvider> {
        let agent = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).build().new_agent();
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Client(agent))
            .with_endpoint(format!("{}/v1/traces", url.trim_end_matches('/')))
            .with_timeout(PATIENCE)
            .build()
            .with_context(|| format!("--otlp {url}"))?;
        opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
        let resource = Resource::builder().with_service_name("foldin").build();
        Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
    }

    #[derive(Debug)]
    struct Client(ureq::Agent);

    #[async_trait]
    impl HttpClient for Client {
        /// Waits: it is called on the exporter's own thread.
        async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
            let (head, body) = request.into_parts();
            let answer = self.0.run(Request::from_parts(head, body.to_vec()))?;
            let (head, mut body) = answer.into_parts();
            Ok(Response::from_parts(head, body.read_to_vec()?.into()))
        }
    }
}
