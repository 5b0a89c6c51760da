/**
 * `GET /v1/why` over two Shields on a real NATS with the accounts of docs/run_nats.md: each tells what it
 * knows, a Shield that stands still is named, one that drains tells where its connections went.
 */
import assert from "node:assert/strict";
import { withAdminCluster } from "./admin/admin_cluster.ts";
import type { AdminCluster } from "./admin/admin_cluster.ts";
import type { ServerProcess } from "./harness/cluster.ts";
import { ask, openText } from "./peers/raw_client.ts";
import type { RawClient } from "./peers/raw_client.ts";

async function connect(
  { issuer }: AdminCluster,
  shield: ServerProcess,
  sub: string,
): Promise<RawClient> {
  const url = `${shield.ready.url?.replace(/^http/, "ws")}/v1/socket`;
  return await openText(url, await issuer.tokenFor({ sub }));
}

/** The next message's id. */
async function heard(client: RawClient): Promise<string> {
  for (;;) {
    const frame = await client.json();
    if (frame.op === "msg" && frame.type === "t") return frame.message_id;
  }
}

const publish = (client: RawClient, message_id: string) =>
  ask(client, { op: "pub", room: "hall", type: "t", data: 1, message_id });

interface Row {
  readonly node_id: string;
  readonly ended?: { readonly code: number; readonly reason: string };
  readonly outcomes: readonly { readonly state: string; readonly why?: string }[];
}

async function word({ admin }: AdminCluster, message_id: string, user: string): Promise<string[]> {
  const { connections } = await admin.read(`/v1/why?message_id=${message_id}&user=${user}`);
  return connections.map(({ outcomes: [one] }: Row) => one?.state);
}

Deno.test("two Shields: each knows its own, both are asked, and one that is silent is named", async () => {
  await withAdminCluster("", async (cluster) => {
    const { admin, one, two } = cluster;
    const [first, second] = [one.ready.node_id, two.ready.node_id];
    const known = await admin.until(
      "/v1/cluster",
      "not all are known",
      ({ body }) => body.nodes.length === 3 ? true : undefined,
    );
    assert.equal(known, true);
    using ann = await connect(cluster, one, "ann");
    using bob = await connect(cluster, two, "bob");
    for (const client of [ann, bob]) await ask(client, { op: "sub", room: "hall" });
    await publish(ann, "one");
    assert.equal(await heard(bob), "one");
    const { messages, connections, ledgers } = await admin.read(
      "/v1/why?message_id=one&user=bob",
    );
    const nodes = messages[0].heard.map(({ node_id }: Row) => node_id);
    assert.deepEqual(nodes.toSorted(), [first, second].toSorted());
    assert.deepEqual(connections.map(({ node_id }: Row) => node_id), [second]);
    assert.deepEqual(connections[0].outcomes[0].state, "sent");
    assert.equal(ledgers.length, 2);
    assert.deepEqual(await word(cluster, "one", "ann"), ["sent"]);
    // The other one stands still: the rest is told, and it is named.
    two.signal("SIGSTOP");
    try {
      const partly = await admin.read("/v1/why?message_id=one&user=bob");
      assert.deepEqual(partly.nodes, { answered: [first], silent: [second] });
      assert.deepEqual([partly.messages.length, partly.connections], [1, []]);
    } finally {
      two.signal("SIGCONT");
    }
    const drained = await admin.ask("POST", "/v1/drain", { node_id: second });
    assert.equal(drained.status, 202, drained.text);
    assert.equal((await bob.closed()).code, 1012);
    await two.status;
    await publish(ann, "two");
    assert.deepEqual(await word(cluster, "two", "bob"), [], "its ledger has gone with it");
  });
});
