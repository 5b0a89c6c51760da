// The reducer of counter.ts in Rust, without `std` and without crates: it uses all of
// ../REDUCER_ABI.md that a reducer needs.
#![no_std]
#![no_main]

use core::arch::wasm32;

#[link(wasm_import_module = "arqon_room_v1")]
extern "C" {
    fn room_field(which: i32) -> *const u8;
    fn room_read(key: *const u8, key_length: usize) -> *const u8;
    fn room_write(key: *const u8, key_length: usize, value: *const u8, length: usize);
    fn room_delete(key: *const u8, key_length: usize);
    fn room_scan(
        prefix: *const u8,
        prefix_length: usize,
        after: *const u8,
        after_length: usize,
        most: i32,
    ) -> *const u8;
    fn room_emit(
        name: *const u8,
        name_length: usize,
        data: *const u8,
        length: usize,
        to: *const u8,
        to_length: usize,
    );
    fn room_answer(data: *const u8, length: usize);
    fn room_reject(code: i32, reason: *const u8, length: usize);
}

extern "C" {
    static __heap_base: u8;
}

/// First free byte of the memory for the host. Every command begins with this value.
static mut HEAP_END: usize = 0;

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    wasm32::unreachable()
}

/// ABI: makes the state with which every command begins. Memory that grows would cost the next one an instance.
#[no_mangle]
pub unsafe extern "C" fn arqon_init() {
    HEAP_END = &__heap_base as *const u8 as usize;
    wasm32::memory_grow(0, 1);
}

/// ABI: allocates `size` bytes for the host.
#[no_mangle]
pub unsafe extern "C" fn arqon_alloc(size: usize) -> *mut u8 {
    let start = (HEAP_END as u64 + 7) & !7;
    let end = start + size as u64;
    let have = (wasm32::memory_size(0) as u64) << 16;
    if end > have {
        let pages = ((end - have + 0xffff) >> 16) as usize;
        if wasm32::memory_grow(0, pages) == usize::MAX {
            return core::ptr::null_mut();
        }
    }
    HEAP_END = end as usize;
    start as usize as *mut u8
}

/// The bytes behind a length, as the host returns them; the same for the parts of a scan.
unsafe fn value(at: *const u8) -> &'static [u8] {
    let length = (at as *const u32).read_unaligned() as usize;
    core::slice::from_raw_parts(at.add(4), length)
}

fn reject(code: i32, reason: &[u8]) -> ! {
    unsafe { room_reject(code, reason.as_ptr(), reason.len()) };
    wasm32::unreachable()
}

/// Text that is put together.
struct Text {
    bytes: [u8; 512],
    length: usize,
}

impl Text {
    fn of(parts: &[&[u8]]) -> Text {
        let mut text = Text { bytes: [0; 512], length: 0 };
        for part in parts {
            for byte in *part {
                if text.length < text.bytes.len() {
                    text.bytes[text.length] = *byte;
                    text.length += 1;
                }
            }
        }
        text
    }

    fn number(number: i64) -> Text {
        let mut digits = [0u8; 20];
        let mut at = digits.len();
        let mut left = number.unsigned_abs();
        loop {
            at -= 1;
            digits[at] = b'0' + (left % 10) as u8;
            left /= 10;
            if left == 0 {
                break;
            }
        }
        let sign: &[u8] = if number < 0 { b"-" } else { b"" };
        Text::of(&[sign, &digits[at..]])
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// The number in decimal digits, with an optional sign.
fn parse(text: &[u8]) -> i64 {
    let (negative, digits) = match text.first() {
        Some(b'-') => (true, &text[1..]),
        _ => (false, text),
    };
    let mut number: i64 = 0;
    for byte in digits {
        number = number.wrapping_mul(10).wrapping_add((*byte - b'0') as i64);
    }
    if negative {
        number.wrapping_neg()
    } else {
        number
    }
}

fn whole_number(text: &[u8]) -> i64 {
    let first = usize::from(text.first() == Some(&b'-'));
    let digits = &text[first..];
    if digits.is_empty() || digits.len() > 18 || digits.iter().any(|one| !one.is_ascii_digit()) {
        reject(400, b"expected a whole number of at most 18 digits");
    }
    parse(text)
}

/// Adds to the number under a key, and returns the sum.
unsafe fn add_to(key: &[u8], number: i64) -> Text {
    let found = room_read(key.as_ptr(), key.len());
    let before = if found.is_null() { 0 } else { parse(value(found)) };
    let total = Text::number(before.wrapping_add(number));
    let bytes = total.as_bytes();
    room_write(key.as_ptr(), key.len(), bytes.as_ptr(), bytes.len());
    total
}

unsafe fn emit(name: &[u8], data: &[u8]) {
    room_emit(name.as_ptr(), name.len(), data.as_ptr(), data.len(), name.as_ptr(), 0);
}

unsafe fn add() {
    let number = whole_number(value(room_field(1)));
    let total = add_to(b"total", number);
    add_to(Text::of(&[b"user/", value(room_field(2))]).as_bytes(), number);
    emit(b"counted", total.as_bytes());
    room_answer(total.as_bytes().as_ptr(), total.length);
}

unsafe fn reset() {
    if value(room_field(3)) != b"admin" {
        reject(403, b"only an admin resets");
    }
    let prefix = b"user/";
    let mut rest = value(room_scan(prefix.as_ptr(), prefix.len(), prefix.as_ptr(), 0, 1_000));
    while !rest.is_empty() {
        let key = value(rest.as_ptr());
        let count = value(rest[4 + key.len()..].as_ptr());
        room_delete(key.as_ptr(), key.len());
        rest = &rest[8 + key.len() + count.len()..];
    }
    room_delete(b"total".as_ptr(), 5);
    emit(b"reset", b"");
}

/// ABI: a command.
#[no_mangle]
pub unsafe extern "C" fn arqon_apply() -> i32 {
    match value(room_field(0)) {
        b"add" => add(),
        b"reset" => reset(),
        name => reject(404, Text::of(&[b"no command ", name]).as_bytes()),
    }
    0
}
