//! The guest SDK of reducers in Rust: a program that is a room. A room's state is in its values; every command
//! begins with the initial memory of the module. The ABI below it is in `policies/REDUCER_ABI.md`.
//!
//! ```ignore
//! use arqon_reducer::{emit, read_number, reducer, reject, write_number, Command};
//!
//! fn add(c: &Command) {
//!     let total = read_number("total", 0) + c.number();
//!     if total < 0 {
//!         reject("not below zero", 409);
//!     }
//!     write_number("total", total);
//!     emit("counted", &total.to_string(), "");
//!     c.answer(&total.to_string());
//! }
//!
//! reducer! { "add" => add }
//! ```
//!
//! `migrate:` names a function that migrates a room from another module; `schema:` names a file with the commands
//! that users may send:
//!
//! ```ignore
//! fn take_over(_from: &str) {
//!     write_number("sum", read_number("total", 0));
//!     remove("total");
//! }
//!
//! reducer! {
//!     schema: "counter.schema.json",
//!     migrate: take_over,
//!     "add" => add,
//! }
//! ```
#![no_std]

extern crate alloc;

mod command;
mod host;

pub use command::Command;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Memory that a reducer reserves for its commands: growing it costs the next one a new instance.
const WORKING_BYTES: usize = 65_536;

/// Maps commands to functions, once in a program: `reducer! { "add" => add, "reset" => reset }`. Each
/// takes a `&Command`; the command is applied when it returns. A name that is not here is rejected with 404.
///
/// `schema: "FILE",` before them puts a schema of the room into the module, from a file beside the source. Then
/// `migrate: function,` names the migration of a room from another module: it runs once, before the first command of
/// this module, and takes the SHA-256 of the other one, in hex, as a `&str`.
#[macro_export]
macro_rules! reducer {
    (
        $(schema: $schema:literal,)?
        $(migrate: $migrate:path,)?
        $($name:literal => $handler:path),+ $(,)?
    ) => {
        $(
            #[cfg(target_arch = "wasm32")]
            #[link_section = "arqon_schema"]
            #[used]
            static ARQON_SCHEMA: [u8; include_bytes!($schema).len()] = *include_bytes!($schema);
        )?

        $(
            /// ABI: the room had another module.
            #[no_mangle]
            pub extern "C" fn arqon_migrate() -> i32 {
                $migrate(&$crate::Command::of_now().text());
                0
            }
        )?

        /// ABI: makes the state with which every command begins.
        #[no_mangle]
        pub extern "C" fn arqon_init() {
            $crate::begin();
        }

        /// ABI: allocates `size` bytes for the host. They are valid until the command ends.
        #[no_mangle]
        pub extern "C" fn arqon_alloc(size: usize) -> *mut u8 {
            $crate::give(size)
        }

        /// ABI: a command, or a timer.
        #[no_mangle]
        pub extern "C" fn arqon_apply() -> i32 {
            let command = $crate::Command::of_now();
            match command.name().as_str() {
                $($name => $handler(&command),)+
                other => $crate::reject_unknown(other),
            }
            0
        }
    };
}

#[doc(hidden)]
pub fn begin() {
    drop(Vec::<u8>::with_capacity(WORKING_BYTES));
}

#[doc(hidden)]
pub fn give(size: usize) -> *mut u8 {
    match alloc::alloc::Layout::from_size_align(size.max(1), 8) {
        // SAFETY: the size is not 0. In the ABI, null means "no memory".
        Ok(layout) => unsafe { alloc::alloc::alloc(layout) },
        Err(_) => core::ptr::null_mut(),
    }
}

#[doc(hidden)]
pub fn reject_unknown(name: &str) -> ! {
    reject(&format!("no command {}", name), 404)
}

/// Refuses the command and ends it at once: its writes are discarded. `reason` is shown to the sender (512
/// bytes at most); `code` is 400 to 599 and means what HTTP means by it.
pub fn reject(reason: &str, code: i32) -> ! {
    unsafe { host::room_reject(code, reason.as_ptr(), reason.len()) };
    unreachable!()
}

