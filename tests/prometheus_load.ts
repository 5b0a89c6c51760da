/**
 * Work for a small deployment that moves every series of the dashboard and the alerts: what clients
 * do, what is refused, and what fails. Rounds are repeated for as long as the caller wants.
 */
import assert from "node:assert/strict";
import { encodePub, writeEnvelope } from "@arqon/proto";
import { BAD_PING, GOOD_PING } from "../shield/schema/testing/schemas.ts";
import type { Issuer, ServerProcess } from "./harness/cluster.ts";
import { DurableClient } from "./peers/durable_client.ts";
import { enforce } from "./peers/policy_admin.ts";
import { refusedUpgrade } from "./peers/raw_upgrade.ts";
import { ask, openBinary, openText } from "./peers/raw_client.ts";
import { requirePing } from "./peers/schema_admin.ts";

const MESSAGES = 10;

/** A Shield and who may talk to it. */
export interface Stage {
  readonly shield: ServerProcess;
  readonly issuer: Issuer;
}

/** A command while no Brain lives: refused, and that is counted. */
export async function askWithoutBrain({ shield, issuer }: Stage): Promise<void> {
  using client = await DurableClient.open(shield.socket_url, await issuer.tokenFor());
  const answer = await client.ask({ op: "cmd", room: "state", name: "room.get", data: {} });
  assert.equal(answer.reason, "brain-unavailable");
}

/** A policy that refuses, one that only looks on (a candidate), and a schema with a mapping. */
export async function prepare({ shield, issuer }: Stage): Promise<void> {
  const bus = {
    admin_url: shield.ready.admin_url!,
    tokenFor: () => issuer.tokenFor({ role: "admin", sub: "root" }),
  };
  for (const [tenant, mode] of [["acme", "enforce"], ["globex", "observe"]] as const) {
    await enforce(bus, "bad_words", { tenant, name: `words-${mode}`, mode });
  }
  await requirePing(bus, "acme", "pings-*");
}

async function talk({ shield, issuer }: Stage, tenant_id: string, refused: number): Promise<void> {
  const token = await issuer.tokenFor({ tenant_id });
  using client = await DurableClient.open(shield.socket_url, token);
  using reader = await openText(shield.socket_url, token);
  await ask(reader, { op: "sub", room: "lobby", presence: true });
  for (let index = 0; index < MESSAGES; index++) {
    assert.equal((await client.pub("lobby", `${index} is well`)).code, 0);
  }
  assert.equal((await client.pub("lobby", "malware")).code, refused);
  const set = { op: "cmd", room: "state", name: "room.set", data: { key: "k", value: 1 } };
  assert.equal((await client.ask(set)).code, 0);
}

async function publishPings({ shield, issuer }: Stage): Promise<void> {
  using client = await openBinary(shield.socket_url, await issuer.tokenFor());
  for (const [data, code] of [[GOOD_PING, 0], [BAD_PING, 400]] as const) {
    const event = { type: "ping", data, content_type: "application/protobuf" };
    client.send(encodePub(writeEnvelope({ room_id: "pings-1", request_id: 5, event })));
    const frame = await client.frame();
    assert(frame.kind === "ack" && frame.ack.code === code, JSON.stringify(frame));
  }
}

/** Publishes to a durable room, and comes back to it from where the reader was. */
async function recover({ shield, issuer }: Stage): Promise<void> {
  const open = async () => DurableClient.open(shield.socket_url, await issuer.tokenFor());
  using publisher = await open();
  const { epoch } = await publisher.join("log-1");
  const [first] = await publisher.fill("log-1", ["one", "two", "three"]);
  using back = await open();
  await back.join("log-1", { after_offset: first, epoch });
}

/** One round of everything; each is checked, so that what is measured is what was meant. */
export async function playRound(stage: Stage): Promise<void> {
  await Promise.all([
    talk(stage, "acme", 403),
    talk(stage, "globex", 0),
    publishPings(stage),
    recover(stage),
  ]);
  const [status] = await refusedUpgrade(stage.shield.ready.url!, { token: "no.token.atall" });
  assert.equal(status, "401");
}
