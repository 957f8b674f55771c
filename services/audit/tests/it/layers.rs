//! The walls between the layers: which crates each may use.

use coffre_test_support::house;

#[test]
fn each_layer_uses_what_is_its_own() {
    house::assert_doors_closed(
        env!("CARGO_MANIFEST_DIR"),
        &[("domain", &["tonic", "prost", "diesel", "axum"][..]), ("api", &["diesel"][..]), ("store", &["tonic"][..])],
    );
}
