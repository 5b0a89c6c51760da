// The policy of bad_words.ts in Rust, without `std` and without crates. The algorithm and the layout
// of the table are those of ../sdk/words.ts.
#![no_std]
#![no_main]

use core::arch::wasm32;

const TABLE: &[u8] = include_bytes!("../sdk/fold_table.bin");
const REASON: &str = "a word in this message is not allowed";

/// In their folded form. A new one must be folded by hand, or written in bad_words.ts.
const WORDS: [&[u8]; 6] = [
    b"malware",
    b"phishing",
    b"ransomware",
    b"schadling",
    "вирус".as_bytes(),
    "ウイルス".as_bytes(),
];

#[link(wasm_import_module = "arqon_host_v1")]
extern "C" {
    fn host_get_payload() -> *const u8;
    fn host_reject(code: i32, reason: *const u8, length: usize);
}

extern "C" {
    static __heap_base: u8;
}

/// First free byte of the memory for the host; all of it is free again at each call.
static mut HEAP_END: usize = 0;

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    wasm32::unreachable()
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
            wasm32::unreachable();
        }
    }
    HEAP_END = end as usize;
    start as usize as *mut u8
}

/// Whether a word ends with this byte.
const ENDS_WORD: [bool; 256] = {
    let mut table = [false; 256];
    let mut index = 0;
    while index < WORDS.len() {
        table[WORDS[index][WORDS[index].len() - 1] as usize] = true;
        index += 1;
    }
    table
};

/// The folded form of an ASCII byte that ends no word and begins no escape; 0 for all others.
const PLAIN: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 0x80 {
        let folded = (byte as u8).to_ascii_lowercase();
        if byte != b'\\' as usize && !ENDS_WORD[folded as usize] {
            table[byte] = folded;
        }
        byte += 1;
    }
    table
};

/// The last 64 folded bytes; no word is longer.
struct Finder {
    window: [u8; 64],
    count: usize,
    found: bool,
}

impl Finder {
    fn new() -> Finder {
        Finder { window: [0; 64], count: 0, found: false }
    }

    /// Takes the bytes at the start of `text` that end no word and begin no escape; returns their number.
    /// They are counted in a local: memory costs more fuel than arithmetic.
    fn push_plain(&mut self, text: &[u8]) -> usize {
        let before = self.count;
        let mut count = before;
        for byte in text {
            let plain = PLAIN[*byte as usize];
            if plain == 0 {
                break;
            }
            self.window[count & 63] = plain;
            count += 1;
        }
        self.count = count;
        count - before
    }

    fn push(&mut self, byte: u8) {
        self.window[self.count & 63] = byte;
        self.count += 1;
        if ENDS_WORD[byte as usize] {
            self.found |= WORDS.iter().any(|word| self.ends_with(word));
        }
    }

    fn ends_with(&self, word: &[u8]) -> bool {
        if self.count < word.len() {
            return false;
        }
        let start = self.count - word.len();
        word.iter().enumerate().all(|(index, byte)| self.window[(start + index) & 63] == *byte)
    }

    /// A code point as UTF-8, unfolded; also those that are no valid `char`.
    fn push_point(&mut self, point: u32) {
        let more = match point {
            0..=0x7f => return self.push((point as u8).to_ascii_lowercase()),
            0x80..=0x7ff => 1,
            0x800..=0xffff => 2,
            _ => 3,
        };
        let mark = [0xc0, 0xe0, 0xf0][more - 1];
        self.push((mark | point >> (6 * more)) as u8);
        for left in (0..more).rev() {
            self.push((0x80 | (point >> (6 * left) & 0x3f)) as u8);
        }
    }

    fn push_folded(&mut self, point: u32) {
        if (0xe0000..0xe1000).contains(&point) {
            return;
        }
        match folded_form(point) {
            Some(form) => form.iter().for_each(|byte| self.push(*byte)),
            None => self.push_point(point),
        }
    }
}

fn u32_at(at: usize) -> usize {
    u32::from_le_bytes([TABLE[at], TABLE[at + 1], TABLE[at + 2], TABLE[at + 3]]) as usize
}

fn folded_form(point: u32) -> Option<&'static [u8]> {
    let point = point as usize;
    if point < 0x80 || point >= u32_at(0) {
        return None;
    }
    let cell = u32_at(4) + TABLE[12 + (point >> 6)] as usize * 128 + (point & 63) * 2;
    let form = u16::from_le_bytes([TABLE[cell], TABLE[cell + 1]]) as usize;
    if form == 0 {
        return None;
    }
    let start = u32_at(8) + form;
    Some(&TABLE[start + 1..start + 1 + TABLE[start] as usize])
}

/// Value of the escape `\uXXXX` at the start of `text`.
fn unit_at(text: &[u8]) -> Option<u32> {
    if text.len() < 6 || text[0] != b'\\' || text[1] != b'u' {
        return None;
    }
    let mut unit = 0;
    for byte in &text[2..6] {
        unit = unit << 4 | (*byte as char).to_digit(16)?;
    }
    Some(unit)
}

/// A backslash and what belongs to it: the code point that it stands for and its size in bytes.
fn read_escape(text: &[u8]) -> (u32, usize) {
    match (unit_at(text), unit_at(text.get(6..).unwrap_or(&[]))) {
        (None, _) if text.get(1) == Some(&b'\\') => ('\\' as u32, 2),
        (None, _) => ('\\' as u32, 1),
        (Some(high), Some(low)) if high & 0xfc00 == 0xd800 && low & 0xfc00 == 0xdc00 => {
            (0x10000 + ((high & 0x3ff) << 10) + (low & 0x3ff), 12)
        }
        (Some(unit), _) => (unit, 6),
    }
}

/// A code point beyond ASCII and its size; a byte that is not UTF-8 counts as U+FFFD.
fn read_point(text: &[u8]) -> (u32, usize) {
    let lead = text[0] as u32;
    let more = match lead {
        0xc2..=0xdf => 1,
        0xe0..=0xef => 2,
        0xf0..=0xf4 => 3,
        _ => return (0xfffd, 1),
    };
    if text.len() <= more {
        return (0xfffd, 1);
    }
    let mut point = lead & (0x3f >> more);
    for byte in &text[1..=more] {
        if byte & 0xc0 != 0x80 {
            return (0xfffd, 1);
        }
        point = point << 6 | (*byte as u32 & 0x3f);
    }
    (point, more + 1)
}

fn has_word(mut text: &[u8]) -> bool {
    let mut finder = Finder::new();
    loop {
        text = &text[finder.push_plain(text)..];
        let first = match text.first() {
            Some(first) => first,
            None => return false,
        };
        let (point, size) = match first {
            b'\\' => read_escape(text),
            0..=0x7f => (*first as u32, 1),
            _ => read_point(text),
        };
        finder.push_folded(point);
        if finder.found {
            return true;
        }
        text = &text[size..];
    }
}

/// ABI: a client publishes an event or sends a command.
#[no_mangle]
pub unsafe extern "C" fn arqon_on_message() -> i32 {
    HEAP_END = &__heap_base as *const u8 as usize;
    let payload = host_get_payload();
    if payload.is_null() {
        return 0;
    }
    let size = (payload as *const u32).read_unaligned() as usize;
    if !has_word(core::slice::from_raw_parts(payload.add(4), size)) {
        return 0;
    }
    host_reject(403, REASON.as_ptr(), REASON.len());
    1
}
