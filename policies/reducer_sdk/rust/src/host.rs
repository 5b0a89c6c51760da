// The imports of the ABI, and values as the host returns them. See ../../../REDUCER_ABI.md. Reducers do not call
// these; lib.rs has what they need.
use alloc::string::String;
use alloc::vec::Vec;

#[link(wasm_import_module = "arqon_room_v1")]
extern "C" {
    pub fn room_field(which: i32) -> *const u8;
    pub fn room_claim(name: *const u8, length: usize) -> *const u8;
    pub fn room_now() -> i64;
    pub fn room_offset() -> i64;
    pub fn room_random() -> i64;
    pub fn room_read(key: *const u8, length: usize) -> *const u8;
    pub fn room_write(key: *const u8, key_length: usize, value: *const u8, length: usize);
    pub fn room_delete(key: *const u8, length: usize);
    pub fn room_scan(
        prefix: *const u8,
        prefix_length: usize,
        after: *const u8,
        after_length: usize,
        most: i32,
    ) -> *const u8;
    pub fn room_emit(
        name: *const u8,
        name_length: usize,
        data: *const u8,
        data_length: usize,
        to: *const u8,
        to_length: usize,
    );
    pub fn room_answer(data: *const u8, length: usize);
    pub fn room_schedule(
        key: *const u8,
        key_length: usize,
        at_ms: i64,
        name: *const u8,
        name_length: usize,
        data: *const u8,
        data_length: usize,
    );
    pub fn room_unschedule(key: *const u8, length: usize);
    pub fn room_log(level: i32, text: *const u8, length: usize);
    pub fn room_reject(code: i32, reason: *const u8, length: usize);
}

/// The bytes behind a length; the same for the parts of a scan. They live as long as the command.
///
/// # Safety
/// `at` is a pointer from the host, or into such a value, and not null.
pub unsafe fn bytes_at(at: *const u8) -> &'static [u8] {
    let length = (at as *const u32).read_unaligned() as usize;
    core::slice::from_raw_parts(at.add(4), length)
}

/// The same; nothing if the value is absent.
pub fn found_at(at: *const u8) -> Option<Vec<u8>> {
    if at.is_null() {
        return None;
    }
    // SAFETY: the host has just returned it.
    Some(unsafe { bytes_at(at) }.to_vec())
}

/// Bytes as text; bytes that are not UTF-8 become U+FFFD.
pub fn text_of(bytes: Vec<u8>) -> String {
    match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    }
}
