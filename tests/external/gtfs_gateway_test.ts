/**
 * The public transit feed schema and real feeds through a running gateway: the published versions are registered one
 * after the other, the feeds pass byte for byte, truncated ones are refused with the path. `gtfs_validate_test.ts` has
 * missing required fields. Needs the data folder: `deno task test:external DIR`, which becomes `Deno.args[0]`.
 */
import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { encodePub, encodeSub, writeEnvelope } from "@arqon/proto";
import { compileProtos } from "../../shared/schema/testing/protos.ts";
import { startBus, type TestBus } from "../harness/bus.ts";
import { openBinary, type RawClient } from "../peers/raw_client.ts";
import { schemaAdmin, type SchemaAdmin } from "../peers/schema_admin.ts";

const DATA = Deno.args[0];
const FOLDER = `${DATA}/gtfs-realtime`;
const FEED = "transit_realtime.FeedMessage";
const BROKEN = "07";

interface Published {
  readonly file: string;
  readonly compiles: boolean;
}

async function published(): Promise<Published[]> {
  if (DATA === undefined) throw new Error("run this with `deno task test:external DIR`");
  return JSON.parse(await Deno.readTextFile(`${FOLDER}/versions/expected.json`));
}

const textOf = (file: string) => Deno.readTextFile(`${FOLDER}/versions/${file}`);
const compile = (text: string) => compileProtos({ "gtfs-realtime.proto": text });
const zip = (set: Uint8Array) => new Uint8Array(gzipSync(set));

/** The encoded descriptor sets of the versions that compile, by file. */
async function compiled(versions: readonly Published[]): Promise<Map<string, Uint8Array>> {
  const sets = new Map<string, Uint8Array>();
  const good = versions.filter(({ compiles }) => compiles);
  for (let at = 0; at < good.length; at += 4) {
    await Promise.all(
      good.slice(at, at + 4).map(async ({ file }) => {
        sets.set(file, await compile(await textOf(file)));
      }),
    );
  }
  return sets;
}

/**
 * The output of a compiler without checks for version 07: the second field with number 2 gets a free number for the
 * compiler, and its own again in the descriptor.
 */
async function brokenSet(text: string): Promise<Uint8Array> {
  const header = /message FeedHeader \{[^]*?\n\}/.exec(text)?.[0] ?? "";
  const [first, second] = [...header.matchAll(/(\w+) = 2\b/g)];
  assert.ok(first?.[1] !== undefined && second?.[1] !== undefined, "two fields say 2");
  const name = second[1];
  const repaired = header.replace(`${name} = 2`, `${name} = 999`);
  const set = fromBinary(FileDescriptorSetSchema, await compile(text.replace(header, repaired)));
  const message = set.file[0]?.messageType.find((one) => one.name === "FeedHeader");
  const field = message?.field.find((one) => one.name === name);
  assert.ok(field);
  field.number = 2;
  return toBinary(FileDescriptorSetSchema, set);
}

async function registersAll(admin: SchemaAdmin, mode: string): Promise<void> {
  const versions = await published();
  const sets = await compiled(versions);
  const id = `gtfs-${mode}`;
  let number = 0;
  let last = new Uint8Array();
  for (const { file, compiles } of versions) {
    if (!compiles) {
      assert.ok(file.startsWith(BROKEN), file);
      await assert.rejects(compile(await textOf(file)), /field number `2` used more than once/);
      const refused = await admin.push(id, zip(await brokenSet(await textOf(file))));
      assert.deepEqual([refused.status, refused.body["reason"]], [400, "invalid-schema"]);
      assert.match(String(refused.body["detail"]), /FeedHeader.* 2\b/);
      continue;
    }
    last = new Uint8Array(sets.get(file) ?? []);
    const pushed = await admin.push(id, zip(last), `?compatibility=${mode}`);
    assert.equal(pushed.status, 200, `${file}: ${JSON.stringify(pushed.body)}`);
    // A version that differs only in comments is another upload all the same.
    number = Number(pushed.body["version"]);
  }
  const { body } = await admin.get(`schemas/${id}`);
  assert.equal((body["versions"] as unknown[]).length, number);
  assert.ok(number >= 25 && number <= 43, `${number} versions`);
  assert.deepEqual(await admin.download(id, "latest"), zip(last));
}

