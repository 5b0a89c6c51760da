// Finding words in text without regard to case, accents, width, style and invisible characters. The
// same algorithm is in C, Rust and WAT in ../examples. What is folded: ../../docs/policies.md.
import { foldTable } from "./fold_table.ts";

/** Bytes of folded text that are remembered; a power of two. No word is longer. */
const WINDOW: i32 = 64;

/** Tags and variation selectors of plane 14; none is visible, so the table omits them. */
const PLANE_14: u32 = 0xE0000;
const PLANE_14_END: u32 = 0xE1000;

/**
 * Where the folded form of `point` lies in the table's pool, as one length byte and UTF-8; 0 when
 * the character stays as it is. For code points from 0x80 up.
 */
function foldedForm(point: u32): usize {
  const table = foldTable();
  if (point >= load<u32>(table)) return 0;
  const block = <usize> load<u8>(table + 12 + <usize> (point >> 6));
  const blocks = table + <usize> load<u32>(table, 4);
  const form = load<u16>(blocks + (block << 7) + (<usize> (point & 63) << 1));
  return form == 0 ? 0 : table + <usize> load<u32>(table, 8) + <usize> form;
}

function asciiLower(byte: u32): u32 {
  return byte - 0x41 < 26 ? byte + 32 : byte;
}

/** Value of a hexadecimal digit, -1 for any other byte. */
function hexDigit(byte: u32): i32 {
  if (byte - 0x30 < 10) return <i32> (byte - 0x30);
  const letter = (byte | 0x20) - 0x61;
  return letter < 6 ? <i32> letter + 10 : -1;
}

/** Reads one character of UTF-8, or one `\uXXXX` escape of JSON, and folds it. */
class Folder {
  /** The folded character: the bytes from `form` up to `formEnd`; none if it is omitted. */
  form: usize = 0;
  formEnd: usize = 0;

  private at: usize = 0;
  private end: usize = 0;
  private scratch: StaticArray<u8> = new StaticArray<u8>(4);

  /** Folds the character at `at` in the text that ends at `end`; returns the position of the next one. */
  read(at: usize, end: usize): usize {
    this.at = at;
    this.end = end;
    this.form = this.formEnd = 0;
    const byte = <u32> load<u8>(at);
    if (byte == 0x5C) this.take(this.readEscape());
    else if (byte >= 0x80) this.take(this.readPoint());
    else {
      this.at++;
      this.take(byte);
    }
    return this.at;
  }

  /** Makes the folded form of `point` what `next` reads. */
  private take(point: u32): void {
    if (point >= PLANE_14 && point < PLANE_14_END) return;
    const form: usize = point < 0x80 ? 0 : foldedForm(point);
    if (form != 0) {
      this.form = form + 1;
      this.formEnd = this.form + <usize> load<u8>(form);
      return;
    }
    const scratch = changetype<usize>(this.scratch);
    this.form = scratch;
    if (point < 0x80) {
      store<u8>(scratch, asciiLower(point));
      this.formEnd = scratch + 1;
    } else if (point < 0x800) {
      store<u8>(scratch, 0xC0 | (point >> 6));
      this.formEnd = this.continuation(scratch + 1, point, 1);
    } else if (point < 0x10000) {
      store<u8>(scratch, 0xE0 | (point >> 12));
      this.formEnd = this.continuation(scratch + 1, point, 2);
    } else {
      store<u8>(scratch, 0xF0 | (point >> 18));
      this.formEnd = this.continuation(scratch + 1, point, 3);
    }
  }

  private continuation(at: usize, point: u32, count: i32): usize {
    for (let left = count - 1; left >= 0; left--) {
      store<u8>(at++, 0x80 | ((point >> (6 * left)) & 0x3F));
    }
    return at;
  }

  /** A code point beyond ASCII. A byte that is not UTF-8 counts as U+FFFD. */
  private readPoint(): u32 {
    const lead = <u32> load<u8>(this.at++);
    const more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
    if (lead < 0xC2 || lead > 0xF4 || this.at + <usize> more > this.end) return 0xFFFD;
    let point = lead & (0x3F >> more);
    for (let index = 0; index < more; index++) {
      const byte = <u32> load<u8>(this.at + <usize> index);
      if ((byte & 0xC0) != 0x80) return 0xFFFD;
      point = (point << 6) | (byte & 0x3F);
    }
    this.at += <usize> more;
    return point;
  }

  /** A backslash and what belongs to it: the code point that it stands for, or the backslash. */
  private readEscape(): u32 {
    const unit = this.unitAt(this.at);
    if (unit < 0) {
      this.at += this.at + 1 < this.end && load<u8>(this.at, 1) == 0x5C ? 2 : 1;
      return 0x5C;
    }
    this.at += 6;
    const low = this.unitAt(this.at);
    if ((unit & 0xFC00) != 0xD800 || (low & ~0x3FF) != 0xDC00) return <u32> unit;
    this.at += 6;
    return 0x10000 + (<u32> (unit & 0x3FF) << 10) + <u32> (low & 0x3FF);
  }

