/**
 * The SDK's `explain` for messages and errors on a real bus: `arq why` and `GET /v1/why` find that message, and that
 * refusal.
 */
import assert from "node:assert/strict";
import { runArq } from "../arq/testing/run_arq.ts";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { ArqonError, connect, type Connection, explain, type Explanation } from "@arqon/sdk";
import { roomState } from "@arqon/sdk/state";
import { durableRooms } from "../shared/testing/room_classes.ts";

const CONFIG = `
[admin]
operator_tenants = ["default"]
${durableRooms("log-*")}
`;

interface World {
  readonly bus: TestBus;
  readonly ann: Connection;
  readonly bob: Connection;
  /** The answer of either way, which is the same. */
  ask(explained: Explanation): Promise<Answer>;
}

interface Answer {
  readonly messages: { room_id: string; message_id: string; trace_id: string; twist_id: string }[];
  readonly connections: { connection_id: string; outcomes: { state: string }[] }[];
  readonly refusals: { connection_id: string; reason: string; stage: string; user_id: string }[];
}

/** The arguments of a command line, as a POSIX shell would split them; none here is quoted. */
const argumentsOf = ({ command }: Explanation) => command.split(" ").slice(1);

async function withBus(work: (world: World) => Promise<void>): Promise<void> {
  await using bus = await startLocalBus(CONFIG);
  const token = await bus.tokenFor({ role: "admin", user: "root" });
  const admin = new AdminClient(bus.admin_url, token);
  const of = async (user: string) =>
    await connect({ url: bus.url, token: await bus.tokenFor({ user }) });
  await using ann = await of("ann");
  await using bob = await of("bob");
  await work({
    bus,
    ann,
    bob,
    async ask(explained) {
      const answer: Answer = await admin.read(explained.path);
      const args = [...argumentsOf(explained), "--json", "--admin-url", bus.admin_url];
      const { stdout } = await runArq([...args, "--token", token]);
      const { messages, refusals } = JSON.parse(stdout) as Answer;
      assert.deepEqual({ messages, refusals }, {
        messages: answer.messages,
        refusals: answer.refusals,
      });
      return answer;
    },
  });
}

Deno.test("explain of a received message, and of a publish, finds only that message", async () => {
  await withBus(async ({ ann, bob, ask }) => {
    for (const room_id of ["hall", "log-1"]) {
      using messages = bob.room(room_id).subscribe();
      await messages.ready;
      for (const options of [{}, { message_id: "m1" }, {}]) {
        const sent = await ann.room(room_id).publish("t", "hello", options);
        const message = (await messages.next()).value!;
        assert.equal(message.trace_id, sent.trace_id, "the trace is the publisher's");
        assert.match(message.id, /^[0-9a-f-]{36}$/);
        const by_id = await ask(explain(bob, message, { user: "bob" }));
        assert.deepEqual(
          by_id.messages.map((one) => [one.room_id, one.message_id, one.twist_id]),
          [[room_id, options.message_id ?? "", message.id]],
        );
        assert.deepEqual(by_id.connections.map(({ outcomes }) => outcomes[0]?.state), ["sent"]);
        const by_publish = await ask(explain(ann, sent, { user: "bob" }));
        assert.deepEqual(by_publish.messages, by_id.messages);
        assert.deepEqual(by_publish.connections, by_id.connections);
      }
    }
  });
});

Deno.test("an error says trace and connection, and explain finds the refusal by them", async () => {
  await withBus(async ({ ann, bus, ask }) => {
    const { connection_id } = ann.welcome;
    const reported: ArqonError[] = [];
    const token = await bus.tokenFor({
      user: "cat",
      claims: { grants: [{ room: "own", actions: ["publish"] }] },
    });
    await using cat = await connect({
      url: bus.url,
      token,
      onError: (error) => reported.push(error),
    });
    const room = cat.room("other");
    const errors = await Promise.all([
      room.publish("t", 1).catch((error: unknown) => error),
      room.publish("t", 1, { trace_id: "1".repeat(32) }).catch((error: unknown) => error),
      roomState(room).get().catch((error: unknown) => error),
      room.subscribe().ready.catch((error: unknown) => error),
    ]);
    for (const [n, error] of errors.entries()) {
      assert.ok(error instanceof ArqonError, String(error));
      assert.equal(error.reason, "not-granted");
      assert.equal(error.connection_id, cat.welcome.connection_id);
      // A SUB is not a message, and has no trace.
      assert.match(error.trace_id, n === 3 ? /^$/ : n === 1 ? /^1{32}$/ : /^[0-9a-f]{32}$/);
      const { refusals } = await ask(explain(cat, error));
      assert.ok(refusals.length > 0);
      for (const refusal of refusals) {
        assert.equal(refusal.connection_id, cat.welcome.connection_id);
        assert.equal(refusal.reason, "not-granted");
      }
    }
    const handed = await room.publish("t", 1, { ack: false });
    assert.deepEqual([handed.room, handed.message_id, handed.offset], ["other", "", undefined]);
    assert.equal(
      explain(cat, handed).command,
      `arq why --tenant default --trace ${handed.trace_id} --room other`,
    );
    await cat.room("own").publish("t", 1);
    assert.deepEqual(reported.map((error) => error.connection_id), [cat.welcome.connection_id]);
    const of_ann = await ask(explain(ann, new ArqonError("not-granted", "", { connection_id })));
    assert.deepEqual(of_ann.refusals, [], "nobody else's refusals");
  });
});

Deno.test("the error that ends a connection names it; a request's refusal is not another's", async () => {
  await withBus(async ({ bus, ann }) => {
    const admin = new AdminClient(bus.admin_url, await bus.tokenFor({ role: "admin" }));
    const { connection_id } = ann.welcome;
    const banned = await admin.ask("POST", "/v1/rooms/default/hall/ban", {
      user_id: "ann",
      scope: "tenant",
    });
    assert.equal(banned.status, 200, banned.text);
    const ended = await ann.closed;
    assert.deepEqual([ended?.reason, ended?.connection_id, ended?.trace_id], [
      ...["banned", connection_id, ""],
    ]);
    const late = ["2", "3"].map((digit) =>
      ann.room("hall").publish("t", 1, { trace_id: digit.repeat(32) })
        .catch((error: ArqonError) => [error.reason, error.trace_id[0], error.connection_id])
    );
    assert.deepEqual(await Promise.all(late), [
      ["connection-closed", "2", connection_id],
      ["connection-closed", "3", connection_id],
    ]);
  });
});
