//! Model.
#[test]
fn x() {}
