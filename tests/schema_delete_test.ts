/** A schema is deleted on a real bus by `arq`: the mappings that keep it, and what is told of it afterwards. */
import assert from "node:assert/strict";
import { runArq } from "../arq/testing/run_arq.ts";
import { ping } from "../shield/schema/testing/schemas.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { startBusWith } from "./harness/bus.ts";

Deno.test("arq schema delete names the mappings, then deletes; the logs say who did it", async () => {
  await using bus = await startBusWith("");
  const token = await bus.tokenFor({ role: "admin", user: "root" });
  const admin = new AdminClient(bus.admin_url, token);
  const push = async (body: Uint8Array<ArrayBuffer>) => {
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/gzip" };
    const url = `${bus.admin_url}/v1/schemas/fleet`;
    const put = await fetch(url, { method: "PUT", headers, body });
    return await put.json();
  };
  assert.equal((await push(ping())).version, 1);
  const mappings = "/v1/tenants/default/mappings";
  const mapping = { subject: "in.t.default.r.x*", schema_id: "fleet", message: "t.Ping" };
  assert.equal((await admin.ask("PUT", mappings, mapping)).status, 200);
  const flags = ["--admin-url", bus.admin_url, "--token", token];
  const kept = await runArq(["schema", "delete", "fleet", ...flags]);
  assert.notEqual(kept.code, 0);
  assert.match(kept.stderr, /"fleet" is mapped: in\.t\.default\.r\.x\* to t\.Ping; unmap it first/);
  assert.equal((await admin.ask("DELETE", mappings)).status, 200);
  const gone = await runArq(["schema", "delete", "fleet", ...flags]);
  const told = "fleet is deleted (1 version, the newest 1); a push begins anew with version 2\n";
  assert.equal(gone.stdout, told, gone.stderr);
  const again = await runArq(["schema", "delete", "fleet", ...flags]);
  assert.match(again.stderr, /"fleet", which root deleted at version 1/);
  assert.equal((await push(ping())).version, 2);
  const history = await runArq(["schema", "history", "fleet", ...flags]);
  assert.match(history.stdout, /\ndeleted at version 1 \(.+\) by root\n/);
  const { entries } = await admin.read("/v1/audit?action=schema.delete");
  const outcomes = entries
    .filter(({ outcome }: { outcome: string }) => outcome !== "begun")
    .map(({ by, outcome, status }: { by: string; outcome: string; status: number }) =>
      [by, outcome, status].join(" ")
    );
  assert.deepEqual(outcomes.sort(), ["root done 200", "root refused 404", "root refused 409"]);
});
