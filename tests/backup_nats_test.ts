/**
 * `arq backup` and `arq restore` of a bus on real NATS servers, with the documented accounts: while it runs, after the
 * loss of everything, from a cluster to one server, and every refusal. Backups against other software: `nats stream
 * restore` and `backup`, `age`, `tar` and SQLite. The usage ledger on both engines: a restore leaves one that exists,
 * since later usage counts, too.
 */
import assert from "node:assert/strict";
import { connect, type NatsConnection } from "@nats-io/transport-deno";
import { type ArqResult, fails, runArq, succeeds } from "../arq/testing/run_arq.ts";
import { type BackupReader, readBackup } from "../shared/backup/archive.ts";
import type { BackupHead } from "../shared/backup/manifest.ts";
import { busStreams, FirstStream, restoreStreams } from "../shared/backup/nats_restore.ts";
import { StreamApi } from "../shared/backup/stream_api.ts";
import { atEnd } from "../shared/testing/at_end.ts";
import { seen, until } from "../shared/testing/until.ts";
import { createIssuer, type Issuer, type ServerProcess, startServer } from "./harness/cluster.ts";
import { documentedAccounts } from "./harness/documented_accounts.ts";
import { startNatsCluster } from "./harness/nats_cluster.ts";
import { startNats } from "./harness/nats_server.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";
import { AGE, ensureGoProgram, STREAM_TOOL } from "./harness/go_program.ts";
import { initFolder, startServe, tokenOf } from "./harness/serve_bus.ts";

const CLASSES = durableRooms("orders*", "history_size = 10_000", "history_ttl_seconds = 3_600");

/** The URL of a server with a user of the documented accounts. */
const as = (user: string, url: string) => url.replace("nats://", `nats://${user}:secret@`);

interface World extends AsyncDisposable {
  readonly issuer: Issuer;
  /** Runs `arq` in the folder of the configurations. */
  readonly arq: (...args: string[]) => Promise<ArqResult>;
  /** Writes `NAME.toml` with that NATS. */
  readonly configure: (name: string, urls: readonly string[]) => Promise<void>;
  readonly bus: (urls: (user: string) => readonly string[], durable?: string) => Promise<Bus>;
}

/** A Shield and a Brain. */
interface Bus extends AsyncDisposable {
  readonly shield: ServerProcess;
  /** Options of `arq` for it. */
  readonly user: string[];
  readonly service: string[];
  readonly admin: string[];
}

const natsTable = (urls: readonly string[]) => `[nats]\nurls = ${JSON.stringify(urls)}\n`;

async function openWorld(): Promise<World> {
  const issuer = await createIssuer();
  const { dir, config } = issuer;
  const tokens = await Promise.all(
    ["user", "service", "admin"].map((role) => issuer.tokenFor({ role, sub: `ann-${role}` })),
  );
  return {
    issuer,
    arq: (...args) => runArq(args, { cwd: dir }),
    configure: (name, urls) => Deno.writeTextFile(`${dir}/${name}.toml`, natsTable(urls)),
    async bus(urls, durable = "") {
      const brain = await startServer("brain", `${natsTable(urls("brain"))}${config}`, dir);
      const more = `${natsTable(urls("shield"))}${CLASSES}${durable}${config}`;
      const shield = await startServer("shield", more, dir);
      const to = (role: number) => ["--url", shield.ready.url ?? "", "--token", tokens[role] ?? ""];
      return {
        shield,
        user: to(0),
        service: to(1),
        admin: ["--admin-url", shield.ready.admin_url ?? "", "--token", tokens[2] ?? ""],
        async [Symbol.asyncDispose]() {
          await shield.stop();
          await brain.stop();
        },
      };
    },
    [Symbol.asyncDispose]: () => Deno.remove(dir, { recursive: true }),
  };
}

