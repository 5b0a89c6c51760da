/**
 * Stored documents that cannot be read, on a real bus: a list shows them beside the others, whose answers they leave
 * alone, and an admin removes or replaces them.
 */
import assert from "node:assert/strict";
import { HOOKS_BUCKET } from "../../shared/records/hook_document.ts";
import {
  GROWING_BUCKET,
  ROLLOUTS_BUCKET,
  SCHEDULES_BUCKET,
  TICKETS_BUCKET,
} from "../../shared/records/buckets.ts";
import { encodeRollout } from "../../shared/rollout/rollout.ts";
import { rolloutOf } from "../../shared/rollout/testing/rollouts.ts";
import { openEmbedded } from "../../shared/spine/embedded/embedded.ts";
import { testLog } from "../../shared/testing/logs.ts";
import { temporaryFolder } from "../../shared/testing/temporary_folder.ts";
import { startLocalBus } from "../harness/local_bus.ts";
import { AdminClient } from "../peers/admin_client.ts";
import { asker, GOOD_RULE, OLD_RULE, putPolicy, rolloutBody, upload } from "../rollout_traffic.ts";

const TENANT = "/v1/tenants/acme";
const HOOK = { url: "https://127.0.0.1:1/", room: "lobby" };
const SCHEDULE = { room: "lobby", message: { type: "tick", data: {} }, every_ms: 3_600_000 };

async function plant(data_dir: string): Promise<void> {
  const spine = openEmbedded({ log: testLog(), now: Date.now, data_dir });
  const put = async (bucket: string, key: readonly string[], text: string) => {
    await (await spine.keyValue(bucket)).put(key, new TextEncoder().encode(text));
  };
  for (const bucket of [HOOKS_BUCKET, SCHEDULES_BUCKET]) {
    await put(bucket, ["acme", "torn"], "{");
    await put(bucket, ["acme", "newer"], '{"format":99}');
  }
  await put(ROLLOUTS_BUCKET, ["acme"], "{");
  await put(ROLLOUTS_BUCKET, ["zeta"], new TextDecoder().decode(encodeRollout(rolloutOf({}))));
  await put(TICKETS_BUCKET, ["1", "secret"], "{");
  await put(GROWING_BUCKET, ["acme", "lobby", "g1"], "{");
  const newer = '"format":99,"user_id":"ann"';
  await put(TICKETS_BUCKET, ["1", "newer"], `{"identity":{"tenant_id":"acme",${newer}},${newer}}`);
  await put(GROWING_BUCKET, ["acme", "lobby", "g2"], `{"producer":{${newer}},${newer}}`);
  await put(HOOKS_BUCKET, ["acme", "former", "dead", "1"], `{"body":{${newer}},${newer}}`);
  await spine.drain();
}

Deno.test("a stored document that cannot be read hides no other one, and can be removed", async () => {
  await using folder = await temporaryFolder();
  await plant(folder.path);
  await using bus = await startLocalBus("", { data_dir: folder.path });
  const token = await bus.tokenFor({ role: "admin", tenant: "ops" });
  const admin = new AdminClient(bus.admin_url, token);
  const stateOf = ({ id, state }: { id: string; state: string }) => [id, state];
  const status = async (method: string, path: string, body?: unknown) =>
    (await admin.ask(method, path, body)).status;

  for (const [kind, body, state] of [["hooks", HOOK, "on"], ["schedules", SCHEDULE, "waiting"]]) {
    assert.equal(await status("PUT", `${TENANT}/${kind}/well`, body), 200);
    const listed = (await admin.read(`${TENANT}/${kind}`))[String(kind)];
    const unreadable = [["newer", "unreadable"], ["torn", "unreadable"]];
    assert.deepEqual(listed.map(stateOf), [...unreadable, ["well", state]]);
    for (const [id] of unreadable) {
      assert.equal(await status("DELETE", `${TENANT}/${kind}/${id}`), 200, `${kind} ${id}`);
    }
  }
  assert.equal(await status("GET", `${TENANT}/state`), 200);

  const { rollouts } = await admin.read("/v1/rollouts");
  const shown = rollouts.map((one: { tenant: string; state: string }) => [
    one.tenant,
    one.state === "unreadable",
  ]);
  assert.deepEqual(shown, [["acme", true], ["zeta", false]]);
  // A damaged rollout is not run, so another one may begin.
  const ask = asker(bus.admin_url, token);
  await putPolicy(ask, "acme", await upload(ask, OLD_RULE));
  const next = await rolloutBody(ask, "acme", await upload(ask, GOOD_RULE), {});
  const begun = await ask("POST", "rollouts/acme", next);
  assert.equal(begun.status, 200, JSON.stringify(begun.body));
  for (const tenant of ["acme", "zeta"]) {
    assert.equal(await status("GET", `/v1/data?tenant=${tenant}&user=ann`), 200);
  }
  assert.equal(await status("GET", "/v1/data?tenant=acme&room=lobby"), 200);
  const { body } = await admin.ask("POST", "/v1/data/erase", { tenant: "acme", user: "ann" });
  const erased = body.stores.map((one: { store: string }) => one.store).sort();
  assert.deepEqual(erased, ["growing", "hooks and dead letters", "tickets"]);
});
