// The reducer of quota.ts in Rust, with the SDK of ../reducer_sdk/rust.
use arqon_reducer::{
    emit, read, reducer, reject, remove, scan, schedule, whole_number, write, Command,
};

const MINUTE_MS: i64 = 60_000;
/// The most entries removed at once: each costs fuel.
const SWEPT: usize = 200;

fn limit_of(c: &Command) -> i64 {
    match c.claim("plan").as_deref() {
        Some("pro") => 1_000,
        _ => 100,
    }
}

/// What a value "MINUTE USED" says of this minute: those of others count as nothing.
fn used_in(minute: i64, value: Option<String>) -> i64 {
    let value = value.unwrap_or_default();
    match value.split_once(' ') {
        Some((of, used)) if whole_number(of) == minute => whole_number(used),
        _ => 0,
    }
}

/// Has the room check all users at the end of the minute; a timer is at least 10 ms after now.
fn sweep_after(now_ms: i64) {
    let over_ms = (now_ms / MINUTE_MS + 1) * MINUTE_MS;
    schedule("sweep", over_ms.max(now_ms + 10), "sweep", "");
}

fn take(c: &Command) {
    let amount = c.number();
    if amount < 1 {
        reject("expected 1 or more", 400);
    }
    let key = format!("used/{}", c.user());
    let minute = c.now_ms() / MINUTE_MS;
    let used = used_in(minute, read(&key));
    let limit = limit_of(c);
    if used + amount > limit {
        let left = (limit - used).max(0);
        reject(
            &format!("{} of {} are left in this minute", left, limit),
            429,
        );
    }
    write(&key, &format!("{} {}", minute, used + amount));
    sweep_after(c.now_ms());
    if used + amount == limit {
        emit("used-up", &c.user(), "role:admin");
    }
    c.answer(&(limit - used - amount).to_string());
}

fn left(c: &Command) {
    let used = used_in(c.now_ms() / MINUTE_MS, read(&format!("used/{}", c.user())));
    c.answer(&(limit_of(c) - used).to_string());
}

/// Whoever has taken nothing in this minute is forgotten.
fn sweep(c: &Command) {
    if !c.is_timer() {
        reject("the room does that", 403);
    }
    let minute = c.now_ms() / MINUTE_MS;
    let after = c.text();
    let found = scan("used/", &after, SWEPT as i32);
    let mut kept = 0;
    for entry in &found {
        if used_in(minute, Some(entry.text())) > 0 {
            kept += 1;
        } else {
            remove(&entry.key);
        }
    }
    if found.len() == SWEPT {
        schedule("page", c.now_ms() + 10, "sweep", &found[SWEPT - 1].key);
    } else if kept > 0 || !after.is_empty() {
        sweep_after(c.now_ms());
    }
}

reducer! { "take" => take, "left" => left, "sweep" => sweep }