/** What a user of the bus finds in it. */
async function found({ arq }: World, bus: Bus, room: string) {
  const history = await arq("room", "history", room, "--all", "--json", ...bus.user);
  const lines = succeeds(history).split("\n").filter((line) => line !== "");
  const { state } = JSON.parse(succeeds(await arq("room", "get", room, "--json", ...bus.user)));
  return { messages: lines.map((line) => JSON.parse(line).data.n as number), state };
}

const POLICY = new URL("../policies/build/content_size.wasm", import.meta.url).pathname;

async function outlivesAll(durable: string, log: RegExp): Promise<void> {
  await using world = await openWorld();
  const { arq, issuer: { dir } } = world;
  const accounts = await documentedAccounts();
  const file = `${dir}/bus.tar`;
  const lines = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, at) => JSON.stringify({ n: from + at })).join("\n");
  await Deno.writeTextFile(`${dir}/first.ndjson`, lines(0, 500));
  await Deno.writeTextFile(`${dir}/more.ndjson`, lines(500, 1_500));
  let report: { parts: { name: string; kind: string; last_sequence: number }[]; engine: string };
  {
    await using nats = await startNats({ jetstream: true, config: accounts });
    await world.configure("backup", [as("backup", nats.url)]);
    fails(await arq("backup", file, "--config", "backup.toml"), /there is no bus in NATS at/);
    await using bus = await world.bus((user) => [as(user, nats.url)], durable);
    succeeds(await arq("pub", "orders", "--ndjson", "first.ndjson", ...bus.user));
    succeeds(await arq("room", "set", "orders", "last", "500", ...bus.service));
    succeeds(await arq("room", "ban", "orders", "mallory", "--forever", ...bus.service));
    succeeds(
      await arq("policy", "deploy", POLICY, "--room", "chat-*", "--tenant", "acme", ...bus.admin),
    );
    const load = arq("pub", "orders", "--ndjson", "more.ndjson", "--window", "1", ...bus.user);
    const json = await arq("backup", file, "--config", "backup.toml", "--json");
    report = JSON.parse(succeeds(json));
    succeeds(await load);
    assert.equal(report.engine, "nats");
    const names = report.parts.map(({ name }) => name);
    for (
      const name of [
        "KV_ARQON_ROOMS",
        "KV_ARQON_POLICIES",
        "OBJ_ARQON_MODULES",
        "KV_ARQON_BANS",
        "ARQON_AUDIT",
      ]
    ) {
      assert.ok(names.includes(name), `${name} is not in ${names}`);
    }
    assert.ok(names.some((name) => log.test(name)), `${log} in ${names}`);
    await world.configure("restore", [as("restore", nats.url)]);
    const at_work = await arq("restore", file, "--config", "restore.toml", "--force");
    fails(at_work, /a bus uses NATS at .*: [\s\S]*stop every Shield, Brain/);
  }
  succeeds(await arq("backup", "verify", file));

  await using nats = await startNats({ jetstream: true, config: accounts });
  await world.configure("restore", [as("restore", nats.url)]);
  const restored = JSON.parse(
    succeeds(await arq("restore", file, "--config", "restore.toml", "--json")),
  );
  assert.deepEqual(
    restored.restored,
    report.parts.filter(({ kind }) => kind === "stream").map(({ name }) => name),
  );
  fails(
    await arq("restore", file, "--config", "restore.toml"),
    /is not empty: \d+ streams [\s\S]*--force deletes them/,
  );
  await using bus = await world.bus((user) => [as(user, nats.url)], durable);
  const { messages, state } = await found(world, bus, "orders");
  assert.ok(messages.length >= 500, "all that was acknowledged before is there");
  assert.deepEqual(messages, messages.map((_, at) => at), "and nothing behind a hole");
  assert.equal(state.last, 500);
  assert.match(succeeds(await arq("room", "bans", "--tenant", "acme", ...bus.admin)), /mallory/);
  assert.match(succeeds(await arq("policy", "list", "--tenant", "acme", ...bus.admin)), /chat-\*/);
  succeeds(await arq("pub", "orders", '{"n":-1}', ...bus.user));
  succeeds(await arq("audit", "verify", ...bus.admin));
}

