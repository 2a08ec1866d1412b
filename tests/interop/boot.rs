//! First contact of an operator: the service, the configuration, the first start.

/// The unit that the page shows is the file that is delivered.
#[test]
fn the_page_shows_the_systemd_unit() {
    let page = include_str!("../../docs/operator/service.md");
    let shown = page.split("```ini\n").nth(1).unwrap().split("```").next().unwrap();
    assert_eq!(shown, include_str!("../../packaging/estd.service"));
}
