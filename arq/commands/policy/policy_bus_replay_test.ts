/**
 * `arq policy replay` and `record` against a real bus: what a Shield wrote into its journal repeats, fuel included, and
 * another version flips exactly the planted decisions.
 */
import assert from "node:assert/strict";
import { connect } from "@arqon/sdk";
import { startBusWith, type TestBus } from "../../../tests/harness/bus.ts";
import { PATIENT_POLICIES } from "../../../tests/harness/patient_policies.ts";
import { ask, openText } from "../../../tests/peers/raw_client.ts";
import { folderWith } from "../../testing/disk_io.ts";
import { builtModule } from "../../replay/testing/recorded.ts";
import { exits, runArq } from "../../testing/run_arq.ts";
import { durableRooms } from "../../../shared/testing/room_classes.ts";

const CONFIG = `
[server]
host = "127.0.0.1"
[journal]
journal = "all"
#constant journal.journal_payload = "keep"
#constant journal.flush_ms = 50
${durableRooms("kept-*", "history_size = 1000")}
`;
const ROOT = new URL("../../..", import.meta.url).pathname.replace(/\/$/, "");

const arq = (bus: TestBus, code: number, args: string[], stdin?: string) =>
  exits(code, [...args, "--url", bus.url], { stdin });

/** The answer of a replay, once the journal has this many decisions. */
async function replayed(bus: TestBus, decisions: number, args: string[]) {
  const command = ["policy", "replay", ...args, "--json", "--url", bus.url];
  for (let tries = 0;; tries++) {
    const { stdout, stderr } = await runArq(command);
    const answer = stdout === "" ? undefined : JSON.parse(stdout);
    if (answer?.journal.decisions === decisions) return answer;
    assert.ok(tries < 50, `${stdout}${stderr}`);
  }
}

Deno.test("a bus's journal repeats what its Shield decided, and flips are those of the other module", async () => {
  await using bus = await startBusWith(CONFIG + PATIENT_POLICIES);
  const folder = await Deno.makeTempDir();
  const words = `${ROOT}/policies/build/bad_words.wasm`;
  const deploy = (file: string, ...more: string[]) =>
    arq(bus, 0, ["policy", "deploy", file, ...more]);
  await deploy(`${ROOT}/policies/build/mask_digits.wasm`, "--order=-1");
  await deploy(words);
  const line = (at: number) => `"${at % 3 === 0 ? "" : "no "}text 0123456789 ${at}"\n`;
  const lines = Array.from({ length: 12 }, (_, at) => line(at));
  await arq(bus, 0, ["pub", "kept-1", "--ndjson", "-"], lines.join(""));
  for (const text of ["malware 1", "malware 2"]) await arq(bus, 5, ["pub", "lobby", text]);
  for (const name of ["mask_digits", "bad_words"]) {
    const { recorded, candidate } = await replayed(bus, 14, [name]);
    assert.deepEqual([recorded.different, recorded.unknown], [{}, {}], name);
    assert.equal(recorded.same + recorded.stateful_fuel, 14, name);
    assert.deepEqual([candidate.allow_to_refuse, candidate.refuse_to_allow], [0, 0], name);
  }
  const unmasked = await replayed(bus, 14, [words, "--policy", "mask_digits"]);
  const { changed, allow_to_refuse } = unmasked.candidate;
  assert.deepEqual([changed, allow_to_refuse], [12, 2], "each had a digit, which was masked");
  // Another module under the same name: version 2 of the policies has the old one.
  await deploy(`${ROOT}/policies/build/content_size.wasm`, "--name", "bad_words");
  const flips = await replayed(bus, 14, ["bad_words"]);
  assert.equal(flips.candidate.refuse_to_allow, 2);
  assert.equal(flips.recorded.same + flips.recorded.stateful_fuel, 14);
  const before = await replayed(bus, 14, ["bad_words@2"]);
  assert.equal(before.candidate.refuse_to_allow, 0);
  const unknown = await arq(bus, 1, ["policy", "replay", "bad_words@99"]);
  assert.match(unknown.stderr, /has no policy bad_words in version 99/);
  const out = `${folder}/cases`;
  await arq(bus, 0, ["policy", "record", "--policy", "bad_words", "--count", "6", "--out", out]);
  // Masked, three of the allowed messages differ, and so do the refused ones.
  const tested = await runArq(["policy", "test", words, "--cases", out]);
  assert.deepEqual([tested.code, tested.stdout], [0, "4 cases: 4 as recorded\n"]);
  await Deno.writeFile(`${folder}/size.wasm`, await builtModule("content_size"));
  const size = `${folder}/size.wasm`;
  const shrunk = await runArq(["policy", "test", size, "--cases", out, "--shrink"]);
  assert.equal(shrunk.code, 1, shrunk.stderr);
  assert.match(shrunk.stdout, /\n {2}smallest {2}malware\n/);
  await Deno.remove(folder, { recursive: true });
});

const REFERRING = CONFIG.replace('journal_payload = "keep"', 'journal_payload = "reference"');
const PLANNED = 'tenant = "default"\n[[policies]]\nname = "words"\nmodule = "bad_words.wasm"\n';

/** Sends one message without an id by each way into a durable room, with the text `malware N`. */
async function sendWithoutIds(bus: TestBus): Promise<number> {
  using text = await openText(bus.url, bus.token);
  await ask(text, { op: "pub", room: "kept-1", data: "malware 1" });
  await using client = await connect({ url: bus.url, getToken: () => Promise.resolve(bus.token) });
  await client.room("kept-1").publish("chat", "malware 2");
  const post = async (path: string, body: string) => {
    const headers = { authorization: `Bearer ${bus.token}`, "content-type": "application/json" };
    const response = await fetch(bus.http_url + path, { method: "POST", headers, body });
    const answer = await response.text();
    assert.equal(response.status, 200, answer);
  };
  await post("/v1/rooms/kept-1/messages", '{"type":"chat","data":"malware 3"}');
  const one = '{"room":"kept-1","type":"chat","data":"malware 4"}';
  await post("/v1/messages", `{"messages":[${one}]}`);
  return 4;
}

Deno.test("a durable room's messages without an id are judged by a replay and by a plan", async () => {
  await using bus = await startBusWith(REFERRING + PATIENT_POLICIES);
  await using folder = await folderWith({ "a.toml": PLANNED });
  const words = `${folder.path}/bad_words.wasm`;
  await Deno.copyFile(`${ROOT}/policies/build/bad_words.wasm`, words);
  const size = `${ROOT}/policies/build/content_size.wasm`;
  await arq(bus, 0, ["policy", "deploy", size, "--name", "words"]);
  const sent = await sendWithoutIds(bus);
  const { candidate } = await replayed(bus, sent, [words, "--policy", "words"]);
  const { not_judged, unknown, allow_to_refuse } = candidate;
  assert.deepEqual([not_judged, unknown, allow_to_refuse], [0, {}, sent]);
  const gate = ["policy", "replay", words, "--policy", "words", "--max-flips", "0"];
  assert.match((await arq(bus, 6, gate)).stdout, /4 flips are more than --max-flips 0\n$/);
  const plan = await arq(bus, 2, ["plan", folder.path, "--since", "1h", "--json"]);
  const [planned] = JSON.parse(plan.stdout).since;
  assert.deepEqual([planned.unknown, planned.allow_to_refuse], [0, sent]);
});
