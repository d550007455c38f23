//! TLS between us and a real server: what all backends in PostgreSQL have from here.

use std::path::Path;

use super::server::Server as Process;
use super::*;
use crate::certificates::Certificates;

const VERSIONS: [&str; 1] =
    ["CREATE TABLE version (version BIGINT NOT NULL); INSERT INTO version VALUES (1)"];

/// Whether the connections that it gives are encrypted.
async fn open(process: &Process, mode: &str, authority: &Path) -> Result<bool, Error> {
    let url = format!("{}?sslmode={mode}&sslrootcert={}", process.url(), authority.display());
    let config = ServerConfig {
        url: &url,
        schema: "tls",
        versions: &VERSIONS,
        application: "micro-test",
        connections_max: 2,
        acquire_timeout: Duration::from_secs(5),
        call_timeout: Duration::from_secs(5),
    };
    let server = Server::open(&config).await?;
    let encrypted = sqlx::query_as::<_, (bool,)>("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()");
    Ok(encrypted.fetch_one(&server.pool).await.unwrap().0)
}

async fn refused(process: &Process, mode: &str, authority: &Path) -> String {
    let error = open(process, mode, authority).await.unwrap_err();
    assert!(matches!(error, Error::Away(_)), "{error:?}");
    error.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_trusted_by_its_authority_and_by_its_name() {
    let (good, wrong) = (Certificates::new("IP:127.0.0.1"), Certificates::new("IP:127.0.0.1"));
    let Some(process) = Process::start_with(&good) else { return };
    for mode in ["verify-full", "verify-ca", "require"] {
        assert!(open(&process, mode, &good.authority()).await.unwrap(), "{mode}");
    }
    for mode in ["verify-full", "verify-ca"] {
        let told = refused(&process, mode, &wrong.authority()).await;
        assert!(told.contains("certificate"), "{told}");
    }
    let elsewhere = Certificates::new("DNS:elsewhere.example");
    let Some(process) = Process::start_with(&elsewhere) else { return };
    let told = refused(&process, "verify-full", &elsewhere.authority()).await;
    assert!(told.contains("certificate") && told.contains("not valid for name"), "{told}");
    assert!(open(&process, "verify-ca", &elsewhere.authority()).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_not_left_out_where_the_server_has_none() {
    let Some(process) = Process::start() else { return };
    let good = Certificates::new("IP:127.0.0.1");
    for mode in ["verify-full", "verify-ca", "require"] {
        let told = refused(&process, mode, &good.authority()).await;
        assert!(told.contains("does not support TLS"), "{told}");
    }
    assert!(!open(&process, "prefer", &good.authority()).await.unwrap(), "who does not insist gets none");
}