/** Every feed, by its path below `feeds`. */
async function feeds(): Promise<Map<string, Uint8Array>> {
  const folder = `${FOLDER}/feeds`;
  const summary: { file: string }[] = JSON.parse(
    await Deno.readTextFile(`${folder}/summary.json`),
  );
  assert.ok(summary.length >= 19);
  const found = new Map<string, Uint8Array>();
  for (const { file } of summary) found.set(file, await Deno.readFile(`${folder}/${file}`));
  return found;
}

async function send(client: RawClient, data: Uint8Array) {
  const event = { type: "feed", data, content_type: "application/protobuf" };
  client.send(encodePub(writeEnvelope({ room_id: "vehicles-1", request_id: 3, event })));
  const frame = await client.frame();
  assert(frame.kind === "ack", frame.kind);
  return frame.ack;
}

async function post(bus: TestBus, data: Uint8Array): Promise<{ status: number; detail: string }> {
  const event = { type: "feed", data, content_type: "application/protobuf" };
  const response = await fetch(`${bus.http_url}/v1/rooms/vehicles-1/messages`, {
    method: "POST",
    headers: { authorization: `Bearer ${bus.token}`, "content-type": "application/protobuf" },
    body: new Uint8Array(writeEnvelope({ event })),
  });
  const detail = response.ok ? "" : String((await response.json()).detail);
  if (!response.bodyUsed) await response.body?.cancel();
  return { status: response.status, detail };
}

Deno.test("the transit feed through a running gateway", async (t) => {
  await using bus = await startBus();
  const admin = await schemaAdmin(bus);
  for (const mode of ["BACKWARD", "BACKWARD_TRANSITIVE"]) {
    await t.step(
      `the versions register one after the other as ${mode}, 07 is refused`,
      () => registersAll(admin, mode),
    );
  }
  const mapped = await admin.map("default", {
    subject: "in.t.default.r.vehicles-*",
    schema_id: "gtfs-BACKWARD",
    message: FEED,
  });
  assert.equal(mapped.status, 200, JSON.stringify(mapped.body));
  using client = await openBinary(bus.url, bus.token);
  using watcher = await openBinary(bus.url, bus.token);
  watcher.send(encodeSub({ room_id: "vehicles-1", request_id: 1 }));
  await watcher.frame();
  const all = await feeds();

  await t.step("every feed passes byte for byte, unknown extensions and all", async () => {
    for (const [file, bytes] of all) {
      assert.equal((await send(client, bytes)).code, 0, file);
      const received = await watcher.frame();
      assert(received.kind === "msg");
      assert.deepEqual(received.envelope.event?.data, bytes, file);
    }
  });

  await t.step("every feed that is cut off is refused with the place", async () => {
    for (const [file, bytes] of all) {
      for (const length of [bytes.length - 1, bytes.length - 2]) {
        const ack = await send(client, bytes.subarray(0, length));
        assert.deepEqual([ack.code, ack.reason], [400, "schema-violation"], file);
        assert.match(ack.message, /^Schema violation: [a-z_.[\]0-9]+: truncated: /, file);
      }
    }
  });

  await t.step("no refused message reached the room", async () => {
    const [bytes] = [...all.values()];
    assert.ok(bytes);
    assert.deepEqual(await post(bus, bytes), { status: 200, detail: "" });
    const received = await watcher.frame();
    assert(received.kind === "msg");
    assert.deepEqual(received.envelope.event?.data, bytes);
  });
});
