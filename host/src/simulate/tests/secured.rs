//! A fleet at a door that wants to know who it is.

use super::*;
use crate::auth::hash::ScramHash;
use crate::auth::tests::AuthFixture;
use crate::kafka::client::{ClientSecurity, SaslLogin};

#[tokio::test]
async fn clients_log_in_where_they_have_to() {
    let (notebook, registry) = (Arc::new(RecordedIntake::new()), AuthFixture::new());
    let door = start_listener(notebook.clone(), |config| config.auth = Some(registry.auth())).await;
    let login = SaslLogin::Scram { hash: ScramHash::Sha256, user: "alice".into(), password: "secret".into() };
    let security = ClientSecurity { login: Some(login), tls: None };
    // SCRAM is work, and takes a while without optimisation.
    let time = Duration::from_secs(3);
    let report = play(SimulationOptions { security, time, misbehave: 0.25, ..options(&door, 8) }).await;
    let seen = notebook.recorded.lock().unwrap();
    assert_eq!((report.fault.as_deref(), report.refused), (None, 0), "{report}");
    assert_eq!(seen.principals, BTreeSet::from([Some("User:alice".into())]));
}

#[tokio::test]
async fn who_is_not_known_is_told_before_anything_is_played() {
    let registry = AuthFixture::new();
    let door = start_listener(Arc::new(RecordedIntake::new()), |config| config.auth = Some(registry.auth())).await;
    let login = SaslLogin::Plain { user: "alice".into(), password: "wrong".into() };
    let security = ClientSecurity { login: Some(login), tls: None };
    let said =
        format!("{:#}", run(SimulationOptions { security, ..options(&door, 1) }, pending(), |_| ()).await.unwrap_err());
    assert!(said.contains("nobody to push to"), "{said}");
}
