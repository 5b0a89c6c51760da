// What may become of the counter of counter.ts, in Rust with the SDK of ../reducer_sdk/rust: it counts for all only,
// under "sum". Its migration takes over what the counter has counted, and forgets who did. tally.schema.json is its
// schema.
use arqon_reducer::{
    emit, read, read_number, reducer, reject, remove, scan, whole_number, write_number, Command,
};

/// What is removed at once.
const PAGE: usize = 200;

fn take_over(_from: &str) {
    match read("total") {
        Some(total) => write_number("sum", whole_number(&total)),
        None => reject("nothing was counted", 409),
    }
    remove("total");
    loop {
        let found = scan("user/", "", PAGE as i32);
        found.iter().for_each(|entry| remove(&entry.key));
        if found.len() < PAGE {
            break;
        }
    }
    emit("taken-over", &read_number("sum", 0).to_string(), "");
}

fn add(c: &Command) {
    let sum = read_number("sum", 0) + c.number();
    write_number("sum", sum);
    emit("counted", &sum.to_string(), "");
    c.answer(&sum.to_string());
}

reducer! {
    schema: "tally.schema.json",
    migrate: take_over,
    "add" => add,
}
