/** A message path on a fresh engine with a subscription to everything, and messages for it. Tests only. */
import { ArqonError, scanEnvelope, writeAck, writeEnvelope } from "@arqon/proto";
import type { PlainEnvelope, ScannedEnvelope } from "@arqon/proto";
import { randomPool } from "../../../shared/ids.ts";
import { ALL_COMMANDS, roomSubject } from "../../../shared/subjects/subject.ts";
import type { Identity } from "../../auth/identity.ts";
import { NO_BANS } from "../../auth/bans.ts";
import { PLAIN_ROOMS } from "../../durable/log/logs.ts";
import { observersOf, type Passed } from "../observers.ts";
import { listenToAll, SPINE_NOW_MS, testSpine } from "../../testing/spine.ts";
import type { Caller } from "../caller.ts";
import { runCommand } from "../command.ts";
import { type MessagePath, publish } from "../pipeline.ts";
import type { SignatureRules } from "../signature.ts";
import { NO_POLICIES, NO_SCHEMAS } from "../gates.ts";

/** Limits of reading an envelope. */
export const LIMITS = { headers: 64, header_bytes: 65_536, field_bytes: 4_096 };
const random = randomPool((bytes) => crypto.getRandomValues(bytes));

/** No observers. */
export const NO_OBSERVERS = observersOf([]);

/** The caller of an identity, as an upgrade without headers makes it. */
export function callerOf(identity: Identity): Caller {
  return { identity, connection_id: "c1", request_headers: [], remote_ip: "127.0.0.1" };
}

/** A path on this engine that refuses nothing and keeps nothing; `own` replaces parts. */
export function plainPath(
  spine: MessagePath["spine"],
  own: Partial<MessagePath> = {},
): MessagePath {
  return {
    spine,
    signatures: { of: () => [] },
    announce() {},
    overseer: NO_POLICIES,
    bans: NO_BANS,
    schemas: NO_SCHEMAS,
    observers: NO_OBSERVERS,
    ...PLAIN_ROOMS,
    now: () => SPINE_NOW_MS,
    random,
    ...own,
  };
}

/** A path on a fresh engine, everything published on it, and a Brain that accepts every command. */
export function testPath(
  require_signature: SignatureRules = [],
  overseer: MessagePath["overseer"] = NO_POLICIES,
  schemas: MessagePath["schemas"] = NO_SCHEMAS,
  more: Partial<Pick<MessagePath, "journal" | "observers">> = {},
) {
  const engine = testSpine();
  const { spine } = engine;
  const published = listenToAll(spine);
  spine.subscribe(ALL_COMMANDS, ({ respond }) => respond(writeAck({ code: 0 })));
  const signatures = { of: () => require_signature };
  const path = plainPath(spine, { signatures, overseer, schemas, ...more });
  /** The refusal, or undefined; waits until the engine has delivered everything. */
  const send = async (identity: Identity, envelope: ScannedEnvelope, origin?: string) => {
    const caller = callerOf(identity);
    try {
      if (envelope.command !== undefined) {
        const limits = { command_timeout_ms: 10_000 };
        await runCommand({ path, limits, own: () => undefined }, caller, envelope, origin);
      } else await publish(path, { caller, origin }, envelope);
      return undefined;
    } catch (error) {
      if (error instanceof ArqonError) return error.reason;
      throw error;
    } finally {
      await spine.flush();
    }
  };
  return { ...engine, spine, path, published, send };
}

/** What observers receive about a message published in a room without a log. */
export function passedOf(
  { caller, envelope, routed, headers }:
    & Pick<Passed, "caller" | "envelope" | "routed">
    & Partial<Pick<Passed, "headers">>,
): Passed {
  const { tenant_id } = caller.identity;
  const subject = roomSubject("in", tenant_id, envelope.room_id);
  const room_class = PLAIN_ROOMS.classes.of(tenant_id, envelope.room_id);
  const rest = { headers, stored: undefined, subscribed: true };
  return { caller, envelope, subject, room_class, routed, ...rest };
}

/** An event in the room "lobby", with these fields changed. */
export function scan(change: Partial<PlainEnvelope> = {}): ScannedEnvelope {
  const event = { type: "chat", data: new Uint8Array([1]), content_type: "", schema_id: "" };
  return scanEnvelope(writeEnvelope({ room_id: "lobby", event, ...change }), LIMITS);
}
