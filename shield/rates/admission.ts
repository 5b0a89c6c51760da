/** Admission to the client listener before a token is read; the admission capability implements it (`admission/`). */
import { ArqonError } from "@arqon/proto";

/** An admitted handshake; leaving its scope frees its slot. */
export interface Handshake extends Disposable {
  /** The upgrade was answered 101, so its duration counts. */
  accepted(): void;
}

/** Admits handshakes, or refuses them. */
export interface Admission {
  /** Admits a handshake; called before anything else is done for an upgrade. Throws `admission` (503) with a delay. */
  enter(): Handshake;
  /** Throws the same while clients are rejected; for clients that cannot read the refusal of an upgrade. */
  requireOpen(): void;
  /** Refuses a client that its listener has rejected: it also gets a place in the queue. */
  refuse(): never;
}

/** Without the capability: only the limits of the listener itself reject clients. */
export const NO_ADMISSION: Admission = {
  enter: () => ({ accepted: () => {}, [Symbol.dispose]: () => {} }),
  requireOpen: () => {},
  refuse() {
    const detail = "too many connections without a token are open";
    throw new ArqonError("admission", detail, { retry_after_ms: 1_000 });
  },
};