Deno.test("backup on NATS: a running bus is saved with the documented account, and is whole after the loss of all", async () => {
  await outlivesAll("", /^LOG_acme_/);
});

Deno.test("backup on NATS: the same with tenants that share streams", async () => {
  await outlivesAll("[durable]\nshared_streams = 2\n", /^LOGS_0[01]_/);
});

Deno.test("backup on NATS: three servers are saved while one is down, and restored to one server; and back", async () => {
  await using world = await openWorld();
  const { arq } = world;
  {
    await using cluster = await startNatsCluster();
    await world.configure("three", cluster.urls);
    await using bus = await world.bus(() => cluster.urls);
    succeeds(await arq("pub", "orders", '{"n":0}', ...bus.user));
    succeeds(await arq("room", "set", "orders", "a", "1", ...bus.service));
    await (await cluster.leaderOf("KV_ARQON_ROOMS")).kill();
    // A stream whose leader is gone does not answer until another one is elected.
    await cluster.leaderOf("KV_ARQON_ROOMS");
    const backup = () => arq("backup", "three.tar", "--config", "three.toml");
    await seen("a backup is made", backup, ({ code }) => code === 0, 90_000);
  }
  {
    await using nats = await startNats({ jetstream: true });
    await world.configure("one", [nats.url]);
    succeeds(await arq("restore", "three.tar", "--config", "one.toml"));
    await using bus = await world.bus(() => [nats.url]);
    const { messages, state } = await found(world, bus, "orders");
    assert.deepEqual([messages, state], [[0], { a: 1 }]);
    succeeds(await arq("pub", "orders", '{"n":1}', ...bus.user));
    succeeds(await arq("backup", "one.tar", "--config", "one.toml"));
  }
  await using cluster = await startNatsCluster();
  await world.configure("three", cluster.urls);
  succeeds(await arq("restore", "one.tar", "--config", "three.toml"));
  await using bus = await world.bus(() => cluster.urls);
  assert.deepEqual((await found(world, bus, "orders")).messages, [0, 1]);
  const leader = await cluster.leaderOf("KV_ARQON_ROOMS");
  await leader.kill();
  // Three replicas: another server has it as well.
  await cluster.leaderOf("KV_ARQON_ROOMS");
});

async function reconnected(connection: NatsConnection): Promise<void> {
  for await (const { type } of connection.status()) if (type === "reconnect") return;
}

/** Restores a file into a NATS without streams, with one thing that goes wrong; resolves with the restored streams. */
async function restoring(
  file: string,
  api: StreamApi,
  restore: Parameters<typeof restoreStreams>[0]["api"]["restore"],
  onCutOff: (name: string) => void = () => {},
): Promise<readonly string[]> {
  const read = async (reader: BackupReader) =>
    void await readBackup((await Deno.open(file)).readable, reader);
  const first = new FirstStream();
  await read(first);
  return await restoreStreams({
    api: { remove: (name) => api.remove(name), restore },
    head: { clustered: false } as BackupHead,
    is_clustered: false,
    is_marked: false,
    first,
    there: [],
    left: [],
    readBackup: read,
    onCutOff: (name) => Promise.resolve(onCutOff(name)),
  });
}