/// A whole number of at most 18 digits, perhaps with a minus. Anything else is rejected with 400.
pub fn whole_number(text: &str) -> i64 {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_one =
        !digits.is_empty() && digits.len() <= 18 && digits.bytes().all(|one| one.is_ascii_digit());
    match text.parse() {
        Ok(number) if is_one => number,
        _ => reject("expected a whole number of at most 18 digits", 400),
    }
}

/// The value of a key as bytes.
pub fn read_bytes(key: &str) -> Option<Vec<u8>> {
    host::found_at(unsafe { host::room_read(key.as_ptr(), key.len()) })
}

/// The value of a key as text.
pub fn read(key: &str) -> Option<String> {
    read_bytes(key).map(host::text_of)
}

/// The value of a key as a whole number; `otherwise` if there is none.
pub fn read_number(key: &str, otherwise: i64) -> i64 {
    read(key).map_or(otherwise, |text| whole_number(&text))
}

/// Writes bytes as the value of a key.
pub fn write_bytes(key: &str, value: &[u8]) {
    unsafe { host::room_write(key.as_ptr(), key.len(), value.as_ptr(), value.len()) }
}

/// Writes a text as the value of a key.
pub fn write(key: &str, value: &str) {
    write_bytes(key, value.as_bytes());
}

/// Writes a whole number as the value of a key.
pub fn write_number(key: &str, value: i64) {
    write(key, &value.to_string());
}

/// Deletes the value of a key.
pub fn remove(key: &str) {
    unsafe { host::room_delete(key.as_ptr(), key.len()) }
}

/// A value and its key.
pub struct Entry {
    pub key: String,
    pub value: Vec<u8>,
}

impl Entry {
    /// The value as text; bytes that are not UTF-8 become U+FFFD.
    pub fn text(&self) -> String {
        host::text_of(self.value.clone())
    }
}

/// The values whose keys begin with `prefix`, in the order of their keys, above the key `after`; at most `most`, and
/// at most 65,536 bytes of them, but at least one.
pub fn scan(prefix: &str, after: &str, most: i32) -> Vec<Entry> {
    let found = unsafe {
        host::room_scan(
            prefix.as_ptr(),
            prefix.len(),
            after.as_ptr(),
            after.len(),
            most,
        )
    };
    // SAFETY: the host returns entries, each a length, a key, a length and a value.
    let mut rest = unsafe { host::bytes_at(found) };
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let key = unsafe { host::bytes_at(rest.as_ptr()) };
        let value = unsafe { host::bytes_at(rest[4 + key.len()..].as_ptr()) };
        entries.push(Entry {
            key: host::text_of(key.to_vec()),
            value: value.to_vec(),
        });
        rest = &rest[8 + key.len() + value.len()..];
    }
    entries
}

/// Publishes an event: to everybody in the room when `to` is "", else to `user:ID` or `role:NAME` only.
pub fn emit(name: &str, data: &str, to: &str) {
    let (data, to) = (data.as_bytes(), to.as_bytes());
    unsafe {
        host::room_emit(
            name.as_ptr(),
            name.len(),
            data.as_ptr(),
            data.len(),
            to.as_ptr(),
            to.len(),
        );
    }
}

/// Schedules a command, and replaces the one queued under the same key.
pub fn schedule(key: &str, at_ms: i64, command: &str, data: &str) {
    let (name, data) = (command.as_bytes(), data.as_bytes());
    unsafe {
        host::room_schedule(
            key.as_ptr(),
            key.len(),
            at_ms,
            name.as_ptr(),
            name.len(),
            data.as_ptr(),
            data.len(),
        );
    }
}

/// Cancels the command queued under a key.
pub fn unschedule(key: &str) {
    unsafe { host::room_unschedule(key.as_ptr(), key.len()) }
}

/// Writes a line to the log for the operator of the room.
pub fn log(message: &str) {
    unsafe { host::room_log(1, message.as_ptr(), message.len()) }
}

/// A text as JSON has it, with its quotes.
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for one in text.chars() {
        match one {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(one);
            }
            '\0'..='\x1f' => quoted.push_str(&format!("\\u{:04x}", one as u32)),
            _ => quoted.push(one),
        }
    }
    quoted.push('"');
    quoted
}
