// A reader that walks over JSON text value by value, without building a tree and without recursion.
// It is strict (RFC 8259): text on which it does not fail is JSON. It does not check for duplicate names.

/** The kind of the current value. */
export enum JsonKind {
  /** Before the first value. */
  Start,
  Null,
  False,
  True,
  Number,
  String,
  /** The start of an array; its items follow. */
  Array,
  /** The start of an object; its members follow. */
  Object,
}

/** Deepest nesting; text that is deeper fails. */
const DEPTH: i32 = 128;

/**
 * Walks over JSON text. `next` goes to the next value, in the order of the text, containers before
 * their content. When it returns false, `failed` distinguishes broken text from the end.
 */
export class JsonReader {
  /** Name of the member whose value this is; "" for items of arrays and for the outermost value. */
  name: string = "";
  /** The kind of the value. */
  kind: JsonKind = JsonKind.Start;
  /** Whether the text is not JSON, or nested deeper than 128. */
  failed: bool = false;

  private at: i32 = 0;
  /** Where the value starts and ends, for strings and numbers. */
  private from: i32 = 0;
  private to: i32 = 0;
  private depth: i32 = 0;
  private inObject: StaticArray<bool> = new StaticArray<bool>(DEPTH);
  private done: bool = false;

  constructor(private bytes: Uint8Array) {}

  /** A string's characters, or a number as it is written; "" for the others. */
  get text(): string {
    if (this.kind == JsonKind.String) return this.unquote(this.from, this.to);
    return this.kind == JsonKind.Number ? this.slice(this.from, this.to) : "";
  }

  /** Where a value that is no container begins in the bytes. */
  get begin(): i32 {
    return this.from;
  }

  /** Where a value that is no container ends in the bytes. */
  get end(): i32 {
    return this.at;
  }

  /** How many containers the value is in. */
  get level(): i32 {
    const opened = this.kind == JsonKind.Array || this.kind == JsonKind.Object;
    return opened ? this.depth - 1 : this.depth;
  }

  /** Goes to the next value; false at the end and when the text is broken. */
  next(): bool {
    if (this.failed || this.done) return false;
    if (this.kind == JsonKind.Start) return this.value("");
    const opened = this.kind == JsonKind.Array || this.kind == JsonKind.Object;
    this.kind = JsonKind.Null;
    return this.afterValue(opened);
  }

  /** Skips commas and ends of containers, up to the next value. */
  private afterValue(opened: bool): bool {
    let first = opened;
    while (this.depth > 0) {
      const object = this.inObject[this.depth - 1];
      const byte = this.peek();
      if (byte == (object ? 0x7D : 0x5D)) {
        this.at++;
        this.depth--;
        first = false;
        continue;
      }
      if (!first) {
        if (byte != 0x2C) return this.fail();
        this.at++;
      }
      return object ? this.member() : this.value("");
    }
    this.done = true;
    return this.peek() == -1 ? false : this.fail();
  }

  private member(): bool {
    if (this.peek() != 0x22) return this.fail();
    const start = this.at;
    if (!this.string()) return this.fail();
    const name = this.unquote(start, this.at);
    if (this.peek() != 0x3A) return this.fail();
    this.at++;
    return this.value(name);
  }

  private value(name: string): bool {
    this.name = name;
    const byte = this.peek();
    this.from = this.at;
    if (byte == 0x7B || byte == 0x5B) return this.open(byte == 0x7B);
    if (byte == 0x22) {
      this.kind = JsonKind.String;
      if (!this.string()) return this.fail();
      this.to = this.at;
      return true;
    }
    if (byte == 0x2D || (byte >= 0x30 && byte <= 0x39)) return this.number();
    if (byte == 0x74) return this.word("true", JsonKind.True);
    if (byte == 0x66) return this.word("false", JsonKind.False);
    if (byte == 0x6E) return this.word("null", JsonKind.Null);
    return this.fail();
  }

