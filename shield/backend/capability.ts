/**
 * The backends capability of a Shield: a tenant's backend that runs in the Shield's process, without socket and token.
 * The configuration defines its identity; its messages take the path of every other message.
 */
import type { Capability, Parts } from "../capability.ts";
import { type PlainEnvelope, scanEnvelope, writeEnvelope } from "@arqon/proto";
import type { Env } from "../../shared/env.ts";
import type { Config } from "../../shared/config/schema.ts";
import { storedBack } from "../../shared/spine/contract/read_page.ts";
import { tokenlessCaller } from "../message/caller.ts";
import { publish } from "../message/pipeline.ts";
import { HttpRates, takeIngress } from "../rates/http_rates.ts";

/** The identity of a backend. */
export interface BackendIdentity {
  readonly tenant_id: string;
  readonly user_id: string;
  /** Its issuer, which no token can have. */
  readonly issuer: string;
}

/** A message of JSON. */
interface BackendMessage {
  readonly room: string;
  readonly type: string;
  /** JSON text, which is sent unchanged. */
  readonly data: string;
  readonly message_id: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** A page of a room's stored messages. */
interface BackendPage {
  /** Newest first. */
  readonly messages: readonly {
    readonly message_id: string;
    readonly sender: string;
    readonly headers: Readonly<Record<string, string>>;
  }[];
  /** Storage time of the oldest one, Unix ms. */
  readonly oldest_ms: number;
}

/** The operations of a backend. */
export interface Backend {
  /** The user id that its messages get. */
  readonly sender: string;
  /** Resolves once the message is in the Spine or in its room's log. Rejects if the publish is refused. */
  publish(message: BackendMessage): Promise<void>;
  /** The stored messages of a room, from the newest on, also if it is no longer durable. */
  storedBack(room_id: string): AsyncIterable<BackendPage>;
}

interface BackendStart extends Pick<Env, "now" | "spine"> {
  readonly config: Pick<Config, "limits">;
}

type BackendParts = Pick<Parts, "operations" | "logs" | "rates" | "stats" | "tenants">;

/** A backend that may publish in every room of its tenant, at the HTTP rate of one user. */
export function createBackend(
  { config: { limits }, now, spine }: BackendStart,
  { operations: { context: { path, flushes } }, logs, stats, ...parts }: BackendParts,
  who: BackendIdentity,
): Backend {
  const { tenant_id } = who;
  const ingress = { stats, tenants: parts.tenants, rates: new HttpRates(parts.rates, now) };
  const caller = tokenlessCaller({ ...who, role: "service" }, who.user_id);
  return {
    sender: who.user_id,
    async publish({ room, type, data, message_id, headers }) {
      const event = {
        type,
        content_type: "application/json",
        data: new TextEncoder().encode(data),
      };
      const bytes = writeEnvelope({ room_id: room, message_id, headers, event });
      takeIngress(ingress, caller.identity, "http_publish", bytes.length);
      const envelope = scanEnvelope(bytes, limits);
      if (await publish(path, { caller, origin: undefined }, envelope) !== undefined) return;
      await new Promise<void>((resolve, reject) => {
        flushes.push((error) => error === undefined ? resolve() : reject(error));
      });
    },
    async *storedBack(room_id) {
      // The room may have been durable when its messages were published.
      const log = await (logs.has(tenant_id) ? logs.of(tenant_id) : spine.existingLog(tenant_id));
      if (log === undefined) return;
      for await (const { messages, oldest_ms } of storedBack(log, room_id)) {
        yield { messages: messages.map(({ envelope }) => storedOf(envelope)), oldest_ms };
      }
    },
  };
}

const storedOf = ({ message_id, sender_id, headers }: PlainEnvelope) => ({
  message_id,
  sender: sender_id,
  headers,
});

/** The capability, for a Shield's list; it makes a backend of that identity. */
export const BACKENDS: Capability<(who: BackendIdentity) => Backend> = {
  name: "backends",
  title: "publishers in the Shield's process",
  start: (env, parts) => ({ own: (who) => createBackend(env, parts, who) }),
};
