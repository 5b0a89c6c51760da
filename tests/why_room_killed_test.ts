/**
 * What `GET /v1/why` says of a user in a room when a Shield was killed: real processes and SIGKILL, on NATS. What only
 * the killed Shield had heard, others' users should have had; what others heard in its last seconds, its users.
 */
import assert from "node:assert/strict";
import { until } from "../shared/testing/until.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import { ledgerMarkOf } from "./harness/ledger_mark.ts";
import { startNats } from "./harness/nats_server.ts";
import { startTcpProxy } from "./harness/tcp_proxy.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { ask, openText, type RawClient } from "./peers/raw_client.ts";

/** Nearer to the ends of a subscription nobody says what was due. */
const UNDER_WAY_MS = 1_000;

type Server = Awaited<ReturnType<typeof startServer>>;
const socketOf = ({ ready }: Server) => `${(ready.url ?? "").replace(/^http/, "ws")}/v1/socket`;

async function heard(client: RawClient, what: string): Promise<void> {
  for (;;) {
    const { message_id, signal } = await client.json();
    if (message_id === what || signal?.kind === what) return;
  }
}

const publish = (client: RawClient, message_id: string) =>
  ask(client, { op: "pub", room: "hall", type: "t", data: {}, message_id });

async function waitUntil(at_ms: number): Promise<void> {
  await until("its time has come", () => Date.now() > at_ms);
}

interface Account {
  readonly connections: {
    readonly node_id: string;
    readonly room?: {
      readonly due: number;
      readonly sent: number;
      readonly missed: { readonly outcome: { readonly state: string; readonly why?: string } }[];
    };
  }[];
  readonly former: { readonly state: string }[];
}

/** What the accounts of the user's connections say was due, and what became of what was not sent. */
const wordsOf = ({ connections }: Account) =>
  connections.map(({ node_id, room }) => ({
    node_id,
    due: room?.due,
    sent: room?.sent,
    missed: room?.missed.map(({ outcome: { state, why = "" } }) => `${state} ${why}`.trim()),
  }));

Deno.test("a user in a room: what a killed Shield alone had heard is due, and what came after its last writing", async () => {
  await using nats = await startNats({ jetstream: true });
  await using proxy = startTcpProxy(nats.port);
  await using issuer = await createIssuer();
  const start = (node_id: string, port: number) =>
    startServer(
      "shield",
      `${issuer.config}[nats]\nurls = ["nats://127.0.0.1:${port}"]
[ledger]\nstore = true\nflush_ms = 50\n`,
      issuer.dir,
      `node_id = "${node_id}"\ndrain_ms = 0`,
    );
  await using killed = await start("killed", nats.port);
  await using other = await start("other", proxy.port);
  const root = await issuer.tokenFor({ role: "admin", sub: "root" });
  const admin = new AdminClient(other.ready["admin_url"] ?? "", root);
  using bob = await openText(socketOf(killed), await issuer.tokenFor({ sub: "bob" }));
  using ann = await openText(socketOf(other), await issuer.tokenFor({ sub: "ann" }));
  for (const client of [bob, ann]) await ask(client, { op: "sub", room: "hall" });
  await publish(ann, "both");
  await heard(bob, "both");
  await waitUntil(Date.now() + 2 * UNDER_WAY_MS);
  await proxy.cut();
  await publish(bob, "lost");
  const lost_ms = Date.now();
  proxy.restore();
  await heard(ann, "GAP");
  const path = (user: string) => `/v1/why?user=${user}&room=hall&since_ms=0`;
  // So long that what was lost is not at the end of what was written.
  const is_written = async () =>
    await ledgerMarkOf(nats.url, "killed") > lost_ms + 2 * UNDER_WAY_MS;
  await until("it is written", is_written);
  await killed.stop("SIGKILL");
  const killed_ms = Date.now();
  let told: Account = await admin.read(path("bob"));
  await waitUntil(killed_ms + UNDER_WAY_MS);
  await publish(ann, "late");
  await until("it is no more under way", async () => {
    told = await admin.read(path("bob"));
    return told.connections[0]?.room?.due === 3;
  });
  const { state = "" } = told.former[0] ?? {};
  assert.ok(state === "silent" || state === "killed", state);
  assert.deepEqual(wordsOf(told), [
    { node_id: "killed", due: 3, sent: 2, missed: [`unknown ${state}`] },
  ]);
  assert.deepEqual(wordsOf(await admin.read(path("ann"))), [
    { node_id: "other", due: 3, sent: 2, missed: ["not_heard"] },
  ]);
});