  /** Value of the escape `\uXXXX` at `at`, -1 when there is none. */
  private unitAt(at: usize): i32 {
    if (at + 6 > this.end || load<u16>(at) != 0x755C) return -1;
    let unit = 0;
    for (let index: usize = 2; index < 6; index++) {
      const digit = hexDigit(load<u8>(at + index));
      if (digit < 0) return -1;
      unit = (unit << 4) | digit;
    }
    return unit;
  }
}

/** Used by `fold` only, and reused for each text. */
const folderOfFold = new Folder();

/** The folded form of a text, for comparing with other folded texts. Escapes of JSON are read. */
export function fold(text: string): string {
  const source = String.UTF8.encode(text);
  const folder = folderOfFold;
  const out = new Array<u8>();
  let at = changetype<usize>(source);
  const end = at + <usize> source.byteLength;
  while (at < end) {
    at = folder.read(at, end);
    for (let form = folder.form; form < folder.formEnd; form++) out.push(load<u8>(form));
  }
  return String.UTF8.decodeUnsafe(out.dataStart, <usize> out.length);
}

/** Words to look for, at any place in a text, also inside of longer words. */
export class WordList {
  private words: StaticArray<StaticArray<u8>>;
  /** By the last byte of a word: its index and 1; 0 when no word ends so. */
  private lastWord: StaticArray<i32> = new StaticArray<i32>(256);
  /** By the index of a word: index and 1 of the one before it that ends with the same byte, or 0. */
  private wordBefore: StaticArray<i32>;
  /** The folded form of an ASCII byte that ends no word and begins no escape; 0 for all others. */
  private plain: StaticArray<u8> = new StaticArray<u8>(256);
  private window: StaticArray<u8> = new StaticArray<u8>(WINDOW);
  private folder: Folder = new Folder();
  /** Folded bytes so far. */
  private count: i32 = 0;

  /** A word traps when its folded form is empty or longer than 64 bytes. */
  constructor(words: string[]) {
    this.words = new StaticArray<StaticArray<u8>>(words.length);
    this.wordBefore = new StaticArray<i32>(words.length);
    for (let index = 0; index < words.length; index++) {
      const bytes = String.UTF8.encode(fold(words[index]));
      assert(bytes.byteLength > 0 && bytes.byteLength <= WINDOW);
      const word = new StaticArray<u8>(bytes.byteLength);
      memory.copy(changetype<usize>(word), changetype<usize>(bytes), <usize> bytes.byteLength);
      this.words[index] = word;
      const last = word[word.length - 1];
      this.wordBefore[index] = this.lastWord[last];
      this.lastWord[last] = index + 1;
    }
    for (let byte = 0; byte < 0x80; byte++) {
      const folded = asciiLower(byte);
      if (byte != 0x5C && this.lastWord[folded] == 0) this.plain[byte] = <u8> folded;
    }
  }

  /** Index of a word in the UTF-8 text `bytes`, of one that ends first; -1 without one. */
  find(bytes: Uint8Array): i32 {
    const plain = changetype<usize>(this.plain);
    const window = changetype<usize>(this.window);
    let at = bytes.dataStart;
    const end = at + <usize> bytes.length;
    let count = 0;
    while (at < end) {
      const raw = <u32> load<u8>(at);
      const byte = load<u8>(plain + <usize> raw);
      if (byte != 0) {
        store<u8>(window + <usize> (count++ & (WINDOW - 1)), byte);
        at++;
        continue;
      }
      this.count = count;
      let found = -1;
      if (raw < 0x80 && raw != 0x5C) {
        found = this.take(asciiLower(raw));
        at++;
      } else {
        at = this.folder.read(at, end);
        found = this.takeFolded();
      }
      if (found >= 0) return found;
      count = this.count;
    }
    return -1;
  }

  /** Whether one of the words is in the UTF-8 text `bytes`. */
  isIn(bytes: Uint8Array): bool {
    return this.find(bytes) >= 0;
  }

  /** Takes the bytes that the folder has read; returns a word that ends in them, -1 if none does. */
  private takeFolded(): i32 {
    const end = this.folder.formEnd;
    for (let form = this.folder.form; form < end; form++) {
      const found = this.take(load<u8>(form));
      if (found >= 0) return found;
    }
    return -1;
  }

  /** Takes the next folded byte; returns a word that ends with it, -1 if none does. */
  private take(byte: u32): i32 {
    unchecked(this.window[this.count++ & (WINDOW - 1)] = <u8> byte);
    let next = unchecked(this.lastWord[byte]);
    while (next != 0) {
      const index = next - 1;
      if (this.endsWith(unchecked(this.words[index]))) return index;
      next = unchecked(this.wordBefore[index]);
    }
    return -1;
  }

  /** Whether the folded bytes so far end with `word`, whose last byte has been compared. */
  private endsWith(word: StaticArray<u8>): bool {
    const start = this.count - word.length;
    if (start < 0) return false;
    for (let index = word.length - 2; index >= 0; index--) {
      if (unchecked(this.window[(start + index) & (WINDOW - 1)] != word[index])) return false;
    }
    return true;
  }
}
