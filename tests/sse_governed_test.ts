/** Readers of events under policies, and as operators and the journal see them: like any connection. */
import assert from "node:assert/strict";
import { until } from "../shared/testing/until.ts";
import { fromText } from "../wasm/testing/bytes.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import { PATIENT_POLICIES } from "./harness/patient_policies.ts";
import { EventReader } from "./peers/event_reader.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { policyAdmin } from "./peers/policy_admin.ts";

/** Refuses every SUB. */
const DOORMAN = `(module
  (memory (export "memory") 1)
  (func (export "arqon_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "arqon_on_subscribe") (result i32) (i32.const 1)))`;

Deno.test("a reader of events under policies, and before operators", async (t) => {
  await using bus = await startLocalBus(`[ops]\nhost = "127.0.0.1"\n${PATIENT_POLICIES}`);
  const open = (path: string) =>
    EventReader.open(`${bus.http_url}/v1/${path}`, { token: bus.token });
  const admin = new HttpPeer(bus.admin_url, await bus.tokenFor({ role: "admin", user: "root" }));

  await t.step("a policy refuses one room, and the request with it", async () => {
    const policies = await policyAdmin(bus);
    const { body } = await policies.upload(fromText(DOORMAN));
    const binding = { tenant: "default", name: "door", room: "guarded", hooks: ["on_subscribe"] };
    assert.equal(
      (await policies.post("deploy", { ...binding, sha256: body["sha256"] })).status,
      200,
    );
    await assert.rejects(open("rooms/guarded/events"), { message: "403 policy-rejected" });
    await assert.rejects(open("events?room=a&room=guarded"), { message: "403 policy-rejected" });
  });
  await t.step("an operator sees it, and ends it", async () => {
    using reader = await open("rooms/a/events");
    const { connection } = (await reader.until("welcome")).data;
    const path = `connections/${connection}`;
    const shown = await admin.call("GET", path);
    assert.equal(shown.status, 200, JSON.stringify(shown.body));
    assert.match(JSON.stringify(shown.body), /"a"/);
    assert.equal((await admin.call("DELETE", path)).status, 204);
    assert.equal((await reader.until("signal")).data.signal.kind, "DISCONNECT");
    assert.equal((await reader.until("refused")).data.reason, "disconnected");
    assert.equal((await reader.until("closed")).data.code, 1008);
    assert.equal(await reader.next(), undefined);
  });
  await t.step("what was refused holds no place", async () => {
    await until("all places are free", async () => {
      const text = await (await fetch(`${bus.ops_url}/metrics`)).text();
      return ["event_streams", "active_connections"].every((name) =>
        new RegExp(`^shield_${name}\\S* 0$`, "m").test(text)
      );
    });
  });
});
