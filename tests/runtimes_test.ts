/**
 * Other versions of Deno, from npm: the latest two minor versions run a Shield that serves, and one that is too old
 * reports that in one line.
 */
import assert from "node:assert/strict";
import { connect } from "@arqon/sdk";
import { must } from "../tasks/checkout/programs.ts";
import { createIssuer } from "./harness/cluster.ts";
import { ended, startTask } from "./harness/server_task.ts";

const TOO_OLD = "2.7.14";
const PORTS = '[server]\nport = 0\n[ops]\nport = 0\n[admin]\nport = 0\noperator_tenants = ["*"]\n';

/** The program of that version. npx forwards no signal, so it is not used to run it. */
async function denoOf(version: string): Promise<string> {
  const args = ["-y", `deno@${version}`, "eval", "console.log(Deno.execPath())"];
  return (await must("npx", args)).stdout.trim();
}

/** The latest patch of each of the latest two minor versions. */
async function newestTwo(): Promise<readonly string[]> {
  const { stdout } = await must("npm", ["view", "deno", "versions", "--json"]);
  const versions: string[] = JSON.parse(stdout);
  const minors = new Map(
    versions.filter((one) => /^[\d.]+$/.test(one)).map((one) => [one.replace(/\.\d+$/, ""), one]),
  );
  return [...minors.values()].slice(-2);
}

/** The log line with the address for clients. */
async function urlOf(child: Deno.ChildProcess): Promise<string> {
  let log = "";
  for await (const part of child.stderr.pipeThrough(new TextDecoderStream())) {
    log += part;
    const [, url] = / url=(\S+)[^\n]*msg="ready"/.exec(log) ?? [];
    if (url !== undefined) return url;
  }
  throw new Error(`it ended before it was ready: ${log}`);
}

Deno.test("the newest two minor versions of Deno run a Shield that answers its clients", async (t) => {
  await using issuer = await createIssuer();
  const file = `${issuer.dir}/config.toml`;
  await Deno.writeTextFile(file, `${PORTS}${issuer.config}`);
  for (const version of await newestTwo()) {
    await t.step(version, async () => {
      const child = startTask("shield", file, [], [await denoOf(version)]);
      try {
        const url = await urlOf(child);
        await using bus = await connect({ url, token: await issuer.tokenFor() });
        await bus.room("lobby").publish("t", "hello");
      } finally {
        child.kill("SIGTERM");
        await child.status;
      }
    });
  }
});

Deno.test("a Deno that is too old is refused in one line with the required version", async (t) => {
  await using issuer = await createIssuer();
  const file = `${issuer.dir}/config.toml`;
  await Deno.writeTextFile(file, `${PORTS}${issuer.config}`);
  const deno = [await denoOf(TOO_OLD)];
  for (const part of ["shield", "brain", "arq"] as const) {
    await t.step(part, async () => {
      const { code, stderr } = await ended(startTask(part, file, [], deno));
      assert.equal(code, 1, stderr);
      const output =
        /^[a-z]+: Deno 2\.7\.14 is too old: expected [\d.]+ or newer\. .*made for Deno [\d.]+$/;
      // Deno itself may log that no `deno` is on the PATH.
      assert.match(stderr.trimEnd().split("\n").at(-1) ?? "", output);
    });
  }
});
