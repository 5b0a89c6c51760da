/** The ways in which Centrifugo is built, with a `go` and a `git` that do what the test says. */
import assert from "node:assert/strict";
import { TargetUnavailable } from "../load/targets/target.ts";
import { buildCentrifugo } from "./centrifugo_build.ts";

const PROXY = "server response: This module version is not available.";
/** `go install` is refused, and `go -C … build -o PROGRAM` writes the program. */
const GO = `if [ "$1" = install ]; then echo "go: reading it"; echo "${PROXY}"; exit 1; fi
[ "$1" = -C ] || exit 9
while [ "$1" != -o ]; do shift; done
echo built > "$2"`;
const GIT = 'for last; do :; done; mkdir "$last"';

/** A folder with these programs and no others. */
async function folderWith(programs: Readonly<Record<string, string>>) {
  const folder = await Deno.makeTempDir({ prefix: "arqon-centrifugo-" });
  await Deno.mkdir(`${folder}/bin`);
  await Deno.mkdir(`${folder}/out`);
  for (const [name, text] of Object.entries(programs)) {
    await Deno.writeTextFile(`${folder}/bin/${name}`, `#!/bin/sh\nPATH=/bin:/usr/bin\n${text}\n`, {
      mode: 0o755,
    });
  }
  return {
    out: `${folder}/out`,
    env: { PATH: `${folder}/bin` },
    [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }),
  };
}

const refusalOf = (building: Promise<string>) =>
  building.then(() => "", (error) => {
    assert.ok(error instanceof TargetUnavailable, String(error));
    return error.message;
  });

Deno.test("where the module proxy refuses the module, its source is cloned and built", async () => {
  await using place = await folderWith({ go: GO, git: GIT });
  const program = await buildCentrifugo(place.out, place.env);
  assert.equal(await Deno.readTextFile(program), "built\n");
});

Deno.test("where neither works, both reasons are told, and what to do", async () => {
  const git = "echo 'fatal: could not resolve host' >&2; exit 128";
  await using place = await folderWith({ go: GO, git });
  const said = await refusalOf(buildCentrifugo(place.out, place.env));
  assert.ok(said.includes(`go install: ${PROXY}`), said);
  assert.match(said, /git clone: fatal: could not resolve host/);
  assert.match(said, /put centrifugo 6 on the PATH/);
});

Deno.test("a build that fails, no git and no Go are told apart", async () => {
  const fails =
    `[ "$1" = install ] && { echo refused; exit 1; }; echo "go: no such package"; exit 1`;
  await using broken = await folderWith({ go: fails, git: GIT });
  assert.match(await refusalOf(buildCentrifugo(broken.out, broken.env)), /go build: go: no such/);
  await using no_git = await folderWith({ go: GO });
  assert.match(await refusalOf(buildCentrifugo(no_git.out, no_git.env)), /there is no git/);
  await using nothing = await folderWith({});
  assert.match(await refusalOf(buildCentrifugo(nothing.out, nothing.env)), /and no Go: put/);
});
