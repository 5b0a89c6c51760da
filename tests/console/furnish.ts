/**
 * A tenant with something of every kind, with the longest allowed names, and the address of every view of the console
 * that shows some of it.
 */
import assert from "node:assert/strict";
import { connect, type Connection } from "@arqon/sdk";
import { roomState } from "@arqon/sdk/state";
import { adminRequests, sendRequest } from "../admin/admin_requests.ts";
import { ask, type World } from "./world.ts";

/** Ids have at most 64 characters, users at most 128. */
const long = (beginning: string, length: number) => beginning.padEnd(length, "x");
const TENANT = long("tenant-", 64);
/** Durable in the scenarios' bus. */
const ROOM = long("kept-", 64);
const USER = long("user-", 128);
const SKIPPED =
  /reset|rollouts|reload|\/state$|rollback|drain|\/log$|check|validate|\/kick|stats|\/reducers\/|\/(?:fork|trim|repair)$/;

/** The tenant's content, while the scope lasts. */
export interface Furnished extends AsyncDisposable {
  /** The part after `/console/`, by kind. */
  readonly views: Readonly<Record<string, string>>;
  readonly connection: Connection;
  readonly tenant_id: string;
  readonly room_id: string;
  readonly user_id: string;
}

/** Sends all requests that change a tenant. */
async function fill({ bus, admin }: World): Promise<void> {
  for (const { method, template, about } of await adminRequests()) {
    if (!["PUT", "POST"].includes(method) || SKIPPED.test(template)) continue;
    const request = about(TENANT);
    const response = await sendRequest(bus.admin_url, admin, method, request);
    const answered = await response.text();
    assert.ok(response.ok, `${method} ${request.path}: ${answered}`);
  }
}

/** Rolls out a change of the first policy, whose first step takes long; repeatable. */
async function rollOut(world: World): Promise<void> {
  const { basis, policies } = await ask(world, `/v1/tenants/${TENANT}/state`);
  const [first, ...others] = policies;
  const changed = [{ ...first, order: first.order + 1 }, ...others];
  const steps = { canary: 0.01, for_ms: 600_000, abort_if: ["refused>0.1%", "fuel_p99>2x"] };
  const body = { basis, policies: changed, ...steps };
  const answer = await ask(world, `/v1/rollouts/${TENANT}`, body);
  assert.equal(answer.rollout?.state, "running", JSON.stringify(answer));
}

async function inhabit(world: World): Promise<Connection> {
  const token = await world.bus.tokenFor({ tenant: TENANT, user: USER });
  const connection = await connect({ url: world.bus.url, token });
  const room = connection.room(ROOM);
  await room.subscribe({ presence: true, member_meta: { name: USER } }).ready;
  for (let n = 0; n < 60; n++) await room.publish(long(`type-${n % 2}-`, 120), { n, text: USER });
  await roomState(room).set(long("key-", 200), { text: USER });
  await roomState(room).set("topic", { text: "short" });
  await room.lock({ ttl_ms: 600_000 });
  const ban = { user_id: USER.replace("user", "gone"), scope: "room", reason: long("spam ", 256) };
  await ask(world, `/v1/rooms/${TENANT}/${ROOM}/ban`, ban);
  return connection;
}

/** Resolves when everything exists. */
export async function furnish(world: World): Promise<Furnished> {
  await fill(world);
  await rollOut(world);
  const connection = await inhabit(world);
  const { connections } = await ask(world, `/v1/connections?tenant=${TENANT}`);
  const { nodes } = await ask(world, "/v1/cluster");
  return {
    views: {
      overview: "#/",
      nodes: "#/nodes",
      node: `#/nodes/${nodes[0].node_id}`,
      connections: "#/connections",
      connection: `#/connections/${connections[0].connection_id}`,
      rooms: "#/rooms",
      room: `#/rooms/${TENANT}/${ROOM}`,
      "the playground": `#/playground?tenant=${TENANT}&room=${ROOM}`,
      tenants: "#/tenants",
      usage: `#/usage?tenant=${TENANT}`,
      tenant: `#/tenants/${TENANT}`,
      policies: "#/policies",
      "a tenant's policies": `#/policies/${TENANT}`,
      policy: `#/policies/${TENANT}/${long("policy-", 64)}`,
      rollouts: "#/rollouts",
      rollout: `#/rollouts/${TENANT}`,
      schemas: "#/schemas",
      schema: "#/schemas/everyones",
      mirror: "#/mirror",
      limits: "#/limits",
      log: "#/log",
      bans: "#/bans",
      revocations: "#/revocations",
      audit: "#/audit",
      journal: `#/journal?tenant=${TENANT}`,
      why: `#/why?${new URLSearchParams({
        tenant: TENANT,
        connection: connections[0].connection_id,
        room: ROOM,
      })}`,
      nothing: "#/no/such/page",
    },
    connection,
    tenant_id: TENANT,
    room_id: ROOM,
    user_id: USER,
    async [Symbol.asyncDispose]() {
      await connection.close();
      await ask(world, `/v1/rollouts/${TENANT}/abort`, {});
    },
  };
}
