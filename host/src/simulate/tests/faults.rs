//! A fleet that cannot push is a fault by its name, however quietly the broker keeps it from that.

use super::*;

/// Reads requests and answers all but those with this key, which hang.
async fn hanging_proxy(door: SocketAddr, key: u8) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(answer_except(client, door, key));
        }
    });
    address
}

async fn answer_except(mut client: TcpStream, door: SocketAddr, key: u8) -> std::io::Result<()> {
    let mut behind = TcpStream::connect(door).await?;
    loop {
        let request = frame(&mut client).await?;
        if request[4..6] == [0, key] {
            // Until the client has had enough.
            return client.read_u8().await.map(|_| ());
        }
        behind.write_all(&request).await?;
        client.write_all(&frame(&mut behind).await?).await?;
    }
}

#[tokio::test]
async fn clients_that_are_not_offered_telemetry() {
    let door = start_listener(Arc::new(RecordedIntake { offers: false, ..RecordedIntake::new() }), |_| ()).await;
    let report = play(options(&door, 8)).await;
    assert_eq!((report.not_offered, report.gets, report.pushes), (8, 0, 0), "{report}");
    let silent: Vec<u64> = ClientKind::ALL.iter().map(|kind| report.kinds[&kind.to_string()].silent).collect();
    assert_eq!(silent, [0, 0, 2, 0], "newer Java finds out when it is closed, at the latest");
    assert!(report.fault.unwrap().contains("8 client(s) were not offered telemetry"));
}

#[tokio::test]
async fn requests_that_hang() {
    for key in [71, 72] {
        let door = start_listener(Arc::new(RecordedIntake::new()), |_| ()).await;
        let bootstrap = hanging_proxy(door.address, key).await.to_string();
        let request_timeout = Duration::from_secs(3);
        // They lose patience after the run is over, which waits for it.
        let kinds = vec![ClientKind::Java42, ClientKind::Librdkafka];
        let report = play(SimulationOptions { bootstrap, request_timeout, kinds, ..options(&door, 4) }).await;
        assert_eq!((report.unanswered, report.pushes, report.unfinished), (4, 0, 0), "{key}: {report}");
        assert!(report.fault.unwrap().contains("4 request(s) were never answered"));
    }
}

#[tokio::test]
async fn connections_that_hang() {
    let door = start_listener(Arc::new(RecordedIntake::new()), |_| ()).await;
    // It answers who asks only whether anybody is there, and no Metadata.
    let bootstrap = hanging_proxy(door.address, 3).await.to_string();
    let report =
        play(SimulationOptions { bootstrap, request_timeout: Duration::from_secs(1), ..options(&door, 4) }).await;
    assert_eq!((report.never_connected, report.unfinished), (4, 0), "{report}");
    assert!(report.fault.unwrap().contains("4 client(s) never had a connection"));
}

#[tokio::test]
async fn clients_that_are_refused_throughout() {
    let throttled = Refusal::TooSoon { interval_ms: 100 };
    let door =
        start_listener(Arc::new(RecordedIntake { get_refusal: Some(throttled), ..RecordedIntake::new() }), |_| ())
            .await;
    let report = play(options(&door, 8)).await;
    assert_eq!((report.never_told, report.never_taken, report.silent), (8, 0, 0), "{report}");
    assert!(report.fault.unwrap().contains("8 client(s) were refused whenever they asked"));
}

#[tokio::test]
async fn clients_of_which_no_push_is_taken() {
    let push_refusal = Some(Refusal::TooLarge("so".into()));
    let door = start_listener(Arc::new(RecordedIntake { push_refusal, ..RecordedIntake::new() }), |_| ()).await;
    let report = play(options(&door, 8)).await;
    assert_eq!((report.never_taken, report.never_told, report.silent), (8, 0, 0), "{report}");
    assert!(report.fault.unwrap().contains("8 client(s) were told of metrics and no push of theirs was taken"));
}

#[tokio::test]
async fn clients_whose_first_push_is_not_due_yet_are_no_fault() {
    let door =
        start_listener(Arc::new(RecordedIntake { interval: Duration::from_secs(60), ..RecordedIntake::new() }), |_| ())
            .await;
    // Older Java says last words also when nothing was due.
    let report = play(SimulationOptions { kinds: vec![ClientKind::Librdkafka], ..options(&door, 4) }).await;
    assert_eq!((report.fault, report.never_taken), (None, 0));
}

#[tokio::test]
async fn a_panic_of_our_own() {
    let options = SimulationOptions::new("", 1);
    let (tally, mut tasks) = (RunCounters::new(&options), JoinSet::new());
    tasks.spawn(async { panic!("on purpose") });
    tasks.spawn(async {});
    join_all(&mut tasks, &tally).await;
    let report = SimulationReport::new(&options, &tally, Duration::from_secs(1), 0);
    assert!(report.fault.unwrap().contains("1 connection(s) of this program panicked"));
}
