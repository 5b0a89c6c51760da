/**
 * The inputs of one policy's call as the journal has them. What a module asks for and the record does not
 * have is unknown: it is noted, and nothing is guessed. Pure.
 */
import type { JournalRecord, PayloadRecord, PolicyRecord } from "../../shared/journal/record.ts";
import type { GuestRequest, GuestState } from "../../shield/policy/abi/host_functions.ts";
import { NOT_A_MESSAGE, SIGNED } from "../../shield/policy/abi/policy.ts";
import { asciiLower } from "../../shield/policy/abi/host_headers.ts";

const EMPTY = new Uint8Array(0);

/**
 * The payload that the policy at `place` of the chain saw; undefined when the journal does not have it. A
 * policy before it may have replaced the message's.
 */
export function payloadAt(record: JournalRecord, place: number): Uint8Array | undefined {
  const { policies, payload } = record;
  for (let before = place - 1; before >= 0; before--) {
    const { mode, payload: replaced, is_payload_missing } = policies[before] as PolicyRecord;
    if (is_payload_missing === true) return undefined;
    if (mode === "enforce" && replaced !== null) return Uint8Array.fromBase64(replaced);
  }
  return keptPayload(payload);
}

function keptPayload(payload: PayloadRecord): Uint8Array | undefined {
  if (payload.form === "kept") return Uint8Array.fromBase64(payload.data);
  return payload.form === "none" ? EMPTY : undefined;
}

/** The headers that the Shield makes of what the record itself says; undefined: it does not know. */
function ownHeader(record: JournalRecord, name: string): { value: string } | undefined {
  const { sender } = record;
  switch (name) {
    case "hook":
      return { value: record.hook };
    case "tenant":
      return { value: record.tenant };
    case "room":
      return { value: record.room };
    case "type":
      return { value: record.type };
    case "content-type":
      return { value: record.content_type };
    case "now-ms":
      return { value: String(record.time_ms) };
    case "user":
      return sender === null ? undefined : { value: sender.user };
    case "remote-ip":
      return sender === null ? undefined : { value: sender.remote_ip };
    default:
      return undefined;
  }
}

const OWN = "x-arqon-";
const OWN_NAMES = new Set(
  ["hook", "tenant", "room", "type", "content-type", "now-ms", "user", "remote-ip"],
);

/** What a module may ask for in the repetition of a recorded call. */
export class RecordedInputs implements GuestRequest {
  readonly asking_bytes: number;
  readonly payload_most: number;
  /** The keyed state of the module that runs; undefined: it has none. */
  state: GuestState | undefined;
  readonly #record: JournalRecord;
  readonly #place: number;
  #payload: Uint8Array | undefined;
  #unknown: Set<string> | undefined;

  constructor(record: JournalRecord, place: number) {
    this.#record = record;
    this.#place = place;
    this.asking_bytes = (record.policies[place] as PolicyRecord).asking_bytes;
    this.payload_most = record.hook !== "on_message"
      ? NOT_A_MESSAGE
      : record.is_signed === true
      ? SIGNED
      : Infinity;
  }

  /** What was asked for and is not known: `payload`, `header NAME`, `claim NAME`. Mostly empty. */
  get unknown(): ReadonlySet<string> | undefined {
    return this.#unknown;
  }

  get payload(): Uint8Array {
    this.#payload ??= payloadAt(this.#record, this.#place);
    if (this.#payload === undefined) this.note("payload");
    return this.#payload ??= EMPTY;
  }

  header(lower_name: string): string | undefined {
    const added = this.#addedBefore(lower_name);
    if (added !== undefined) return added;
    const read = this.#read("header", lower_name);
    if (read !== undefined) return read.value ?? undefined;
    if (lower_name.startsWith(OWN)) {
      const name = lower_name.slice(OWN.length);
      const own = ownHeader(this.#record, name);
      if (own !== undefined) return own.value;
      // Under these names a policy finds only what the Shield says, and it says nothing else.
      if (!OWN_NAMES.has(name)) return undefined;
    }
    this.note(`header ${lower_name}`);
    return undefined;
  }

  claim(name: string): string | undefined {
    const read = this.#read("claim", name);
    if (read !== undefined) return read.value ?? undefined;
    this.note(`claim ${name}`);
    return undefined;
  }

  /** Takes note that something was asked for that is not known. */
  note(what: string): void {
    (this.#unknown ??= new Set()).add(what);
  }

  /** The value that an earlier policy of the chain has added under a name, the last one. */
  #addedBefore(lower_name: string): string | undefined {
    const { policies } = this.#record;
    for (let before = this.#place - 1; before >= 0; before--) {
      const { mode, allowed, added_headers } = policies[before] as PolicyRecord;
      if (mode !== "enforce" || !allowed) continue;
      const found = added_headers.findLast(([name]) => asciiLower(name) === lower_name);
      if (found !== undefined) return found[1];
    }
    return undefined;
  }

  #read(from: "header" | "claim", name: string): { value: string | null } | undefined {
    const { reads } = this.#record.policies[this.#place] as PolicyRecord;
    for (const read of reads) {
      if (read.from === from && read.name === name) {
        return read.is_erased === true ? undefined : read;
      }
    }
    return undefined;
  }
}
