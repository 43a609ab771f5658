//! Rebuilds the crate when a migration is added: `sqlx::migrate!` embeds the
//! files, but cargo does not know of the directory.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
