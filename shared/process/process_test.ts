/** The process side of a server, as operators meet it: arguments, errors, signals, exit codes. */
import assert from "node:assert/strict";
import { StreamedCommand } from "../../tasks/checkout/streamed_command.ts";

const PROGRAM = new URL("testing/process.ts", import.meta.url).pathname;
/** Only a process that hangs gets here. */
const PATIENCE_MS = 60_000;

/** A folder with one file, removed when the scope ends. */
async function folderWith(name: string, text: string) {
  const folder = await Deno.makeTempDir({ prefix: "arqon-process-" });
  await Deno.writeTextFile(`${folder}/${name}`, text);
  return {
    folder,
    file: `${folder}/${name}`,
    [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }),
  };
}

function start(args: string[], folder: string): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-prompt", `--allow-read=${folder}`, PROGRAM, ...args],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    signal: AbortSignal.timeout(PATIENCE_MS),
  }).spawn();
}

async function run(args: string[], folder = "/nonexistent") {
  const { code, stdout, stderr } = await start(args, folder).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

Deno.test("help and version go to stdout and are a success", async () => {
  assert.deepEqual(await run(["--help"]), { code: 0, stdout: "Usage: probe\n", stderr: "" });
  assert.deepEqual(await run(["-h"]), { code: 0, stdout: "Usage: probe\n", stderr: "" });
  assert.deepEqual(await run(["--version"]), { code: 0, stdout: "probe 1.2.3\n", stderr: "" });
});

Deno.test("invalid arguments exit 2 with the problem and the help, without a stack trace", async () => {
  for (const args of [[], ["--confg", "x"], ["--config"], ["stray"]]) {
    const { code, stdout, stderr } = await run(args);
    assert.deepEqual([code, stdout], [2, ""], args.join(" "));
    assert.match(stderr, /^probe: .+\n\nUsage: probe\n$/);
  }
});

Deno.test("a file that cannot be read, or is wrong, exits 2 and is named", async () => {
  const missing = await run(["--config", "/nonexistent/config.toml"]);
  assert.equal(missing.code, 2);
  assert.match(missing.stderr, /^probe: cannot read \/nonexistent\/config\.toml: .+\n$/);
  await using wrong = await folderWith("config.toml", "[server]\nprot = 4000\n");
  const { code, stderr } = await run(["--config", wrong.file], wrong.folder);
  assert.equal(code, 2);
  assert.match(stderr, /^probe: the configuration is wrong\n/);
  assert.ok(stderr.includes(`${wrong.file}:2:1`), stderr);
  assert.match(stderr, /did you mean "port"\?/);
  assert.doesNotMatch(stderr, /\.ts:/);
});

Deno.test("the config's defaults and files are the program's; an unhandled rejection is only logged", async () => {
  await using place = await folderWith("cert.pem", "CERT");
  const config = `${place.folder}/config.toml`;
  const tls = `tls_cert = "${place.file}"\ntls_key = "${place.file}"\n`;
  await Deno.writeTextFile(config, `[server]\n${tls}`);
  const child = start(["--config", config], place.folder);
  const stdout = new StreamedCommand(child, ["stdout"]);
  const stderr = new StreamedCommand(child, ["stderr"]);
  await stdout.until("ready 4321 CERT\n");
  await stderr.until("unhandled rejection");
  assert.match(stderr.text, /^level=error component=probe /m);
  child.kill("SIGINT");
  await stdout.until("draining after SIGINT\n");
  await stderr.until("draining");
  child.kill("SIGTERM");
  await stderr.until("probe: SIGTERM again: stopped without draining\n");
  assert.equal((await child.status).code, 1);
});

Deno.test("a log without a reader does not stop the program", async () => {
  await using place = await folderWith("config.toml", "");
  const child = start(["--config", place.file], place.folder);
  const stdout = new StreamedCommand(child, ["stdout"]);
  await child.stderr.cancel();
  await stdout.until("ready 4321 plain\n");
  child.kill("SIGTERM");
  await stdout.until("draining after SIGTERM\n");
  await stdout.stop("SIGKILL");
});

Deno.test("a stalled reader of the log delays nothing; dropped lines are counted and reported", async () => {
  const program = new URL("testing/log_flood.ts", import.meta.url).pathname;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-prompt", program],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
    signal: AbortSignal.timeout(PATIENCE_MS),
  }).spawn();
  const stdout = new StreamedCommand(child, ["stdout"]);
  // No line of the log has been read by then.
  await stdout.until("written\n");
  const logged = new Response(child.stderr).text();
  await child.stdin.close();
  await stdout.until("end\n");
  const [, lines, dropped] = /lines (\d+) dropped (\d+)\n/.exec(stdout.text)!;
  const text = await logged;
  const reports = [...text.matchAll(/ count=(\d+) msg="lines dropped: /g)];
  const count = reports.reduce((sum, [, one]) => sum + Number(one), 0);
  const written = text.split("\n").filter((line) => /component=flood/.test(line)).length;
  assert.ok(count > 0 && written > 1_000, text.slice(-1_000));
  assert.deepEqual([written + count, count], [Number(lines), Number(dropped)]);
  assert.match(text, /msg="the last"[^\n]*\n$/);
  assert.equal((await child.status).code, 0);
});
