use std::path::Path;
use std::time::Duration;

use super::testing::{AuthFixture, ScramClient, requirements};
use super::*;

async fn advance(auth: &Arc<Auth>, exchange: SaslExchange, token: &[u8]) -> SaslStep {
    auth.advance(exchange, Bytes::copy_from_slice(token), SystemTime::now()).await.unwrap()
}

async fn first_step(auth: &Arc<Auth>, mechanism: SaslMechanism, token: &[u8]) -> SaslStep {
    advance(auth, SaslExchange::begin(mechanism), token).await
}

#[track_caller]
fn refused(step: SaslStep) -> AuthFailure {
    match step {
        SaslStep::Refused(failure) => failure,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn plain_does_not_reveal_why_it_failed() {
    let registry = AuthFixture::new();
    let auth = registry.auth();
    let step = first_step(&auth, SaslMechanism::Plain, b"\0alice\0secret").await;
    let SaslStep::Authenticated { answer, name, lifetime: None } = step else { panic!("{step:?}") };
    assert_eq!((answer.len(), name.as_str()), (0, "alice"));
    for wrong in [&b"\0alice\0Secret"[..], b"\0alice\0secret ", b"\0bob\0secret", b"\0Alice\0secret"] {
        let failure = refused(first_step(&auth, SaslMechanism::Plain, wrong).await);
        assert_eq!(failure, AuthFailure::Credentials(SaslMechanism::Plain), "the same for an unknown user");
    }
    let malformed = refused(first_step(&auth, SaslMechanism::Plain, b"alice").await);
    assert!(matches!(malformed, AuthFailure::Malformed(SaslMechanism::Plain, _)));
}

async fn scram(
    auth: &Arc<Auth>,
    mechanism: SaslMechanism,
    name: &'static str,
    password: &'static str,
) -> (SaslStep, Vec<u8>) {
    let client = ScramClient::new(mechanism, name, password);
    let SaslStep::Continue { answer, exchange } = first_step(auth, mechanism, &client.first()).await else {
        panic!("no challenge")
    };
    let (last, signature) = client.last(&answer);
    (advance(auth, exchange, &last).await, signature)
}

#[tokio::test]
async fn scram_authenticates_both_sides() {
    let registry = AuthFixture::new();
    let auth = registry.auth();
    for mechanism in [SaslMechanism::ScramSha256, SaslMechanism::ScramSha512] {
        let (step, signature) = scram(&auth, mechanism, "alice", "secret").await;
        let SaslStep::Authenticated { answer, name, lifetime: None } = step else { panic!("{step:?}") };
        assert_eq!((answer, name.as_str()), (signature, "alice"));
        for (name, password) in [("alice", "wrong"), ("bob", "secret")] {
            let (step, _) = scram(&auth, mechanism, name, password).await;
            assert_eq!(refused(step), AuthFailure::Credentials(mechanism));
        }
    }
}

#[tokio::test]
async fn a_token_is_taken_or_refused_in_two_steps() {
    let registry = AuthFixture::new();
    let auth = registry.auth();
    let step = first_step(&auth, SaslMechanism::OAuthBearer, &registry.bearer("alice", 3600)).await;
    let SaslStep::Authenticated { answer, name, lifetime: Some(life) } = step else { panic!("{step:?}") };
    assert_eq!((answer.len(), name.as_str()), (0, "alice"));
    assert!(!life.is_zero() && life <= Duration::from_secs(3600));

    let step = first_step(&auth, SaslMechanism::OAuthBearer, &registry.bearer("alice", -3600)).await;
    let SaslStep::Continue { answer, exchange } = step else { panic!("{step:?}") };
    assert_eq!(answer, br#"{"status":"invalid_token"}"#);
    assert_eq!(refused(advance(&auth, exchange, b"\x01").await), AuthFailure::Token("has expired"));

    let other = String::from_utf8(registry.bearer("alice", 3600)).unwrap().replace("n,,", "n,a=bob,");
    let SaslStep::Continue { exchange, .. } = first_step(&auth, SaslMechanism::OAuthBearer, other.as_bytes()).await
    else {
        panic!()
    };
    assert!(
        matches!(refused(advance(&auth, exchange, b"\x01").await), AuthFailure::Token(why) if why.contains("act for"))
    );
    let malformed = refused(first_step(&auth, SaslMechanism::OAuthBearer, b"n,,\x01\x01").await);
    assert!(matches!(malformed, AuthFailure::Malformed(SaslMechanism::OAuthBearer, _)));
}

#[tokio::test]
async fn the_length_of_a_token_is_obeyed() {
    let registry = AuthFixture::new();
    let mut token = b"\0alice\0".to_vec();
    token.resize(MAX_TOKEN, b'x');
    let failure = refused(first_step(&registry.auth(), SaslMechanism::Plain, &token).await);
    assert_eq!(failure, AuthFailure::Credentials(SaslMechanism::Plain), "it was read");
}

#[tokio::test]
async fn the_length_of_a_token_is_violated() {
    let registry = AuthFixture::new();
    for mechanism in registry.settings().mechanisms {
        let failure = refused(first_step(&registry.auth(), mechanism, &vec![b'x'; MAX_TOKEN + 1]).await);
        assert_eq!(failure, AuthFailure::Malformed(mechanism, "it is longer than 64 KiB"));
    }
}

#[tokio::test]
async fn a_new_password_counts_without_a_restart() {
    let registry = AuthFixture::new();
    let auth = registry.auth();
    let at = |seconds| SystemTime::now() + Duration::from_secs(seconds);
    auth.load_files(at(0)).unwrap();
    registry.put("alice", "changed");
    let token = Bytes::from_static(b"\0alice\0changed");
    let step = auth.advance(SaslExchange::begin(SaslMechanism::Plain), token, at(5)).await.unwrap();
    assert!(matches!(step, SaslStep::Authenticated { .. }), "{step:?}");
}

#[test]
fn files_that_are_not_there_are_named_with_the_remedy() {
    let registry = AuthFixture::new();
    let missing = AuthSettings { users: Some("no/such.toml".into()), ..registry.settings() };
    let error = Auth::new(missing).unwrap().load_files(SystemTime::now()).unwrap_err();
    assert!(error.contains("users file no/such.toml") && error.contains("barnabas user set"), "{error}");
    let oauth = Some(OAuthSettings { jwks: Path::new("no/keys.json").into(), ..requirements() });
    let error =
        Auth::new(AuthSettings { oauth, ..registry.settings() }).unwrap().load_files(SystemTime::now()).unwrap_err();
    assert!(error.contains("no/keys.json") && error.contains("jwks_uri"), "{error}");
}

#[test]
fn inconsistent_settings_are_refused() {
    let registry = AuthFixture::new();
    let check = |change: fn(&mut AuthSettings), words: &str| {
        let mut settings = registry.settings();
        change(&mut settings);
        let error = Auth::new(settings).unwrap_err();
        assert!(error.contains(words), "{error}");
    };
    check(|s| s.mechanisms.clear(), "`sasl.mechanisms` is empty");
    check(|s| s.mechanisms.push(SaslMechanism::Plain), "contains a mechanism twice");
    check(|s| s.users = None, "need `sasl.users`");
    check(|s| s.oauth = None, "needs `sasl.oauth`");
    check(|s| s.mechanisms.truncate(3), "`sasl.oauth` is for OAUTHBEARER");
    check(|s| s.mechanisms = vec![SaslMechanism::OAuthBearer], "`sasl.users` is for PLAIN and SCRAM");
    check(|s| s.max_session = Some(Duration::ZERO), "`sasl.max-session` is 0");
}

#[test]
fn the_delay_of_a_failure_is_obeyed() {
    let longest = AuthSettings { failure_delay: Duration::from_secs(10), ..AuthFixture::new().settings() };
    assert!(Auth::new(longest).is_ok());
}

#[test]
fn the_delay_of_a_failure_is_violated() {
    let longer = AuthSettings { failure_delay: Duration::from_millis(10_001), ..AuthFixture::new().settings() };
    assert!(Auth::new(longer).unwrap_err().contains("the maximum is 10s"));
}

#[tokio::test]
async fn concurrent_password_checks_are_limited() {
    let registry = AuthFixture::new();
    let auth = registry.auth();
    let turns =
        auth.password_checks.clone().acquire_many_owned(u32::try_from(max_concurrent_checks()).unwrap()).await.unwrap();
    let waiting = tokio::spawn({
        let auth = auth.clone();
        async move { first_step(&auth, SaslMechanism::Plain, b"\0alice\0secret").await }
    });
    // Enough time for the check, if it ran.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!waiting.is_finished(), "it waits for a permit");
    drop(turns);
    assert!(matches!(waiting.await.unwrap(), SaslStep::Authenticated { .. }));
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_a_password_check_is_obeyed() {
    let registry = AuthFixture::new();
    let auth = registry.auth();
    let turns =
        auth.password_checks.clone().acquire_many_owned(u32::try_from(max_concurrent_checks()).unwrap()).await.unwrap();
    tokio::spawn(async move {
        tokio::time::sleep(MAX_CHECK_WAIT - Duration::from_millis(1)).await;
        drop(turns);
    });
    assert!(matches!(
        first_step(&auth, SaslMechanism::Plain, b"\0alice\0secret").await,
        SaslStep::Authenticated { .. }
    ));
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_a_password_check_is_violated() {
    let registry = AuthFixture::new();
    let auth = registry.auth();
    let _turns =
        auth.password_checks.clone().acquire_many_owned(u32::try_from(max_concurrent_checks()).unwrap()).await.unwrap();
    let token = Bytes::from_static(b"\0alice\0secret");
    let fault = auth
        .advance(SaslExchange::begin(SaslMechanism::Plain), token, SystemTime::now())
        .await
        .expect_err("the wait is limited");
    assert!(fault.to_string().contains("did not start within 5s"), "{fault}");
}

#[tokio::test]
async fn only_plain_waits_for_a_password_check() {
    let registry = AuthFixture::new();
    let auth = registry.auth();
    let _turns =
        auth.password_checks.clone().acquire_many_owned(u32::try_from(max_concurrent_checks()).unwrap()).await.unwrap();
    for mechanism in [SaslMechanism::ScramSha256, SaslMechanism::ScramSha512] {
        assert!(matches!(scram(&auth, mechanism, "alice", "secret").await.0, SaslStep::Authenticated { .. }));
    }
    let step = first_step(&auth, SaslMechanism::OAuthBearer, &registry.bearer("alice", 3600)).await;
    assert!(matches!(step, SaslStep::Authenticated { .. }), "{step:?}");
}
