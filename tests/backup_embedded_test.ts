/**
 * `arq backup` and `arq restore` of a bus with its data in a folder: under load, stopped, encrypted, onto other data,
 * and every refusal.
 */
import assert from "node:assert/strict";
import { fails, runArq, succeeds } from "../arq/testing/run_arq.ts";
import { until } from "../shared/testing/until.ts";
import { mountSmallDisk, noSmallDisk } from "./harness/small_disk.ts";
import { openText } from "./peers/raw_client.ts";
import { initFolder, type ServedBus, startServe, tokenOf } from "./harness/serve_bus.ts";

/** The commands of one folder, with tokens for its bus. */
async function commandsIn(cwd: string) {
  const [user, service, admin] = await Promise.all(
    ["user", "service", "admin"].map((role) => tokenOf(cwd, role)),
  );
  const run = (...args: string[]) => runArq(args, { cwd });
  return {
    run,
    as: (role: "user" | "service", bus: ServedBus) => [
      "--url",
      bus.url,
      "--token",
      role === "user" ? user! : service!,
    ],
    admin: (bus: ServedBus) => ["--admin-url", bus.admin_url, "--token", admin!],
  };
}

/** Messages of the durable room `orders`, and the key `last` of its state. */
async function found(
  { run, as }: Awaited<ReturnType<typeof commandsIn>>,
  bus: ServedBus,
): Promise<{ messages: number[]; last: number }> {
  const history = await run("room", "history", "orders", "--all", "--json", ...as("user", bus));
  const lines = succeeds(history).trim().split("\n").filter((line) => line !== "");
  const state = JSON.parse(
    succeeds(await run("room", "get", "orders", "--json", ...as("user", bus))),
  );
  return { messages: lines.map((line) => JSON.parse(line).data.n), last: state.state?.last ?? -1 };
}

const USAGE = "\n[usage]\nenabled = true\n#constant usage.flush_ms = 50\n";

Deno.test("backup: a bus under load is saved as it was at one moment, and restored elsewhere", async () => {
  await using folder = await initFolder(USAGE);
  const commands = await commandsIn(folder.path);
  const { run, as, admin } = commands;
  const file = `${folder.path}/bus.tar`;
  let acknowledged = 0;
  const used = async (bus: ServedBus) =>
    JSON.parse(succeeds(await run("usage", "--json", ...admin(bus)))).total.messages_in;
  {
    await using bus = await startServe(folder.path);
    succeeds(
      await run(
        "policy",
        "deploy",
        "policies/content_size.wasm",
        "--room",
        "chat-*",
        ...admin(bus),
      ),
    );
    const lines = Array.from({ length: 400 }, (_, n) => JSON.stringify({ n }));
    await Deno.writeTextFile(`${folder.path}/first.ndjson`, lines.slice(0, 200).join("\n"));
    await Deno.writeTextFile(`${folder.path}/more.ndjson`, lines.slice(200).join("\n"));
    const pub = (name: string) =>
      run("pub", "orders", "--ndjson", name, "--window", "1", ...as("user", bus));
    succeeds(await pub("first.ndjson"));
    acknowledged = 200;
    succeeds(await run("room", "set", "orders", "last", "200", ...as("service", bus)));
    await until("their use is stored", async () => await used(bus) >= acknowledged);
    // Publishing continues while the backup is read.
    const under_load = pub("more.ndjson");
    const json = await run("backup", file, "--json", ...admin(bus));
    succeeds(await under_load);
    const answer = JSON.parse(succeeds(json));
    assert.deepEqual([answer.engine, answer.encrypted, answer.format], ["embedded", false, 1]);
    assert.equal(answer.size_bytes, (await Deno.stat(file)).size);
    assert.ok(answer.parts.some(({ name }: { name: string }) => name.endsWith("/config.toml")));
    assert.ok(answer.parts.some(({ name }: { name: string }) => name.endsWith("/arqon-jwks.json")));
    assert.equal(((await Deno.stat(file)).mode ?? 0) & 0o777, 0o600);
    fails(await run("backup", file, ...admin(bus)), /bus\.tar exists already/);
    fails(await run("restore", file), /data_dir .* is in use by an ArqonBus that runs/);
    fails(await run("restore", file, "--force"), /is in use by an ArqonBus that runs/);
    assert.equal((await found(commands, bus)).messages.length, 400, "the bus has not noticed");
    assert.match(succeeds(await run("audit", ...admin(bus))), /bus\.backup/);
  }
  assert.match(succeeds(await run("backup", "verify", file)), /^whole: engine embedded/);

  // To another folder, as to another machine.
  await Deno.remove(`${folder.path}/data`, { recursive: true });
  const restored = JSON.parse(succeeds(await run("restore", file, "--json")));
  assert.deepEqual(restored.restored, [
    "spine.sqlite",
    "log.sqlite",
    "audit.sqlite",
    "usage.sqlite",
  ]);
  await using bus = await startServe(folder.path);
  assert.ok(await used(bus) >= acknowledged, "and their use");
  const { messages, last } = await found(commands, bus);
  assert.ok(messages.length >= acknowledged, "all that was acknowledged before is there");
  assert.deepEqual(messages, messages.map((_, at) => at), "and nothing behind a hole");
  assert.equal(last, 200);
  const refused = await run("pub", "chat-1", "x".repeat(70_000), ...as("user", bus));
  assert.match(refused.stderr, /bytes; at most \d+ here/, "the policy and its module work");
  succeeds(await run("pub", "orders", '{"n":-1}', ...as("user", bus)));
});

