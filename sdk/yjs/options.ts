/**
 * What a provider takes, with every default. Types and one function that fills defaults in.
 */
import type { ArqonError } from "@arqon/sdk";
import type { Awareness } from "y-protocols/awareness.js";

/** How a provider stands. */
export interface ProviderState {
  /** The document had everything that the room held when it was last read; false while it is read. */
  readonly synced: boolean;
  /** Changes are here that are not stored yet. */
  readonly unsaved: boolean;
  /** What is written here is taken back at once, by `read_only` or since a publish was not granted. */
  readonly read_only: boolean;
}

/** What a provider takes besides room and document; nothing of it is needed. */
export interface ProviderOptions {
  /** Cursors and names of who is there; needs the grant `presence`. Without it nobody is a member. */
  readonly awareness?: Awareness;
  /** True: this editor never writes; default false. Who has no grant is found out by the first refusal. */
  readonly read_only?: boolean;
  /**
   * A snapshot is made after so many messages with updates; default 200. A class of rooms has to keep some
   * times as many (`history_size`).
   */
  readonly snapshot_updates?: number;
  /** And after so many bytes of them; default 1 MiB. */
  readonly snapshot_bytes?: number;
  /**
   * Who opens a document of which something is older than this makes a snapshot, so that it does not become
   * too old to be kept; in ms, default 12 hours. Less than half of the class's `history_ttl_seconds`.
   */
  readonly refresh_ms?: number;
  /** Updates and snapshots travel in messages of at most so many bytes; default 128 KiB. */
  readonly part_bytes?: number;
  /** Bytes of messages that may wait for the document; default 32 MiB. */
  readonly buffer_bytes?: number;
  /** Least time between two changes of the own awareness, in ms; default 100. */
  readonly throttle_ms?: number;
  /** First wait before what failed is tried again, in ms, then twice as long up to 5 s; default 250. */
  readonly retry_ms?: number;
  /** Receives every change of `YjsProvider.state`. */
  readonly onState?: (state: ProviderState) => void;
  /** Learns that a change was refused, by a policy or for lack of a grant. It has been taken back then. */
  readonly onRefused?: (error: ArqonError) => void;
  /** Receives what went wrong and is tried again, or is no update; default: nobody does. */
  readonly onError?: (error: unknown) => void;
  /** Unix ms; default the device's clock. */
  readonly now?: () => number;
}

const HOUR_MS = 3_600_000;
const NOBODY = () => {};

/** The options with their defaults. Throws TypeError for a number below 1. */
export function settingsOf(options: ProviderOptions) {
  const {
    read_only = false,
    snapshot_updates = 200,
    snapshot_bytes = 1_048_576,
    refresh_ms = 12 * HOUR_MS,
    part_bytes = 131_072,
    buffer_bytes = 33_554_432,
    throttle_ms = 100,
    retry_ms = 250,
    onState = NOBODY,
    onRefused = NOBODY,
    onError = NOBODY,
    now = () => Date.now(),
  } = options;
  const numbers = { snapshot_updates, snapshot_bytes, refresh_ms, part_bytes, buffer_bytes };
  for (const [name, value] of Object.entries({ ...numbers, throttle_ms, retry_ms })) {
    if (!(value >= 1)) throw new TypeError(`${name} is ${value}; expected at least 1`);
  }
  return { read_only, ...numbers, throttle_ms, retry_ms, onState, onRefused, onError, now };
}
