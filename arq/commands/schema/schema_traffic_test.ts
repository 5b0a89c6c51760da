/**
 * `arq schema check --traffic` as its own process: it names exactly the violations planted in a journal and in durable
 * rooms.
 */
import assert from "node:assert/strict";
import { until } from "../../../shared/testing/until.ts";
import { startBusWith } from "../../../tests/harness/bus.ts";
import { HttpPeer } from "../../../tests/peers/http_peer.ts";
import { ask, openText } from "../../../tests/peers/raw_client.ts";
import { readyModule } from "../../replay/replay_modules.ts";
import { refusesFrom } from "../../replay/testing/guest_text.ts";
import { linesOf, MEMORY_PAGES, Recorder } from "../../replay/testing/recorded.ts";
import { folderWith } from "../../testing/disk_io.ts";
import { fails, runArq, succeeds } from "../../testing/run_arq.ts";
import { reducedRooms } from "../../../shared/testing/reducers.ts";
import { durableRooms } from "../../../shared/testing/room_classes.ts";

const PROTO = `syntax = "proto3";
package fleet.v1;
import "buf/validate/validate.proto";
message Vehicle {
  string id = 1 [(buf.validate.field).string.min_len = 1];
  repeated Stop stops = 2;
}
message Stop { double lat = 1 [(buf.validate.field).double.lte = 90]; }
`;
const CONFIG = `
[server]
host = "127.0.0.1"
${durableRooms("vehicles-*", "history_size = 100000", 'membership = "journal"')}
${reducedRooms("vehicles-count", "counter")}
[journal]
journal = "off"
`;
const ALLOWS = await readyModule(await refusesFrom(1_000_000), MEMORY_PAGES);
const PLANTED = 2_000;

/** Events of which every `PLANTED`th has an error in one of two fields. */
function recordsOf(count: number) {
  const recorder = new Recorder("p", ALLOWS);
  return Array.from({ length: count }, (_, at) => {
    const is_planted = at % PLANTED === 7;
    const wrong_id = is_planted && at % (PLANTED * 2) === 7;
    const vehicle = {
      id: wrong_id ? "" : `v${at}`,
      stops: [{ lat: 1 }, { lat: is_planted && !wrong_id ? 91 : 2 }],
    };
    const payload = JSON.stringify(vehicle);
    return recorder.record({ payload, room: `vehicles-${at % 3}`, user: `u${at % 10}` });
  });
}

Deno.test("traffic of a journal: every planted violation is named by field, rule, sender and record", async () => {
  await using folder = await folderWith({ "fleet.proto": PROTO });
  const records = recordsOf(20_000);
  const refused = { ...records[1]!, allowed: false, reason: "policy-rejected" };
  const data = { form: "kept", data: btoa("{}") };
  const command = { ...records[2]!, type: "growing.append", is_command: true, payload: data };
  const hashed = { ...records[3]!, payload: { form: "hash", sha256: "0".repeat(64), bytes: 1 } };
  const lobby = { ...records[4]!, room: "lobby" };
  const foreign = { ...records[7]!, tenant: "acme" };
  // A record that is there twice counts once.
  const numbered = [refused, command, hashed, lobby, foreign].map((one, at) => (
    { ...one, id: `shield-2.${at}` }
  ));
  const all = [...records, ...numbered, ...numbered];
  await Deno.writeTextFile(`${folder.path}/j.ndjson`, linesOf(all));
  const args = ["schema", "check", "fleet.proto", "--id", "fleet", "--journal", "j.ndjson"];
  const checked = [...args, "--traffic", "vehicles-*", "--message", "fleet.v1.Vehicle"];
  const { code, stdout, stderr } = await runArq([...checked, "--json"], { cwd: folder.path });
  assert.equal(code, 1, stderr);
  const answer = JSON.parse(stdout);
  const planted = records.filter((_, at) => at % PLANTED === 7);
  assert.deepEqual([answer.checked, answer.refused, answer.no_payload], [20_000, 10, 1]);
  assert.equal(answer.journal.outside, 2, "another room's, and another tenant's");
  assert.deepEqual(answer.events.map(({ id }: { id: string }) => id), planted.map(({ id }) => id));
  assert.deepEqual(answer.by_rule, { "id: string.min_len": 5, "stops[].lat: double.lte": 5 });
  const by_sender = Object.values(answer.by_sender);
  assert.equal(by_sender.reduce((sum: number, n) => sum + Number(n), 0), 10);
  assert.match(answer.events[1].text, /^stops\[1\]\.lat: double\.lte/);
  const arq = (...more: string[]) => runArq(more, { cwd: folder.path });
  const people = await arq(...checked);
  assert.match(
    people.stdout,
    /^fleet\.proto as fleet on vehicles-\*: 10 of 20,000 events would be/,
  );
  const other = [...args, "--traffic", "other", "--message"];
  fails(await arq(...other, "fleet.v1.Vehicle"), /nothing to check in other/);
  const acme = await arq(...checked, "--tenant", "acme", "--json");
  const { checked: one, refused: its, events: [event] } = JSON.parse(acme.stdout);
  assert.deepEqual([one, its, event.id], [1, 1, "shield-2.4"]);
  const outside = /20005 records of other rooms, times or tenants[^]*--tenant/;
  fails(await arq(...checked, "--tenant", "nobody"), outside);
  const lacking = /the candidate: the schema has no message "?fleet\.v1\.Nothing/;
  fails(await arq(...other, "fleet.v1.Nothing"), lacking);
});