Deno.test("backup: a stopped bus is read from its folder; restoring over data requires --force and keeps it", async () => {
  await using folder = await initFolder(USAGE);
  const commands = await commandsIn(folder.path);
  const { run, as } = commands;
  const file = `${folder.path}/bus.tar`;
  fails(await run("backup", file), /there is no data in .*data/);
  {
    await using bus = await startServe(folder.path);
    succeeds(await run("pub", "orders", '{"n":0}', ...as("user", bus)));
    // A crash: data that was not yet moved into its files is in the backup as well.
    await bus.stop("SIGKILL");
  }
  const { parts } = JSON.parse(succeeds(await run("backup", file, "--json")));
  assert.ok(parts.some(({ name }: { name: string }) => name === "usage.sqlite"));
  let known: { offset: number; epoch: string };
  let changed: { version: number; epoch: string };
  {
    await using bus = await startServe(folder.path);
    const to = [...as("user", bus), "--json"];
    known = JSON.parse(succeeds(await run("pub", "orders", '{"n":1}', ...to)));
    changed = JSON.parse(succeeds(await run("room", "set", "orders", "a", "1", ...to)));
  }
  fails(await run("restore", file), /is not empty: .*spine\.sqlite[\s\S]*--force moves them/);
  const { kept } = JSON.parse(succeeds(await run("restore", file, "--force", "--json")));
  assert.match(kept, /before-restore-\d{8}T\d{6}Z$/);
  assert.deepEqual(
    (await Array.fromAsync(Deno.readDir(kept))).map(({ name }) => name).filter((name) =>
      name.endsWith(".sqlite")
    ).sort(),
    ["audit.sqlite", "log.sqlite", "spine.sqlite"],
  );
  await using bus = await startServe(folder.path);
  assert.deepEqual((await found(commands, bus)).messages, [0]);
  // A reader of lost messages receives a GAP, and none of their offsets is reused.
  const to = [...as("user", bus), "--json"];
  const next = JSON.parse(succeeds(await run("pub", "orders", '{"n":2}', ...to)));
  assert.notDeepEqual([next.offset, next.epoch], [known.offset, known.epoch]);
  const again = JSON.parse(succeeds(await run("room", "set", "orders", "a", "2", ...to)));
  assert.notDeepEqual([again.version, again.epoch], [changed.version, changed.epoch]);
  const client = await openText(bus.url, await tokenOf(folder.path, "user"));
  const { offset: after_offset, epoch } = known;
  client.send({ op: "sub", room: "orders", id: 1, after_offset, epoch });
  const ack = await client.json();
  assert.equal(ack.result.recovered, false, JSON.stringify(ack));
  client.socket.close();
});

