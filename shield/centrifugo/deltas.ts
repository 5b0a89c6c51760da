/**
 * Deltas of Centrifugo's protocol: each publication of a channel as a diff from the one before it, which the client
 * keeps. Unlike the bus's own (docs/deltas.md), there is one chain for a channel, whatever the keys of its messages.
 */

/** The data that clients have of a channel; clients that receive the same share one. */
export interface DeltaBase {
  readonly bytes: Uint8Array;
  holders: number;
}

/** The bounds, as in `[limits]`. */
export interface DeltaBounds {
  readonly delta_bytes: number;
  readonly delta_message_bytes: number;
}

/** What all clients of a process keep. */
export class DeltaBases {
  readonly #bounds: DeltaBounds;
  bytes = 0;

  constructor(bounds: DeltaBounds) {
    this.#bounds = bounds;
  }

  /** Data that the next publication may be a diff from; undefined: it is too long for that. */
  of(bytes: Uint8Array): DeltaBase | undefined {
    return bytes.length > this.#bounds.delta_message_bytes ? undefined : { bytes, holders: 0 };
  }

  /** Keeps `after` for a client in place of `before`; undefined: nothing is kept, and its next publication is whole. */
  replace(before: DeltaBase | undefined, after: DeltaBase | undefined): DeltaBase | undefined {
    if (before !== undefined && --before.holders === 0) this.bytes -= before.bytes.length;
    if (after === undefined) return undefined;
    if (after.holders === 0) {
      if (this.bytes + after.bytes.length > this.#bounds.delta_bytes) return undefined;
      this.bytes += after.bytes.length;
    }
    after.holders++;
    return after;
  }
}