Deno.test("traffic of a journal: unchecked events fail the check, unless --max-unknown allows them", async () => {
  await using folder = await folderWith({ "fleet.proto": PROTO });
  const hashed = { form: "hash", sha256: "0".repeat(64), bytes: 1 } as const;
  const records = recordsOf(5).map((one, at) => at < 2 ? { ...one, payload: hashed } : one);
  await Deno.writeTextFile(`${folder.path}/j.ndjson`, linesOf(records));
  const args = ["schema", "check", "fleet.proto", "--id", "fleet", "--journal", "j.ndjson"];
  const checked = [...args, "--traffic", "vehicles-*", "--message", "fleet.v1.Vehicle"];
  const unchecked = /2 events without a payload could not be checked: .*--max-unknown 0/;
  fails(await runArq(checked, { cwd: folder.path }), unchecked);
  succeeds(await runArq([...checked, "--max-unknown", "2"], { cwd: folder.path }));
  await Deno.writeTextFile(`${folder.path}/j.ndjson`, linesOf(recordsOf(5)).slice(0, -9));
  const cut = /1 bad line \(line 5: the file is cut off within it\) could not be checked/;
  fails(await runArq(checked, { cwd: folder.path }), cut);
});

Deno.test("traffic of durable rooms: the same by their mapping, with offsets, and push checks it, too", async () => {
  await using folder = await folderWith({
    "v1/fleet.proto": PROTO.replace(" [(buf.validate.field).double.lte = 90]", ""),
    "v2/fleet.proto": PROTO,
  });
  await using bus = await startBusWith(CONFIG);
  const arq = (...args: string[]) =>
    runArq([...args, "--url", bus.url], { cwd: folder.path, stdin: vehicles.join("") });
  const vehicles = [3, 91, 4, 95].map((lat) => `{"id":"v","stops":[{"lat":${lat}}]}\n`);
  const done = async (...args: string[]) => succeeds(await arq(...args));
  await done("schema", "push", "v1", "--id", "fleet");
  await done("schema", "map", "vehicles-*", "fleet", "--message", "fleet.v1.Vehicle");
  await done("pub", "vehicles-1", "--ndjson", "-");
  const traffic = ["--traffic", "vehicles-1", "--json"];
  const found = await arq("schema", "check", "v2", "--id", "fleet", ...traffic);
  assert.equal(found.code, 1, found.stderr);
  const { checked, refused, events, rooms } = JSON.parse(found.stdout);
  assert.deepEqual([checked, refused, rooms], [4, 2, ["vehicles-1"]]);
  const offsets = events.map(({ offset }: { offset: number }) => offset);
  assert.equal(offsets[1] - offsets[0], 2);
  assert.equal(events[0].rule, "double.lte");
  const pushed = await arq("schema", "push", "v2", "--id", "fleet", "--traffic", "vehicles-1");
  assert.equal(pushed.code, 1);
  assert.match(pushed.stderr, /2 of 4 events would be refused/);
  assert.match(pushed.stderr, /not pushed: traffic would be refused/);
  succeeds(await arq("schema", "check", "v1", "--id", "fleet", ...traffic));
  {
    using member = await openText(bus.url, bus.token);
    await ask(member, { op: "sub", room: "vehicles-1", presence: true });
  }
  const peer = new HttpPeer(bus.http_url, bus.token);
  await until("the members' journal has the leaves", async () => {
    const { body } = await peer.call("GET", "rooms/vehicles-1~members/messages");
    return body.messages?.some(({ type }: { type: string }) => type === "vacated");
  });
  const called = { name: "room.call", data: { command: "add", data: 1 } };
  await peer.done("POST", "rooms/vehicles-count/commands", called);
  await until("its program has published", async () => {
    const { body } = await peer.call("GET", "rooms/vehicles-count/messages");
    return body.messages?.length === 1;
  });
  // The room has no subscriber and no journal: its log names it, and not what is beside it.
  const all = ["--traffic", "vehicles-*", "--json"];
  const quiet = await arq("schema", "check", "v2", "--id", "fleet", ...all);
  assert.equal(quiet.code, 1, quiet.stderr);
  const seen = JSON.parse(quiet.stdout);
  assert.deepEqual([seen.checked, seen.refused], [4, 2]);
  assert.deepEqual(seen.rooms, ["vehicles-1", "vehicles-count"]);
  const ships = ["--id", "fleet", "--traffic", "ships-*"];
  assert.match(
    (await arq("schema", "check", "v2", ...ships)).stderr,
    /nothing to check in ships-\*/,
  );
  const unmapped = await arq("schema", "check", "v1", "--id", "other", ...traffic);
  assert.match(unmapped.stderr, /maps nothing to other/);
});
