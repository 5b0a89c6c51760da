// The members of a command's JSON object, as `call("offer", { title, price })` of an SDK sends it. A member of
// another type is rejected with 400. For nested objects use `JsonReader`, ../sdk/json.ts.
import { JsonKind, JsonReader } from "./json.ts";
import { quote } from "./quote.ts";
import { reject } from "./reject.ts";

/** A JSON object. */
export class Fields {
  private names: string[] = [];
  private kinds: JsonKind[] = [];
  private texts: string[] = [];

  constructor(bytes: Uint8Array) {
    const reader = new JsonReader(bytes);
    if (!reader.next() || reader.kind != JsonKind.Object) reject("expected a JSON object", 400);
    while (reader.next()) {
      if (reader.level != 1) continue;
      if (this.names.includes(reader.name)) reject(quote(reader.name) + " is there twice", 400);
      this.names.push(reader.name);
      this.kinds.push(reader.kind);
      this.texts.push(reader.text);
    }
    if (reader.failed) reject("expected a JSON object", 400);
  }

  /** Whether the member exists and is not null. */
  has(name: string): bool {
    const at = this.names.indexOf(name);
    return at >= 0 && this.kinds[at] != JsonKind.Null;
  }

  /** A member that is a text. */
  text(name: string): string {
    const at = this.names.indexOf(name);
    if (at < 0 || this.kinds[at] != JsonKind.String) this.refuse(name, "a text");
    return this.texts[at];
  }

  /** A member that is a whole number of at most 18 digits, written as such. */
  number(name: string): i64 {
    const at = this.names.indexOf(name);
    const digits = at >= 0 && this.kinds[at] == JsonKind.Number ? this.texts[at] : "";
    const size = digits.length - (digits.startsWith("-") ? 1 : 0);
    const isWhole = !digits.includes(".") && !digits.includes("e") && !digits.includes("E");
    if (size < 1 || size > 18 || !isWhole) this.refuse(name, "a whole number of at most 18 digits");
    return wholeNumber(digits);
  }

  /** A member that is a number. */
  decimal(name: string): f64 {
    const at = this.names.indexOf(name);
    if (at < 0 || this.kinds[at] != JsonKind.Number) this.refuse(name, "a number");
    return parseFloat(this.texts[at]);
  }

  /** A member that is true or false. */
  flag(name: string): bool {
    const at = this.names.indexOf(name);
    const kind = at < 0 ? JsonKind.Null : this.kinds[at];
    if (kind != JsonKind.True && kind != JsonKind.False) this.refuse(name, "true or false");
    return kind == JsonKind.True;
  }

  private refuse(name: string, expected: string): void {
    reject("expected " + quote(name) + ": " + expected, 400);
  }
}

/** A whole number of at most 18 digits, perhaps with a minus. Anything else is rejected with 400. */
export function wholeNumber(text: string): i64 {
  const negative = text.length > 0 && text.charCodeAt(0) == 0x2D;
  const first = negative ? 1 : 0;
  const digits = text.length - first;
  if (digits < 1 || digits > 18) reject("expected a whole number of at most 18 digits", 400);
  let value: i64 = 0;
  for (let at = first; at < text.length; at++) {
    const digit = text.charCodeAt(at) - 0x30;
    if (digit < 0 || digit > 9) reject("expected a whole number of at most 18 digits", 400);
    value = value * 10 + digit;
  }
  return negative ? -value : value;
}