Deno.test("backup: data erased after it returns with a restore, and the audit log has how to erase it again", async () => {
  await using folder = await initFolder();
  const commands = await commandsIn(folder.path);
  const { run, as, admin } = commands;
  const file = `${folder.path}/bus.tar`;
  type Entry = {
    readonly outcome: string;
    readonly tenant: string;
    readonly about: Record<string, string | number>;
  };
  /** As in docs/data.md. */
  const again = ({ tenant, about: { user, room, offset } }: Entry): string[] => [
    ...(user === undefined
      ? ["room", "erase", String(room), ...(offset === undefined ? [] : ["--offset", `${offset}`])]
      : ["user", "erase", String(user)]),
    ...["--tenant", tenant, "--yes"],
  ];
  let tenant = "";
  const erased: Entry[] = [];
  {
    await using bus = await startServe(folder.path);
    for (let n = 0; n < 3; n++) {
      succeeds(await run("pub", "orders", `{"n":${n}}`, ...as("user", bus)));
      succeeds(await run("pub", "orders", `{"n":${n + 10}}`, ...as("service", bus)));
    }
    succeeds(await run("backup", file, ...admin(bus)));
    const lines = succeeds(
      await run("room", "history", "orders", "--all", "--json", ...as("user", bus)),
    );
    const messages = lines.trim().split("\n").map((line) => JSON.parse(line));
    const { offset } = messages.find(({ data }) => data.n === 1);
    const { sender: user } = messages.find(({ data }) => data.n === 10);
    tenant = JSON.parse(atob(
      as("user", bus)[3]!.split(".")[1]!.replaceAll("-", "+").replaceAll("_", "/"),
    )).tenant_id;
    for (const about of [{ room: "orders", offset }, { user }]) {
      succeeds(await run(...again({ outcome: "", tenant, about }), ...admin(bus)));
    }
    const listed = succeeds(
      await run("audit", "--action", "data.erase", "--json", ...admin(bus)),
    );
    for (const line of listed.trim().split("\n")) erased.push(JSON.parse(line));
    assert.deepEqual((await found(commands, bus)).messages, [0, 2]);
  }
  succeeds(await run("restore", file, "--force"));
  await using bus = await startServe(folder.path);
  assert.deepEqual((await found(commands, bus)).messages, [0, 10, 1, 11, 2, 12], "all is back");
  const done = erased.filter(({ outcome }) => outcome === "done");
  assert.equal(done.length, 2);
  for (const one of done) succeeds(await run(...again(one), ...admin(bus)));
  assert.deepEqual((await found(commands, bus)).messages, [0, 2]);
});

Deno.test("backup: damaged, foreign and half-restored data are refused, and nothing is touched", async () => {
  await using folder = await initFolder();
  const { run, as } = await commandsIn(folder.path);
  const { path } = folder;
  {
    await using bus = await startServe(path);
    succeeds(await run("pub", "orders", '{"n":0}', ...as("user", bus)));
  }
  succeeds(await run("backup", "bus.tar"));
  const whole = await Deno.readFile(`${path}/bus.tar`);
  const damaged = whole.slice();
  damaged[20_000] = (damaged[20_000] ?? 0) ^ 1;
  await Deno.writeFile(`${path}/damaged.tar`, damaged);
  await Deno.writeFile(`${path}/cut.tar`, whole.subarray(0, whole.length / 2));
  await Deno.writeTextFile(`${path}/text.tar`, "no backup".repeat(500));
  const before = await Deno.readFile(`${path}/data/log.sqlite`);
  for (const name of ["damaged", "cut", "text"]) {
    fails(await run("backup", "verify", `${name}.tar`), /is not a complete backup/);
    fails(await run("restore", `${name}.tar`, "--force"), /is not a complete backup/);
  }
  assert.deepEqual(await Deno.readFile(`${path}/data/log.sqlite`), before);
  await Deno.writeTextFile(`${path}/nats.toml`, '[nats]\nurls = ["nats://127.0.0.1:1"]\n');
  fails(await run("restore", "bus.tar", "--config", "nats.toml"), /is of an embedded bus, and/);

  // A restore that died between its two databases: the bus does not start with an incomplete one.
  await Deno.writeTextFile(`${path}/data/restore.unfinished`, "");
  await Deno.link(`${path}/data/restore.unfinished`, `${path}/mark`);
  const start = await run("serve", "--config", "config.toml");
  fails(start, /arq restore was cut short there: run it again, with --force/);
  succeeds(await run("restore", "bus.tar", "--force"));
  // The next mark took its place as a whole: a second death leaves no half of one, which says nothing of the first.
  assert.equal(await Deno.readTextFile(`${path}/mark`), "");
  await using bus = await startServe(path);
  assert.equal(bus.log().includes("level=error"), false);
});

