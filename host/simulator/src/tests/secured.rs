//! A fleet at a listener that requires authentication.

use super::*;
use barnabas_auth::hash::ScramHash;
use barnabas_auth::testing::AuthFixture;
use barnabas_kafka_client::{ClientSecurity, SaslLogin};

#[tokio::test]
async fn clients_authenticate_if_required() {
    let (recorded, registry) = (Arc::new(RecordedIntake::new()), AuthFixture::new());
    let listener = start_listener(recorded.clone(), |config| config.auth = Some(registry.auth())).await;
    let login = SaslLogin::Scram { hash: ScramHash::Sha256, user: "alice".into(), password: "secret".into() };
    let security = ClientSecurity { login: Some(login), tls: None };
    // SCRAM takes a while in an unoptimised build.
    let time = Duration::from_secs(3);
    let report = play(SimulationOptions { security, time, misbehave: 0.25, ..options(&listener, 8) }).await;
    let seen = recorded.recorded.lock().unwrap();
    assert_eq!((report.fault.as_deref(), report.refused), (None, 0), "{report}");
    assert_eq!(seen.principals, BTreeSet::from([Some("User:alice".into())]));
}

#[tokio::test]
async fn wrong_credentials_are_reported_before_the_run() {
    let registry = AuthFixture::new();
    let listener = start_listener(Arc::new(RecordedIntake::new()), |config| config.auth = Some(registry.auth())).await;
    let login = SaslLogin::Plain { user: "alice".into(), password: "wrong".into() };
    let security = ClientSecurity { login: Some(login), tls: None };
    let said = format!(
        "{:#}",
        run(SimulationOptions { security, ..options(&listener, 1) }, pending(), |_| ()).await.unwrap_err()
    );
    assert!(said.contains("cannot reach a broker"), "{said}");
}
