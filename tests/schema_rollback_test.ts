/** A schema is rolled back on a real bus: what is in force, what the history and the audit log say. */
import assert from "node:assert/strict";
import { runArq } from "../arq/testing/run_arq.ts";
import { ping } from "../shield/schema/testing/schemas.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { startBusWith } from "./harness/bus.ts";

Deno.test("a rollback is the next version, step by step, and says who did it", async () => {
  await using bus = await startBusWith("");
  const token = await bus.tokenFor({ role: "admin", user: "root" });
  const admin = new AdminClient(bus.admin_url, token);
  const path = "/v1/schemas/fleet";
  const mapping = { subject: "in.t.default.r.x*", schema_id: "fleet", message: "t.Ping" };
  for (const fields of [[], ["extra"], ["extra", "more"]]) {
    const body = ping(
      ...fields.map((name, at) => [name, 50 + at, "int32"] as [string, number, string]),
    );
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/gzip" };
    const put = await fetch(`${bus.admin_url}${path}`, { method: "PUT", headers, body });
    assert.equal(put.status, 200, await put.text());
  }
  const mappings = "/v1/tenants/default/mappings";
  assert.equal((await admin.ask("PUT", mappings, mapping)).status, 200);
  const { versions: [one, two] } = await admin.read(path);
  const flags = ["--admin-url", bus.admin_url, "--token", token];
  const back = await runArq(["schema", "rollback", "fleet", ...flags]);
  assert.equal(
    back.stdout,
    "fleet version 4: what version 2 held is in force again\n",
    back.stderr,
  );
  const { body } = await admin.ask("POST", `${path}/rollback`);
  assert.deepEqual([body.version, body.restores, body.by], [5, 1, "root"]);
  const { versions, here } = await admin.read(path);
  assert.deepEqual(versions.map(({ sha256 }: { sha256: string }) => sha256).slice(-2), [
    two.sha256,
    one.sha256,
  ]);
  assert.equal(here.messages[0].version, 5);
  assert.equal((await admin.ask("POST", `${path}/rollback`)).body.reason, "schema-unknown");
  assert.equal((await admin.ask("POST", `${path}/rollback?version=9`)).status, 404);
  assert.equal((await admin.ask("POST", `${path}/rollback?version=x`)).status, 400);
  const again = await runArq(["schema", "rollback", "fleet", "--to", "5", ...flags]);
  assert.match(again.stdout, /version 5 holds that already/);
  const { entries } = await admin.read("/v1/audit?action=schema.rollback&outcome=done");
  assert.deepEqual(entries.map(({ by }: { by: string }) => by), ["root", "root", "root"]);
});