Deno.test("backup on NATS: a stream that the server drops in the middle is restarted", async () => {
  await using world = await openWorld();
  const { arq, issuer: { dir } } = world;
  {
    await using nats = await startNats({ jetstream: true });
    await world.configure("one", [nats.url]);
    await using bus = await world.bus(() => [nats.url]);
    succeeds(await arq("pub", "orders", '{"n":0}', ...bus.user));
    succeeds(await arq("backup", "one.tar", "--config", "one.toml"));
  }
  await using nats = await startNats({ jetstream: true });
  const connection = await connect({ servers: nats.url, maxReconnectAttempts: -1 });
  const api = new StreamApi(connection);
  const cut: string[] = [];
  let begun = 0;
  const done = await restoring(`${dir}/one.tar`, api, async (config, state) => {
    const stream = await api.restore(config, state);
    // A restarted server has forgotten the restore in progress.
    if (++begun === 3) await Promise.all([nats.restart(), reconnected(connection)]);
    return stream;
  }, (name) => void cut.push(name));
  assert.deepEqual([cut, new Set(done).size], [[done[2]], done.length]);
  assert.deepEqual((await busStreams(api, "ARQON_SCHEMAS")).toSorted(), done.toSorted());
  await connection.close();
});

Deno.test("backup on NATS: after a restore that was killed no bus starts, and the repeated one restores all", async () => {
  await using world = await openWorld();
  const { arq, issuer: { dir } } = world;
  const config = ["--config", "one.toml"];
  {
    await using nats = await startNats({ jetstream: true });
    await world.configure("one", [nats.url]);
    await using bus = await world.bus(() => [nats.url], USAGE);
    succeeds(await arq("pub", "orders", '{"n":0}', ...bus.user));
    await counted(arq, bus.admin, 1);
    succeeds(await arq("backup", "one.tar", ...config));
  }
  await using nats = await startNats({ jetstream: true });
  await world.configure("one", [nats.url]);
  const connection = await connect({ servers: nats.url });
  await using _end = atEnd(() => connection.close());
  const api = new StreamApi(connection);
  const killed = new Error("killed");
  const cut = restoring(`${dir}/one.tar`, api, async (config, state) => {
    const stream = await api.restore(config, state);
    // The server activates what it has of the stream once no data come for five seconds.
    if (config.name !== "KV_ARQON_USAGE") return stream;
    return {
      write: (bytes) => stream.write(bytes.subarray(0, bytes.length / 2)),
      finish: () => Promise.reject(killed),
    };
  });
  await assert.rejects(cut, ({ cause }: Error) => cause === killed);
  await assert.rejects(
    world.bus(() => [nats.url]),
    /a restore of this storage is under way or was/,
  );
  fails(await arq("backup", "two.tar", ...config), /repeat it with arq restore --force/, 4);
  fails(await arq("restore", "one.tar", ...config), /is not empty: .*--force deletes them/s);
  const again = succeeds(await arq("restore", "one.tar", "--force", ...config, "--json"));
  const { left, restored } = JSON.parse(again);
  assert.deepEqual([left, restored.includes("KV_ARQON_USAGE")], [[], true]);
  await using bus = await world.bus(() => [nats.url], USAGE);
  await counted(arq, bus.admin, 1);
  assert.deepEqual((await found(world, bus, "orders")).messages, [0]);
});

Deno.test("backup on NATS: a login without the permissions is reported, and leaves no file", async () => {
  await using world = await openWorld();
  const { arq, issuer: { dir } } = world;
  await using nats = await startNats({ jetstream: true, config: await documentedAccounts() });
  await using bus = await world.bus((user) => [as(user, nats.url)]);
  succeeds(await arq("pub", "orders", '{"n":0}', ...bus.user));
  await world.configure("shield", [as("shield", nats.url)]);
  await world.configure("wrong", [as("backup", nats.url).replace("secret", "other")]);
  fails(
    await arq("backup", "a.tar", "--config", "shield.toml"),
    /Permissions Violation|may this/i,
    4,
  );
  fails(await arq("backup", "a.tar", "--config", "wrong.toml"), /Authorization Violation/i, 4);
  const left = (await Array.fromAsync(Deno.readDir(dir))).map(({ name }) => name);
  assert.deepEqual(left.filter((name) => name.startsWith("a.tar")), []);
});

