/**
 * Shared by the tests and the long run of rollouts: a rule and its bad successor, and clients that record the outcome
 * of each message.
 */
import assert from "node:assert/strict";
import { pace } from "../shared/testing/pace.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { guest } from "./peers/hostile_bytes.ts";
import type { RawClient } from "./peers/raw_client.ts";

/** The fifth byte of a text frame's data: `"abc7"`. */
const FIFTH = "(i32.load8_u offset=8 (call $get_payload))";
/** A rule with that decision. Each call's payload overwrites the previous one, since it runs for long. */
const rule = (hook: string) => guest({ hook, alloc: "(i32.const 4096)" });
/** Refuses "abc9". */
export const OLD_RULE = rule(`(i32.eq ${FIFTH} (i32.const 57))`);
/** Refuses "abc9", and by mistake "abc7". */
export const BAD_RULE = rule(
  `(i32.or (i32.eq ${FIFTH} (i32.const 57)) (i32.eq ${FIFTH} (i32.const 55)))`,
);
/** The same decisions as the old one in different bytes. */
export const GOOD_RULE = rule(`(i32.eq (i32.const 57) ${FIFTH})`);

/** One answered message. */
export interface Answered {
  readonly text: string;
  readonly code: number;
  /** The bus's text of a refusal. */
  readonly why: string;
}

/** Sends a request to an admin API. */
export type Ask = (
  method: string,
  path: string,
  body?: object | Uint8Array<ArrayBuffer>,
  // deno-lint-ignore no-explicit-any -- the tests say what is in it
) => Promise<{ readonly status: number; readonly body: any }>;

/** A client of one admin listener. */
export function asker(admin_url: string, token: string): Ask {
  const admin = new AdminClient(admin_url, token);
  return (method, path, body) => {
    const binary = path.startsWith("schemas/") ? "application/gzip" : "application/wasm";
    const type = body instanceof Uint8Array ? { "content-type": binary } : {};
    return admin.ask(method, `/v1/${path}`, body, type);
  };
}

/** Between a client's messages, in ms: a rollout's conditions need messages, not a busy machine. */
const PAUSE_MS = 5;

/** Clients that publish one message after another until they are stopped. */
export class Traffic {
  readonly answered: Answered[] = [];
  /** Sent in turn. */
  texts: readonly string[] = ["abc1", "abc9"];
  #is_over = false;
  readonly #done: Promise<unknown>;

  constructor(clients: readonly RawClient[]) {
    this.#done = Promise.all(clients.map((client, at) => this.#speak(client, at)));
    this.#done.catch(() => {});
  }

  /** Resolves once each client has the answer to its last message; rejects if a connection ended. */
  async stop(): Promise<void> {
    this.#is_over = true;
    await this.#done;
  }

  /** Number of answers with that code to that text. */
  count(text: string, code: number): number {
    return this.answered.filter((one) => one.text === text && one.code === code).length;
  }

  async #speak(client: RawClient, at: number): Promise<void> {
    for (let id = at + 1; !this.#is_over; id++) {
      const text = this.texts[id % this.texts.length]!;
      client.send({ op: "pub", room: "r", data: text, id });
      const { code, reason, message } = await client.json();
      this.answered.push({ text, code, why: code === 0 ? "" : `${code} ${reason}: ${message}` });
      await pace(PAUSE_MS);
    }
  }
}

/** Uploads a module; resolves with its sha256. */
export async function upload(ask: Ask, bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const { status, body } = await ask("PUT", "policies/modules", bytes);
  assert.equal(status, 200, JSON.stringify(body));
  return body.sha256;
}

/** Applies one policy of that module to the tenant. */
export async function putPolicy(ask: Ask, tenant: string, sha256: string): Promise<void> {
  const { body } = await ask("POST", "policies/deploy", { tenant, name: "rule", sha256 });
  assert.equal(body.here?.state ?? "active", "active", JSON.stringify(body));
}

/** The body that starts a rollout of that module. */
export async function rolloutBody(ask: Ask, tenant: string, sha256: string, more: object) {
  const { body: { basis, policies } } = await ask("GET", `tenants/${tenant}/state`);
  const changed = policies.map((one: object) => ({ ...one, sha256 }));
  return { basis, policies: changed, canary: 0.5, for_ms: 0, at_least: 20, ...more };
}
