// Keyed state: values that the Shield keeps for a policy from call to call, by keys that the policy
// declares at its top level. Only for policies of version 2.
import { host_state_delete, host_state_get, host_state_set } from "./arqon_host_v2.ts";

/** Bytes of the length before every value of the host. */
const LENGTH_BYTES: usize = 4;

/** The declarations so far, as JSON without the outer brackets, and their number. */
let declared: string = "";
let count: i32 = 0;

/** The result of `arqon_state_keys`, kept so that it is not moved. */
let answer: ArrayBuffer = new ArrayBuffer(0);

/** A text as it is in JSON. */
function quoted(text: string): string {
  let quoted = '"';
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    if (unit < 0x20) {
      quoted += "\\u00" + (unit < 0x10 ? "0" : "1") + (unit & 15).toString(16);
    } else {
      if (unit == 0x22 || unit == 0x5C) quoted += "\\";
      quoted += String.fromCharCode(unit);
    }
  }
  return quoted + '"';
}

/** One value for each key; the key follows from the operation that is decided. */
export class State {
  private slot: i32;

  constructor(slot: i32) {
    this.slot = slot;
  }

  /** The value that was written last, also in this call; null if there is none or it has expired. */
  get(): Uint8Array | null {
    const value = host_state_get(this.slot);
    if (value == 0) return null;
    const size = load<u32>(value);
    const copy = new Uint8Array(size);
    memory.copy(copy.dataStart, value + LENGTH_BYTES, size);
    return copy;
  }

  /**
   * Stores a value for the next calls, if this one reaches a verdict, and restarts its time. A value with
   * more bytes than declared ends the call in a fault (503).
   */
  set(value: Uint8Array): void {
    host_state_set(this.slot, value.dataStart, <usize> value.length);
  }

  /** Deletes the value. */
  delete(): void {
    host_state_delete(this.slot);
  }
}

/**
 * Declares a value that is kept `ttlSeconds` (1 to 86,400) after it was written, with at most `valueBytes`
 * (1 to 4,096), one for each `key`: text with `{tenant}`, `{room}`, `{user}`, `{connection}`, `{type}`,
 * `{claim.NAME}` and `{header.NAME}`. At the top level of a policy, at most four times.
 */
export function state(key: string, ttlSeconds: i32, valueBytes: i32): State {
  if (count > 0) declared += ",";
  declared += '{"key":' + quoted(key) + ',"ttl_seconds":' + ttlSeconds.toString() +
    ',"value_bytes":' + valueBytes.toString() + "}";
  return new State(count++);
}

/** ABI: returns the declarations of the policy's state. */
export function arqon_state_keys(): usize {
  const size = String.UTF8.byteLength("[" + declared + "]");
  answer = new ArrayBuffer(<i32> LENGTH_BYTES + size);
  const start = changetype<usize>(answer);
  store<u32>(start, size);
  const text = String.UTF8.encode("[" + declared + "]");
  memory.copy(start + LENGTH_BYTES, changetype<usize>(text), size);
  return start;
}
