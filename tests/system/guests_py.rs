//! A receiver in Python, and the documentation page on writing one. Both need Python with pip, so `cargo xtask test
//! guests-py` runs these tests, and the plain test run reports them as skipped.

use barnabas_tests::languages;

use super::languages as any;

async fn component() -> &'static std::path::Path {
    tokio::task::spawn_blocking(languages::python).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python with pip: cargo xtask test guests-py"]
async fn every_outcome_is_typed_and_an_exception_is_reported() {
    let traceback = ["Traceback (most recent call last):", "in fail", "ValueError: broken on purpose"];
    any::every_outcome_is_typed_and_an_exception_is_told(component().await, &traceback).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python with pip: cargo xtask test guests-py"]
async fn rejected_settings_abort_its_start() {
    any::settings_that_it_refuses_end_its_start(component().await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python with pip: cargo xtask test guests-py"]
async fn simulated_clients_lose_nothing() {
    any::simulated_clients_lose_nothing(component().await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python with pip: cargo xtask test guests-py"]
async fn the_page_produces_working_receivers() {
    any::the_page_leads_to_receivers_that_serve("docs/python.md", &languages::componentize_py()).await;
}
