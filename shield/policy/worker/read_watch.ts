/**
 * Notes what each policy of a chain reads, for the journal: it stands between the guests and their request
 * where somebody asks, and costs nothing where nobody does. Knows no ring.
 */
import type { GuestOutcome } from "../abi/host_abi.ts";
import type { GuestRequest, GuestState } from "../abi/host_functions.ts";
import { UNITS_PER_FUEL } from "../../../wasm/metering/meter_costs.ts";
import type { PolicyRead } from "../../message/verdict.ts";
import type { ChainOutcome } from "../ring/ring_message.ts";

/** The most characters of what is noted of one chain: a reply must fit into its ring. */
const READ_CHARACTERS = 16_384;

const READ_PAYLOAD = { has_read_payload: true } as const;

/** A request whose readers are watched. It has every member of a request: none may get lost on the way. */
export class ReadWatch implements Required<GuestRequest> {
  readonly #request: GuestRequest;
  readonly #fuel_limit: number;
  #has_read_payload = false;
  #reads: PolicyRead[] = [];
  /** Absent until there is one: most policies read only the payload. */
  #names: Set<string> | undefined;
  #characters = 0;

  /** `fuel_limit` is that of one call. */
  constructor(request: GuestRequest, fuel_limit: number) {
    this.#request = request;
    this.#fuel_limit = fuel_limit;
  }

  get payload(): Uint8Array {
    this.#has_read_payload = true;
    return this.#request.payload;
  }

  get asking_bytes(): number {
    return this.#request.asking_bytes ?? 0;
  }

  /** Without it nothing would bound a new payload, and a signed one could be changed. */
  get payload_most(): number {
    return this.#request.payload_most ?? Infinity;
  }

  get state(): GuestState | undefined {
    return this.#request.state;
  }

  header(lower_name: string): string | undefined {
    return this.#note("header", lower_name, this.#request.header(lower_name));
  }

  claim(name: string): string | undefined {
    return this.#note("claim", name, this.#request.claim(name));
  }

  /**
   * What the policy has seen whose call is over, undefined: nothing; `units_left` is what its chain had before, `replaces` whether
   * its payload is the next one's.
   */
  take(
    ran: GuestOutcome & { readonly instance_units: number },
    units_left: number,
    replaces: boolean,
  ): Pick<ChainOutcome, "has_read_payload" | "seen"> | undefined {
    const payload = this.#has_read_payload ? READ_PAYLOAD : undefined;
    const reads = this.#reads;
    const budget_units = Math.max(0, units_left - ran.instance_units);
    const is_whole = budget_units >= this.#fuel_limit * UNITS_PER_FUEL;
    const added_headers = ran.added_headers.filter(([name, value]) =>
      this.#hasRoom(name.length + value.length)
    );
    this.#has_read_payload = false;
    if (reads.length > 0) {
      this.#reads = [];
      this.#names = undefined;
    }
    const replacement = replaces ? this.#kept(ran.payload!) : undefined;
    const is_usual = is_whole && reads.length === 0 && added_headers.length === 0;
    if (is_usual && replacement === undefined) return payload;
    const seen = {
      reads,
      added_headers,
      asking_bytes: reads.length === 0 ? 0 : this.asking_bytes,
      ...(replacement === undefined ? {} : { payload: replacement }),
    };
    return { ...payload, seen: is_whole ? seen : { ...seen, budget_units } };
  }

  /** A new payload as base64; undefined beyond the bound. */
  #kept(payload: Uint8Array): string | undefined {
    const size = Math.ceil(payload.length / 3) * 4;
    return this.#hasRoom(size) ? payload.toBase64() : undefined;
  }

  /** Whether so many characters more may be noted; if so, they count. */
  #hasRoom(characters: number): boolean {
    if (this.#characters + characters > READ_CHARACTERS) return false;
    this.#characters += characters;
    return true;
  }

  #note(from: PolicyRead[0], name: string, value: string | undefined): string | undefined {
    const key = `${from}\n${name}`;
    const names = this.#names ??= new Set();
    const is_known = names.has(key);
    if (is_known || !this.#hasRoom(name.length + (value?.length ?? 0))) return value;
    names.add(key);
    this.#reads.push([from, name, value ?? null]);
    return value;
  }
}
