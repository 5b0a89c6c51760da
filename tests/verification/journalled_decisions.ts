/**
 * Decides messages on a bus by example policies, has `arq proof decide` make each journalled decision again, and prints
 * modules and decisions as `recorded_calls.ts` does, for `calls_by_wasmtime.py`: the same in another engine. The
 * argument is how many messages of each policy.
 */
import assert from "node:assert/strict";
import { decide } from "../../arq/commands/proof/decide.ts";
import { builtModule } from "../../arq/replay/testing/recorded.ts";
import { diskIo } from "../../arq/testing/disk_io.ts";
import type { JournalRecord } from "../../shared/journal/record.ts";
import { startLocalBus } from "../harness/local_bus.ts";
import { PATIENT_POLICIES } from "../harness/patient_policies.ts";
import { AdminClient } from "../peers/admin_client.ts";
import { HttpPeer } from "../peers/http_peer.ts";
import { enforce } from "../peers/policy_admin.ts";
import { grown, RECORDS_CONFIG, served, treeUrl, verifierOf, vkeyOf } from "../proof/served.ts";
import { moduleLine, POLICIES, textAt } from "./recorded_calls.ts";

const CONFIG = RECORDS_CONFIG.replace('room = "bets"', 'room = "*"\njournal_payload = "keep"') +
  PATIENT_POLICIES;

const count = Number(Deno.args[0]);
const cwd = await Deno.makeTempDir();
await using bus = await startLocalBus(CONFIG);
const token = await bus.tokenFor({ role: "admin" });
const peer = new HttpPeer(bus.http_url, bus.token);
for (const name of POLICIES) {
  const bytes = await builtModule(name);
  await Deno.writeFile(`${cwd}/${name}.wasm`, bytes);
  const room = name.replaceAll("_", "-");
  await enforce(bus, bytes, { name, room });
  for (let at = 0; at < count; at++) {
    await peer.call("POST", `rooms/${room}/messages`, { data: { text: textAt(at) } });
  }
}
const files = served(bus, "journal@default", token);
await grown(files, await verifierOf(files), POLICIES.length * count);
const admin = new AdminClient(bus.admin_url, token);
const { text } = await admin.get("/v1/journal?tenant=default&payload=1&limit=10000");
const records: JournalRecord[] = text.trimEnd().split("\n").slice(0, -1)
  .map((line) => JSON.parse(line));
await Deno.writeTextFile(`${cwd}/all.ndjson`, records.map((one) => JSON.stringify(one)).join("\n"));
const io = diskIo(cwd);
const flags = {
  log: treeUrl(bus, "journal@default"),
  token,
  vkey: [await vkeyOf(files)],
  json: true,
  module: POLICIES.map((name) => `${name}.wasm`),
};
assert.equal(await decide(io, "all.ndjson", flags), 0, io.stdout.text().slice(-2_000));
const decided = io.stdout.text().trim().split("\n").map((line) => JSON.parse(line));
assert.equal(decided.length, POLICIES.length * count);
for (const [at, { id, index, policies: [decided_policy] }] of decided.entries()) {
  const { id: recorded, policies: [{ module, units, allowed, code, reason }] } = records[at]! as
    & JournalRecord
    & { policies: [JournalRecord["policies"][number]] };
  assert.equal(id, recorded);
  assert.match(decided_policy.said, /^repeated(; its fuel differs, because it keeps memory)?$/);
  assert(Number.isSafeInteger(index));
  const { budget_units: _, is_same: __, name: ___, said: ____, ...same } = decided_policy;
  assert.deepEqual(same, { module, allowed, code, reason, units });
}
for (const name of POLICIES) {
  console.log(await moduleLine(name));
  for (const record of records) {
    if (record.policies[0]?.name === name) console.log(JSON.stringify(record));
  }
}
await Deno.remove(cwd, { recursive: true });
