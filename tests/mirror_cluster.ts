/**
 * Shared by the tests of mirroring: a consumer of primary and shadow traffic on NATS, rules that are set and awaited on
 * every Shield, and counts of decisions.
 */
import assert from "node:assert/strict";
import { configFrom } from "../shared/config/load.ts";
import { openNats } from "../shared/spine/nats/nats.ts";
import type { Spine } from "../shared/spine/contract/spine.ts";
import type { SpineMessage } from "../shared/spine/contract/spine_message.ts";
import { subjectPattern } from "../shared/spine/testing/subjects.ts";
import { until } from "../shared/testing/until.ts";
import { testLog } from "../shared/testing/logs.ts";
import type { Issuer } from "./harness/cluster.ts";
import type { LocalShield } from "./harness/local_bus.ts";
import { openText, type RawClient } from "./peers/raw_client.ts";
import { type HttpAnswer, HttpPeer } from "./peers/http_peer.ts";

/** Receives shadow and primary traffic on NATS. */
export interface Listener extends AsyncDisposable {
  readonly spine: Spine;
  /** Messages in that room; `plane` is the subject's prefix. */
  inRoom(plane: "in" | "shadow.in", room: string): SpineMessage[];
}

/** A consumer on NATS that records everything from now on. */
export async function listenOn(url: string): Promise<Listener> {
  const config = configFrom({ nats: { urls: [url] } }).nats!;
  const spine = await openNats({ config, log: testLog(), now: Date.now });
  const messages: SpineMessage[] = [];
  for (const pattern of ["in.>", "shadow.in.>"]) {
    spine.subscribe(subjectPattern(pattern), (message) => void messages.push(message));
  }
  await spine.flush();
  return {
    spine,
    inRoom: (plane, room) =>
      messages.filter(({ subject }) => subject === `${plane}.t.acme.r.${room}`),
    [Symbol.asyncDispose]: () => spine.drain(),
  };
}

/** Shields on one NATS, and a listener beside them. */
export interface MirrorCluster {
  readonly issuer: Issuer;
  readonly shields: readonly LocalShield[];
  readonly listener: Listener;
}

/** A text client of one Shield. */
export async function connect({ ready }: LocalShield, issuer: Issuer): Promise<RawClient> {
  return await openText(`${ready.url?.replace(/^http/, "ws")}/v1/socket`, await issuer.tokenFor());
}

/** An operator's request to one Shield. */
export async function admin(
  { ready }: LocalShield,
  issuer: Issuer,
  method: string,
  path: string,
  body?: object,
): Promise<HttpAnswer> {
  const token = await issuer.tokenFor({ role: "admin", sub: "root" });
  return await new HttpPeer(ready.admin_url ?? "", token).call(method, path, body);
}

/** Sets a rule through the first Shield and waits until it is in force on every one. */
export async function setRule(
  { shields, issuer }: Pick<MirrorCluster, "shields" | "issuer">,
  prefix: string,
  percent: number,
) {
  const [one] = shields;
  const set = await admin(one!, issuer, "PUT", "tenants/acme/mirror", { prefix, percent });
  assert.equal(set.status, 200, JSON.stringify(set.body));
  assert.equal(set.body.here.in_force, true);
  for (const shield of shields) {
    const here = async () =>
      (await admin(shield, issuer, "GET", "tenants/acme/mirror")).body.here.version;
    await until("the rule arrives", async () => await here() >= set.body.version);
  }
}

/** Decided messages that this rule matched. */
export async function decidedBy({ ready }: LocalShield, rule: string): Promise<number> {
  const text = await (await fetch(`${ready.ops_url}/metrics`)).text();
  const series = `shield_mirror_traffic_total{rule="${rule}",`;
  const counts = text.split("\n").filter((line) => line.startsWith(series));
  return counts.reduce((total, line) => total + Number(line.slice(line.lastIndexOf(" "))), 0);
}
