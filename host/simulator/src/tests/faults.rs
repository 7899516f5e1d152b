//! A fleet that cannot push is reported as a fault, even if the broker returns no error.

use super::*;

/// A proxy that never responds to requests with this API key.
async fn hanging_proxy(host: SocketAddr, key: u8) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(answer_except(client, host, key));
        }
    });
    address
}

async fn answer_except(mut client: TcpStream, host: SocketAddr, key: u8) -> std::io::Result<()> {
    let mut behind = TcpStream::connect(host).await?;
    loop {
        let request = frame(&mut client).await?;
        if request[4..6] == [0, key] {
            // Until the client closes the connection.
            return client.read_u8().await.map(|_| ());
        }
        behind.write_all(&request).await?;
        client.write_all(&frame(&mut behind).await?).await?;
    }
}

#[tokio::test]
async fn clients_that_are_not_offered_telemetry() {
    let listener = start_listener(Arc::new(RecordedIntake { offers: false, ..RecordedIntake::new() }), |_| ()).await;
    let report = play(options(&listener, 8)).await;
    assert_eq!((report.not_offered, report.gets, report.pushes), (8, 0, 0), "{report}");
    let silent: Vec<u64> = ClientKind::ALL.iter().map(|kind| report.kinds[&kind.to_string()].silent).collect();
    assert_eq!(silent, [0, 0, 2, 0], "newer Java clients notice it at the latest when they are closed");
    assert!(report.fault.unwrap().contains("8 clients without an offer of telemetry"));
}

#[tokio::test]
async fn requests_that_hang() {
    for key in [71, 72] {
        let listener = start_listener(Arc::new(RecordedIntake::new()), |_| ()).await;
        let bootstrap = hanging_proxy(listener.address, key).await.to_string();
        let request_timeout = Duration::from_secs(3);
        // The requests time out after the end of the run, which waits for that.
        let kinds = vec![ClientKind::Java42, ClientKind::Librdkafka];
        let report = play(SimulationOptions { bootstrap, request_timeout, kinds, ..options(&listener, 4) }).await;
        assert_eq!((report.unanswered, report.pushes, report.unfinished), (4, 0, 0), "{key}: {report}");
        assert!(report.fault.unwrap().contains("4 requests without a response"));
    }
}

#[tokio::test]
async fn connections_that_hang() {
    let listener = start_listener(Arc::new(RecordedIntake::new()), |_| ()).await;
    // ApiVersions succeeds, so the check for a broker passes, but Metadata hangs.
    let bootstrap = hanging_proxy(listener.address, 3).await.to_string();
    let report =
        play(SimulationOptions { bootstrap, request_timeout: Duration::from_secs(1), ..options(&listener, 4) }).await;
    assert_eq!((report.never_connected, report.unfinished), (4, 0), "{report}");
    assert!(report.fault.unwrap().contains("4 clients never had a connection"));
}

#[tokio::test]
async fn clients_that_never_get_a_subscription() {
    let throttled = Refusal::TooSoon { interval_ms: 100 };
    let listener =
        start_listener(Arc::new(RecordedIntake { get_refusal: Some(throttled), ..RecordedIntake::new() }), |_| ())
            .await;
    let report = play(options(&listener, 8)).await;
    assert_eq!((report.never_subscribed, report.never_accepted, report.silent), (8, 0, 0), "{report}");
    assert!(report.fault.unwrap().contains("8 clients never got a subscription"));
}

#[tokio::test]
async fn clients_without_an_accepted_push() {
    let push_refusal = Some(Refusal::TooLarge("so".into()));
    let listener = start_listener(Arc::new(RecordedIntake { push_refusal, ..RecordedIntake::new() }), |_| ()).await;
    let report = play(options(&listener, 8)).await;
    assert_eq!((report.never_accepted, report.never_subscribed, report.silent), (8, 0, 0), "{report}");
    assert!(report.fault.unwrap().contains("8 clients got a subscription, but never had a push accepted"));
}

#[tokio::test]
async fn clients_whose_first_push_is_not_due_yet_are_no_fault() {
    let listener =
        start_listener(Arc::new(RecordedIntake { interval: Duration::from_secs(60), ..RecordedIntake::new() }), |_| ())
            .await;
    // Older Java clients send a terminating push even if no push was due.
    let report = play(SimulationOptions { kinds: vec![ClientKind::Librdkafka], ..options(&listener, 4) }).await;
    assert_eq!((report.fault, report.never_accepted), (None, 0));
}

#[tokio::test]
async fn a_panic_of_the_simulator() {
    let options = SimulationOptions::new("", 1);
    let (tally, mut tasks) = (RunCounters::new(&options), JoinSet::new());
    tasks.spawn(async { panic!("on purpose") });
    tasks.spawn(async {});
    join_all(&mut tasks, &tally).await;
    let report = SimulationReport::new(&options, &tally, Duration::from_secs(1), 0);
    assert!(report.fault.unwrap().contains("1 connection task panicked"));
}