/** Runs a program to its end; returns its output. */
async function run(program: string, args: string[], stdin?: Uint8Array): Promise<Uint8Array> {
  const child = new Deno.Command(program, {
    args,
    stdin: stdin === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  if (stdin !== undefined) {
    const writer = child.stdin.getWriter();
    await writer.write(stdin as Uint8Array<ArrayBuffer>);
    await writer.close();
  }
  const { code, stdout, stderr } = await child.output();
  const decoder = new TextDecoder();
  assert.equal(code, 0, `${program} ${args.join(" ")}:\n${decoder.decode(stderr)}`);
  return stdout;
}

/** A bus of one process on a NATS, with some content. */
async function filled(path: string, nats_url: string) {
  const config = await Deno.readTextFile(`${path}/config.toml`);
  const plain = config.replace(/\n\[nats\][^]*$/, "");
  await Deno.writeTextFile(`${path}/config.toml`, `${plain}\n[nats]\nurls = ["${nats_url}"]\n`);
  const bus = await startServe(path);
  const token = await tokenOf(path, "service");
  return { bus, to: ["--url", bus.url, "--token", token] };
}

Deno.test("oracle: the tool of NATS restores our files, and a bus works on what that tool has saved", async () => {
  const program = await ensureGoProgram(STREAM_TOOL);
  await using folder = await initFolder();
  const { path } = folder;
  const arq = (...args: string[]) => runArq(args, { cwd: path });
  const tool = (verb: string, url: string, name: string, folder: string) =>
    run(program, [verb, url, name, `${path}/${folder}/${name}`]);
  await Deno.writeTextFile(
    `${path}/many.ndjson`,
    // Random, so that it does not compress: the log is in several pieces.
    Array.from({ length: 3_000 }, (_, n) => {
      const text = crypto.getRandomValues(new Uint8Array(6_000)).toBase64();
      return JSON.stringify({ n, text });
    }).join("\n"),
  );
  let names: string[];
  {
    await using nats = await startNats({ jetstream: true });
    const { bus, to } = await filled(path, nats.url);
    await using _bus = bus;
    succeeds(await arq("pub", "orders", "--ndjson", "many.ndjson", ...to));
    succeeds(await arq("room", "set", "lobby", "topic", "tea", ...to));
    const answer = JSON.parse(succeeds(await arq("backup", "bus.tar", "--json")));
    const streams = answer.parts.filter(({ kind }: { kind: string }) => kind === "stream");
    names = streams.map(({ name }: { name: string }) => name);
    const log = streams.find(({ name }: { name: string }) => name.startsWith("LOG_"));
    assert.ok(log.files.length > 2, "the log is in several pieces");
    await bus.stop();
    for (const name of names) {
      await tool("backup", nats.url, name, "theirs");
    }
  }
  // Our backup with their tool, then theirs with their tool: the bus finds the same.
  await Deno.mkdir(`${path}/ours`);
  await run("tar", ["-xf", `${path}/bus.tar`, "-C", `${path}/ours`]);
  for (const name of names) {
    const dir = `${path}/ours/streams/${name}`;
    await run("sh", [
      "-c",
      `cd '${dir}' && [ -e stream.tar.s2 ] || cat stream.tar.s2.* > stream.tar.s2`,
    ]);
  }
  for (const source of ["ours/streams", "theirs"]) {
    await using nats = await startNats({ jetstream: true });
    for (const name of names) {
      await tool("restore", nats.url, name, source);
    }
    const { bus, to } = await filled(path, nats.url);
    await using _bus = bus;
    assert.equal(
      succeeds(await arq("room", "get", "lobby", "topic", ...to)).trim(),
      '"tea"',
      source,
    );
    const history = succeeds(await arq("room", "history", "orders", "--all", "--json", ...to));
    assert.equal(history.trim().split("\n").length, 3_000, source);
    succeeds(await arq("pub", "orders", "more", ...to));
  }
});

Deno.test("oracle: age opens our backups, and we open those that age has encrypted", async () => {
  const age = await ensureGoProgram(AGE);
  await using folder = await initFolder();
  const { path } = folder;
  const arq = (...args: string[]) => runArq(args, { cwd: path });
  {
    await using bus = await startServe(path);
    const to = ["--url", bus.url, "--token", await tokenOf(path, "user")];
    succeeds(await arq("pub", "orders", '{"n":0}', ...to));
  }
  const { generateX25519Identity, identityToRecipient } = await import("age-encryption");
  const identity = await generateX25519Identity();
  const recipient = await identityToRecipient(identity);
  await Deno.writeTextFile(`${path}/key.txt`, `${identity}\n`);
  succeeds(await arq("backup", "ours.age", "--recipient", recipient));
  await run(age, ["-d", "-i", `${path}/key.txt`, "-o", `${path}/plain.tar`, `${path}/ours.age`]);
  succeeds(await arq("backup", "verify", "plain.tar"));
  await run("tar", ["-xf", `${path}/plain.tar`, "-C", path, "data/log.sqlite"]);
  await run(age, ["-r", recipient, "-o", `${path}/theirs.age`, `${path}/plain.tar`]);
  const opened = await arq("backup", "verify", "theirs.age", "--identity", "key.txt", "--json");
  assert.equal(JSON.parse(succeeds(opened)).engine, "embedded");
});

const USAGE = "\n[usage]\nenabled = true\n#constant usage.flush_ms = 50\n";

type Run = (...args: string[]) => Promise<ArqResult>;

/** The usage reported by the bus, once it has reached this amount. */
async function counted(run: Run, admin: readonly string[], wanted: number): Promise<void> {
  let found: number | undefined;
  await until(() => `${found} of ${wanted} are counted`, async () => {
    const answer = JSON.parse(succeeds(await run("usage", "--json", ...admin)));
    found = answer.total.messages_in;
    return found === wanted;
  });
}

Deno.test("backup on NATS: the ledger of use is in it, and one that is there stays", async () => {
  await using issuer = await createIssuer();
  const { dir, config } = issuer;
  const accounts = await documentedAccounts();
  const run: Run = (...args) => runArq(args, { cwd: dir });
  const user = await issuer.tokenFor();
  const admin = await issuer.tokenFor({ role: "admin" });
  const natsOf = (name: string, url: string) =>
    `[nats]\nurls = ["${url.replace("nats://", `nats://${name}:secret@`)}"]\n`;
  const life = async (url: string, before: number) => {
    await using shield = await startServer("shield", natsOf("shield", url) + config + USAGE, dir);
    const to = ["--admin-url", shield.ready.admin_url ?? "", "--token", admin];
    await counted(run, to, before);
    succeeds(await run("pub", "hall", "1", "--url", shield.ready.url ?? "", "--token", user));
    await counted(run, to, before + 1);
    await shield.stop();
  };
  const configure = async (url: string) => {
    for (const name of ["backup", "restore"]) {
      await Deno.writeTextFile(`${dir}/${name}.toml`, natsOf(name, url));
    }
  };
  const file = `${dir}/bus.tar`;
  {
    await using nats = await startNats({ jetstream: true, config: accounts });
    await configure(nats.url);
    await life(nats.url, 0);
    const answer = JSON.parse(
      succeeds(await run("backup", file, "--config", "backup.toml", "--json")),
    );
    const names = answer.parts.map(({ name }: { name: string }) => name);
    // Running minutes are saved before finished ones: of both a reader uses one.
    assert.ok(names.indexOf("KV_ARQON_USAGE") >= 0, String(names));
    assert.ok(names.indexOf("KV_ARQON_USAGE") < names.indexOf("ARQON_USAGE"), String(names));
    await life(nats.url, 1);
    const over = await run("restore", file, "--config", "restore.toml", "--force");
    assert.match(succeeds(over), /the existing usage ledger was kept/);
    await life(nats.url, 2);
  }
  await using nats = await startNats({ jetstream: true, config: accounts });
  await configure(nats.url);
  succeeds(await run("restore", file, "--config", "restore.toml"));
  await life(nats.url, 1);
});
