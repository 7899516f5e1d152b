//! A receiver in Python, and the page that tells how to write one. They need Python with pip, so `cargo xtask test
//! guests-py` runs them, and the plain tests say that they were skipped.

use barnabas_tests::languages;

use super::languages as any;

async fn component() -> &'static std::path::Path {
    tokio::task::spawn_blocking(languages::python).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python with pip: cargo xtask test guests-py"]
async fn every_outcome_is_typed_and_an_exception_is_told() {
    let traceback = ["Traceback (most recent call last):", "in fail", "ValueError: broken on purpose"];
    any::every_outcome_is_typed_and_an_exception_is_told(component().await, &traceback).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python with pip: cargo xtask test guests-py"]
async fn settings_that_it_refuses_end_its_start() {
    any::settings_that_it_refuses_end_its_start(component().await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python with pip: cargo xtask test guests-py"]
async fn simulated_clients_lose_nothing() {
    any::simulated_clients_lose_nothing(component().await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python with pip: cargo xtask test guests-py"]
async fn the_page_leads_to_receivers_that_serve() {
    any::the_page_leads_to_receivers_that_serve("docs/python.md", &languages::componentize_py()).await;
}
