/**
 * Verifies messages against a room's transparency log: `@arqon/sdk/proof`. Only programs that import it load it.
 * docs/proof.md describes the log's guarantees.
 *
 * ```ts
 * import { connect } from "@arqon/sdk";
 * import { proof, ProofError } from "@arqon/sdk/proof";
 *
 * const given = { url: "bus.example.com", token: "…" };
 * await using bus = await connect({ ...given, proof: proof({ vkeys: ["…"] }) });
 * try {
 *   for await (const message of bus.room("bets").subscribe({ verify: true })) console.log(message.text());
 * } catch (error) {
 *   if (error instanceof ProofError) console.error(error.kind, error.evidence);
 * }
 * ```
 */
import { ArqonError, decodeVerifier, encodeVerifier, strictText } from "@arqon/proto";
import { verifierOf, type Welcome } from "@arqon/proto";
import type { Message } from "./message/message.ts";
import { type ProofOptions, VerifiedLog } from "./proof/verified_log.ts";
import type { CommandRoom } from "./request/room_request.ts";
import { loopOver } from "./subscription/subscription.ts";
import type { SubscribeOptions, Subscription } from "./subscription/subscription.ts";

export { ProofError, VerifiedLog } from "./proof/verified_log.ts";
export type { ProofEvidence, ProofOptions, VerifiedLogOptions } from "./proof/verified_log.ts";

const isTexts = (value: unknown) =>
  Array.isArray(value) && value.every((one) => typeof one === "string");

/** The options with their checks; `VerifiedLog` checks the quorum. */
const EXPECTED: Readonly<
  Record<keyof ProofOptions, readonly [is: (value: unknown) => boolean, string]>
> = {
  vkeys: [(value) => isTexts(value) && `${value}` !== "", "the vkeys of `arq proof key`"],
  witnesses: [isTexts, "the vkeys of witnesses"],
  quorum: [Number.isInteger, "a number of witnesses"],
  wait_ms: [(value) => Number(value) >= 0, "at least 0"],
  complete: [(value) => typeof value === "boolean", "true or false"],
};

/** The tenant's key from a log's vkey: it signs the logs of all rooms of the tenant, each with its own name. */
function tenantKey(vkey: string) {
  const { name, public_key } = decodeVerifier(vkey)!;
  const [, prefix, tenant_id] = /^(.+\/([^/.]+)\.)[^/.]+$/.exec(name) ?? [];
  if (prefix !== undefined) return { prefix, tenant_id, public_key };
  throw new TypeError(`proof.vkeys has ${JSON.stringify(vkey)}: expected that of a room's log`);
}

/** The connection's parts that a verifying loop needs. */
export interface ProvingBus {
  readonly address: { readonly check_url: string };
  readonly bus: { readonly welcome: Pick<Welcome, "tenant_id"> };
  readonly tokens: { current(refused: undefined): Promise<string> };
  /** Aborted when the connection ends. */
  readonly signal: AbortSignal;
  subscribe(room: CommandRoom, options: SubscribeOptions): Subscription;
}

/** Subscribes with `verify`. Throws TypeError before that if nothing can be verified. */
export type Prove = (
  room: CommandRoom,
  options: SubscribeOptions,
  connection: ProvingBus,
) => Subscription;

/**
 * The option `proof` of `connect`: the keys and witnesses of its loops with `verify`. Throws TypeError for an option
 * with an invalid value or name, and RangeError for the quorum.
 */
export function proof(options: ProofOptions): Prove {
  // A misspelled option would be ignored.
  for (const [name, value] of Object.entries({ ...options, vkeys: options.vkeys })) {
    const [isRight, expected] = EXPECTED[name as keyof ProofOptions] ?? [];
    if (name !== "vkeys" && value === undefined || isRight?.(value)) continue;
    const other = `no such option; there are ${Object.keys(EXPECTED).join(", ")}`;
    throw new TypeError(`proof.${name} is ${JSON.stringify(value)}; expected ${expected ?? other}`);
  }
  new VerifiedLog({ ...options, url: "" });
  const keys = options.vkeys.map(tenantKey);
  return (stored, asked, connection) => {
    const { verify, filter, no_echo, signal: left } = asked;
    const { id: room } = stored;
    const { address: { check_url }, bus: { welcome: { tenant_id } }, tokens } = connection;
    const vkeys = keys.filter((key) => key.tenant_id === tenant_id).map((key) =>
      encodeVerifier(verifierOf(`${key.prefix}${room}`, key.public_key))
    );
    if (vkeys.length === 0) throw new TypeError(`proof.vkeys has none of tenant ${tenant_id}`);
    if (room.endsWith("*")) throw new TypeError(`verify: each room of ${room} has its own log`);
    const closed = new AbortController();
    const stops = [closed.signal, connection.signal, ...left === undefined ? [] : [left]];
    const signal = AbortSignal.any(stops);
    const log = new VerifiedLog({
      ...options,
      vkeys,
      token: () => tokens.current(undefined),
      signal,
      url: new URL(`../proof/${tenant_id}.${room}`, check_url).href,
      ...typeof verify === "string" ? { checkpoint: verify } : {},
      complete: options.complete !== false && !filter && !no_echo,
    });
    return verified(log, connection.subscribe(stored, asked), signal, () => closed.abort());
  };
}

/** A subscription that delivers only verified messages. */
function verified(
  log: VerifiedLog,
  source: Subscription,
  signal: AbortSignal,
  stop: () => void,
): Subscription {
  async function* items(): AsyncGenerator<Message, undefined> {
    try {
      yield* log.verify(source);
    } catch (error) {
      if (!signal.aborted) throw error;
      // Unverified messages are dropped; the loop ends like the subscription, possibly with its error.
      await source.next();
    }
  }
  const close = () => {
    stop();
    source.close();
  };
  const loop = loopOver({ ready: source.ready, close }, items());
  const checkpoint = { get: () => log.checkpoint };
  return Object.create(source, { ...Object.getOwnPropertyDescriptors(loop), checkpoint });
}

/** Headers that request a receipt in the ACK of a publish: `publish(type, data, { headers: WITH_RECEIPT })`. */
export const WITH_RECEIPT: Readonly<Record<string, string>> = { "x-arqon-receipt": "1" };

/**
 * The signed receipt of a publish, which `arq proof verify` checks; undefined if the room has none. Throws
 * `log-unavailable` if the message is stored, and the bus could not make its receipt.
 */
export function receiptIn({ result }: { readonly result: Uint8Array }): string | undefined {
  if (result.length === 0) return undefined;
  const { receipt } = JSON.parse(strictText(result));
  if (receipt !== null) return receipt;
  throw new ArqonError("log-unavailable", "the message is stored, and has no receipt");
}
