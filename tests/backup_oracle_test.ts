/**
 * Backups against other software: the library of `nats stream restore` accepts ours, a bus accepts those of `nats
 * stream backup`, `age` opens and makes encrypted ones, `tar` and SQLite read them.
 */
import assert from "node:assert/strict";
import { runArq, succeeds } from "../arq/testing/run_arq.ts";
import { AGE, ensureGoProgram, STREAM_TOOL } from "./harness/go_program.ts";
import { startNats } from "./harness/nats_server.ts";
import { initFolder, startServe, tokenOf } from "./harness/serve_bus.ts";

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
