/** How Centrifugo is built, with a `go` that does what the test says. */
import assert from "node:assert/strict";
import { TargetUnavailable } from "../load/targets/target.ts";
import { buildCentrifugo } from "./centrifugo_build.ts";

const told = (key: string, value: string) => `echo '{ "Path": "a", "${key}": "${value}" }'`;

/** What building with this `go` comes to: the text of the program, or why there is none. */
async function outcome(go: string | undefined): Promise<string> {
  const folder = await Deno.makeTempDir({ prefix: "arqon-centrifugo-" });
  try {
    await Deno.mkdir(`${folder}/bin`);
    if (go !== undefined) {
      const script = `#!/bin/sh\nPATH=/bin:/usr/bin\n${go}\n`;
      await Deno.writeTextFile(`${folder}/bin/go`, script, { mode: 0o755 });
    }
    return await Deno.readTextFile(await buildCentrifugo(folder, { PATH: `${folder}/bin` }));
  } catch (error) {
    assert.ok(error instanceof TargetUnavailable, String(error));
    return error.message;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("the module is built where it was downloaded", async () => {
  const build = `from=$2
while [ "$1" != -o ]; do shift; done
basename "$from" > "$2"`;
  const go = `[ "$1" = mod ] && { ${told("Dir", "/cache/centrifugo@v6")}; exit; }\n${build}`;
  assert.equal(await outcome(go), "centrifugo@v6\n");
});

Deno.test("a module that is refused, a build that fails and no Go are told apart", async () => {
  assert.match(
    await outcome(`${told("Error", "no list\\\\nno module")}; exit 1`),
    /\(go mod download: no module\): put centrifugo 6 on the PATH/,
  );
  const fails = `[ "$1" = mod ] && { ${told("Dir", "/a")}; exit; }; echo "no such package"; exit 1`;
  assert.match(await outcome(fails), /\(go build: no such package\)/);
  assert.match(await outcome(undefined), /and no Go: put/);
});