Deno.test("backup: encrypted for a key or with a passphrase, it opens only with that; files are included", async () => {
  await using folder = await initFolder();
  const { run, as } = await commandsIn(folder.path);
  const { path } = folder;
  {
    await using bus = await startServe(path);
    succeeds(await run("pub", "orders", '{"n":0}', ...as("user", bus)));
  }
  const { generateX25519Identity, identityToRecipient } = await import("age-encryption");
  const identity = await generateX25519Identity();
  const other = await generateX25519Identity();
  const recipient = await identityToRecipient(identity);
  await Deno.writeTextFile(`${path}/key.txt`, `# public key: ${recipient}\n${identity}\n`);
  await Deno.writeTextFile(`${path}/other.txt`, `${other}\n`);
  await Deno.writeTextFile(`${path}/phrase`, "correct horse battery staple\n");
  const key = "keys/arqon-private.jwk.json";
  succeeds(await run("backup", "k.age", "--recipient", recipient, "--include", key));
  succeeds(await run("backup", "p.age", "--passphrase-file", "phrase", "--no-files"));
  for (const name of ["k.age", "p.age"]) {
    const text = new TextDecoder("latin1").decode(await Deno.readFile(`${path}/${name}`));
    assert.ok(text.startsWith("age-encryption.org/v1\n"));
    assert.equal(text.includes("SQLite format 3"), false);
  }
  fails(await run("backup", "verify", "k.age"), /k\.age is encrypted[\s\S]*--identity FILE/);
  fails(await run("backup", "verify", "k.age", "--identity", "other.txt"), /cannot be decrypted/);
  fails(await run("backup", "x.age", "--recipient", "age1nonsense"), /is not a recipient/, 2);
  const verified = await run("backup", "verify", "p.age", "--passphrase-file", "phrase", "--json");
  assert.equal(JSON.parse(succeeds(verified)).encrypted, true);
  const to = ["--identity", "key.txt", "--force", "--files-to", "back", "--json"];
  const { files } = JSON.parse(succeeds(await run("restore", "k.age", ...to)));
  assert.ok(files.includes(`${path}/back${path}/${key}`), JSON.stringify(files));
  const [one, two] = await Promise.all(
    [`${path}/${key}`, `${path}/back${path}/${key}`].map((name) => Deno.readTextFile(name)),
  );
  assert.equal(one, two);
  const data = () => Deno.readFile(`${path}/data/log.sqlite`);
  const before = await data();
  fails(
    await run("restore", "k.age", ...to.slice(0, -1)),
    /is there already: nothing was restored/,
  );
  assert.deepEqual(await data(), before);
});

const why_not = noSmallDisk();
if (why_not !== undefined) console.error(`full disks are not tested: ${why_not}`);

if (why_not === undefined) {
  Deno.test("backup: on a full disk a restore changes nothing and says so, and a backup names its file", async () => {
    await using folder = await initFolder();
    const { run, as } = await commandsIn(folder.path);
    {
      await using bus = await startServe(folder.path);
      succeeds(await run("pub", "orders", '{"n":0}', ...as("user", bus)));
    }
    succeeds(await run("backup", "bus.tar"));
    await using disk = await mountSmallDisk(1);
    const data_dir = `${disk.folder}/data`;
    const config = await Deno.readTextFile(`${folder.path}/config.toml`);
    const moved = config.replace(/^data_dir = .*$/m, `data_dir = ${JSON.stringify(data_dir)}`);
    await Deno.writeTextFile(`${folder.path}/small.toml`, moved);
    await Deno.mkdir(data_dir);
    for (const name of ["spine.sqlite", "log.sqlite"]) {
      await Deno.copyFile(`${folder.path}/data/${name}`, `${data_dir}/${name}`);
    }
    const there = async () =>
      (await Array.fromAsync(Deno.readDir(data_dir))).map(({ name }) => name).sort();
    const before = await there();
    const to = ["--config", "small.toml", "--force"];
    await disk.fill();
    fails(
      await run("restore", "bus.tar", ...to),
      /cannot restore into data_dir \S+ \(0 bytes of 1\.0 MiB are free\): .*\n.*nothing was changed/,
    );
    assert.deepEqual(await there(), before);
    fails(
      await run("backup", `${disk.folder}/bus.tar`, "--no-files"),
      /cannot write \S+bus\.tar\S*: No space left.*\n.*free some room/,
    );
  });
}
