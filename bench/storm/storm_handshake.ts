/**
 * One attempt of a client to connect to a Shield, over TCP or TLS, timed from the first packet to WELCOME, with the
 * content of a refusal.
 */
import type { WireConnection } from "../load/targets/target.ts";
import { ARQON_WIRE } from "../load/wires/wire_arqon.ts";
import { UpgradeRefused } from "../measure/socket.ts";

/** The address of a Shield. */
export interface Door {
  /** `ws://…/v1/socket`, or `wss:` with TLS. */
  readonly url: string;
  /**
   * PEM of the authority, which each attempt parses again (0.15 ms); absent if the process trusts the authority
   * (`--cert`).
   */
  readonly ca?: string;
}

/** A refusal with its status. */
export interface Refused {
  readonly kind: "refused";
  readonly status: number;
  readonly reason: string;
  readonly retry_after_ms: number;
  /** Seconds in the header Retry-After; 0 when there is none. */
  readonly retry_after_seconds: number;
}

/** The end of an attempt. */
export type Attempt =
  | { readonly kind: "open"; readonly connection: WireConnection; readonly handshake_ms: number }
  | Refused
  /** No answer: the connection failed or ended. */
  | { readonly kind: "failed"; readonly detail: string };

/** The SDK's `handshake_timeout_ms`. */
const TIMEOUT_MS = 10_000;

/** Resolves with the result of `work`; rejects if that takes longer than an SDK waits. */
async function inTime<T>(work: Promise<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error("no answer in time")), TIMEOUT_MS);
  try {
    return await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
  }
}

function refusalOf({ status, head, body }: UpgradeRefused): Refused {
  const problem: { reason?: string; retry_after_ms?: number } = JSON.parse(body);
  return {
    kind: "refused",
    status,
    reason: problem.reason ?? "",
    retry_after_ms: problem.retry_after_ms ?? 0,
    retry_after_seconds: Number(/^retry-after: (\d+)/im.exec(head)?.[1] ?? 0),
  };
}

/** Makes one attempt. Never rejects. */
export async function attempt({ url, ca }: Door, token: string): Promise<Attempt> {
  const began_ms = performance.now();
  const spec = { protocol: "arqon", url, tokens: [token], ...(ca === undefined ? {} : { ca }) };
  const options = { tenant: 0, batch: false, onMessage: () => {}, onProblem: () => {} };
  const opening = ARQON_WIRE.open(spec as Parameters<typeof ARQON_WIRE.open>[0], options);
  try {
    const connection = await inTime(opening);
    return { kind: "open", connection, handshake_ms: performance.now() - began_ms };
  } catch (error) {
    // A connection that opens too late does not count.
    opening.then((connection) => connection.close(), () => {});
    if (error instanceof UpgradeRefused && error.status !== 0) return refusalOf(error);
    return { kind: "failed", detail: error instanceof Error ? error.message : String(error) };
  }
}

/** Whether the other end of a connection still answers. Never rejects. */
export async function isAlive(connection: WireConnection): Promise<boolean> {
  return await inTime(connection.subscribe("alive")).then(() => true, () => false);
}
