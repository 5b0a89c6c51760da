/** The Brain as the process that operators run: its arguments, its permissions, its end. */
import assert from "node:assert/strict";
import { temporaryFolder } from "../shared/testing/temporary_folder.ts";
import { runDeno } from "../tasks/checkout/programs.ts";
import { writeEnvelope } from "@arqon/proto";
import { configFrom } from "../shared/config/load.ts";
import { QUIET } from "../shared/testing/logs.ts";
import { openSpine } from "../shared/spine/open.ts";
import { tapSubject } from "../shared/subjects/subject.ts";
import { StreamedCommand } from "../tasks/checkout/streamed_command.ts";
import { startNats } from "../tests/harness/nats_server.ts";
import { accepted, TRACE_ID } from "./rooms/testing/command_probe.ts";
import { freePort } from "../tests/harness/free_ports.ts";

const MAIN = new URL("main.ts", import.meta.url).pathname;
/** The permissions of `deno task brain`, narrowed to the files and hosts of the test. */
const permissions = (folder: string) => ["--allow-net=127.0.0.1", `--allow-read=${folder}`];

interface Process extends AsyncDisposable {
  readonly child: Deno.ChildProcess;
  /** The first stderr line that contains every one of `parts`, also an earlier one. */
  line(...parts: string[]): Promise<string>;
  stderr(): string;
}

function startProcess(folder: string, args: string[]): Process {
  const words = ["run", "--no-prompt", ...permissions(folder), MAIN, ...args];
  const brain = StreamedCommand.start([Deno.execPath(), ...words], { stdout: "null" });
  return {
    child: brain.child,
    async line(...parts) {
      const found = () =>
        brain.stderr.split("\n").slice(0, -1).find((text) =>
          parts.every((part) => text.includes(part))
        );
      await brain.shows(() => found() !== undefined);
      return found() ?? assert.fail(`it has not written ${parts}:\n${brain.stderr}`);
    },
    stderr: () => brain.stderr,
    [Symbol.asyncDispose]: async () => void await brain.stop("SIGKILL"),
  };
}

async function withFolder(body: (folder: string) => Promise<void>): Promise<void> {
  await using folder = await temporaryFolder();
  await body(folder.path);
}

/** Runs it to its end. */
const run = (folder: string, args: string[]) =>
  runDeno(["run", "--no-prompt", ...permissions(folder), MAIN, ...args]);

function configText(nats_url: string): string {
  return `
[nats]
urls = ["${nats_url}"]
[ops]
host = "127.0.0.1"
port = 0
[admin]
port = 0
[brain]
tap = true
`;
}

/** The value of `key=` in a logfmt line. */
function field(line: string, key: string): string {
  return line.match(new RegExp(` ${key}=(\\S+)`))?.[1] ?? "";
}

Deno.test("the process serves rooms, taps, reports its health, and SIGTERM ends it with 0", async () => {
  await using nats = await startNats({ jetstream: true });
  await withFolder(async (folder) => {
    const file = `${folder}/config.toml`;
    await Deno.writeTextFile(file, configText(nats.url));
    await using brain = startProcess(folder, ["--config", file]);
    const ready = await brain.line('msg="ready"');

    const health = await fetch(`${field(ready, "ops_url")}/health/ready`);
    assert.equal(health.status, 200);
    assert.equal((await health.json()).checks.spine.status, "ok");
    const admin = await fetch(`${field(ready, "admin_url")}/v1/status`);
    assert.equal(admin.status, 404);
    await admin.body?.cancel();

    const now = Date.now;
    const log = QUIET;
    const spine = await openSpine(configFrom({ nats: { urls: [nats.url] } }), { log, now });
    try {
      const set = await accepted(spine, { name: "room.set", data: { key: "topic", value: "hi" } });
      const { version, value } = await accepted(spine, {
        name: "room.get",
        data: { key: "topic" },
      });
      assert.deepEqual({ version, value }, { version: set.version, value: "hi" });

      const envelope = writeEnvelope({
        trace_id: TRACE_ID,
        tenant_id: "acme",
        room_id: "lobby",
        event: { type: "chat", data: new TextEncoder().encode("a secret") },
      });
      spine.publish(tapSubject("acme", "lobby"), envelope);
      const tapped = await brain.line("module=tap", `trace_id=${TRACE_ID}`);
      assert.match(
        tapped,
        /^level=info component=brain module=tap tenant_id=acme room=lobby type=chat /,
      );
    } finally {
      await spine.drain();
    }
    const metrics = await (await fetch(`${field(ready, "ops_url")}/metrics`)).text();
    assert.match(metrics, /^brain_commands_total\{name="room.set",code="0"\} 1$/m);

    brain.child.kill("SIGTERM");
    const { code, signal } = await brain.child.status;
    assert.deepEqual({ code, signal }, { code: 0, signal: null });
    await brain.line('msg="stopped"');
    assert.doesNotMatch(brain.stderr(), /a secret/);
  });
});

Deno.test("an unreachable NATS is reported without a stack trace, exit 1", async () => {
  await withFolder(async (folder) => {
    const file = `${folder}/config.toml`;
    const nats = `[nats]\nurls = ["nats://127.0.0.1:${freePort()}"]\n`;
    await Deno.writeTextFile(file, nats);
    const { code, stderr } = await run(folder, ["--config", file]);
    assert.equal(code, 1, stderr);
    assert.match(stderr, /brain: Spine unavailable: /);
    assert.doesNotMatch(stderr, /^\s+at /m);
  });
});