  private open(object: bool): bool {
    if (this.depth == DEPTH) return this.fail();
    this.kind = object ? JsonKind.Object : JsonKind.Array;
    this.inObject[this.depth++] = object;
    this.at++;
    return true;
  }

  private word(word: string, kind: JsonKind): bool {
    for (let index = 0; index < word.length; index++) {
      if (this.byteAt(this.at + index) != word.charCodeAt(index)) return this.fail();
    }
    this.at += word.length;
    this.kind = kind;
    return true;
  }

  private number(): bool {
    if (this.byteAt(this.at) == 0x2D) this.at++;
    if (this.byteAt(this.at) == 0x30) this.at++;
    else if (!this.digits()) return this.fail();
    if (this.byteAt(this.at) == 0x2E) {
      this.at++;
      if (!this.digits()) return this.fail();
    }
    if ((this.byteAt(this.at) | 0x20) == 0x65) {
      this.at++;
      const sign = this.byteAt(this.at);
      if (sign == 0x2B || sign == 0x2D) this.at++;
      if (!this.digits()) return this.fail();
    }
    this.kind = JsonKind.Number;
    this.to = this.at;
    return true;
  }

  /** Skips digits; returns whether there was one. */
  private digits(): bool {
    const start = this.at;
    while (this.byteAt(this.at) >= 0x30 && this.byteAt(this.at) <= 0x39) this.at++;
    return this.at > start;
  }

  /** Skips the string that starts here; returns whether it is one. */
  private string(): bool {
    this.at++;
    let byte = this.byteAt(this.at);
    while (byte >= 0x20 && byte != 0x22) {
      if (byte != 0x5C) this.at++;
      else if (this.escape() < 0) return false;
      byte = this.byteAt(this.at);
    }
    this.at++;
    return byte == 0x22;
  }

  /** The characters of the checked string from `start` to `end`. */
  private unquote(start: i32, end: i32): string {
    const parts = new Array<string>();
    const back = this.at;
    let from = start + 1;
    this.at = from;
    while (this.at < end - 1) {
      if (this.byteAt(this.at) != 0x5C) {
        this.at++;
        continue;
      }
      parts.push(this.slice(from, this.at));
      parts.push(String.fromCharCode(this.escape()));
      from = this.at;
    }
    this.at = back;
    if (parts.length == 0) return this.slice(from, end - 1);
    parts.push(this.slice(from, end - 1));
    return parts.join("");
  }

  /** Value of the escape that starts here, -1 if it is none. */
  private escape(): i32 {
    const byte = this.byteAt(this.at + 1);
    this.at += 2;
    switch (byte) {
      case 0x22:
      case 0x2F:
      case 0x5C:
        return byte;
      case 0x62:
        return 0x08;
      case 0x66:
        return 0x0C;
      case 0x6E:
        return 0x0A;
      case 0x72:
        return 0x0D;
      case 0x74:
        return 0x09;
      case 0x75:
        return this.unit();
      default:
        return -1;
    }
  }

  /** Four hexadecimal digits, -1 if they are missing. */
  private unit(): i32 {
    let unit = 0;
    for (let index = 0; index < 4; index++) {
      const byte = this.byteAt(this.at++);
      const letter = (byte | 0x20) - 0x61;
      const digit = byte >= 0x30 && byte <= 0x39
        ? byte - 0x30
        : letter >= 0 && letter < 6
        ? letter + 10
        : -1;
      if (digit < 0) return -1;
      unit = (unit << 4) | digit;
    }
    return unit;
  }

  private slice(start: i32, end: i32): string {
    return String.UTF8.decodeUnsafe(this.bytes.dataStart + <usize> start, <usize> (end - start));
  }

  /** Skips white space; the next byte, -1 at the end. */
  private peek(): i32 {
    let byte = this.byteAt(this.at);
    while (byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09) {
      byte = this.byteAt(++this.at);
    }
    return byte;
  }

  private byteAt(index: i32): i32 {
    return index < this.bytes.length ? <i32> unchecked(this.bytes[index]) : -1;
  }

  private fail(): bool {
    this.failed = true;
    return false;
  }
}
