#[test]
fn x() {}

mod bearer;
mod layers;
