/** The ways in which Centrifugo is built, with a `go` and a `git` that do what the test says. */
import assert from "node:assert/strict";
import { TargetUnavailable } from "../load/targets/target.ts";
import { buildCentrifugo } from "./centrifugo_build.ts";

const PROXY = "server response: This module version is not available.";
const REFUSED_INSTALL = `if [ "$1" = install ]; then
  echo "go: reading it"; echo "${PROXY}"; exit 1; fi`;
/** `go -C FOLDER build -o PROGRAM` writes the name of the folder into the program. */
const BUILD = `[ "$1" = -C ] || exit 9
from=$2
while [ "$1" != -o ]; do shift; done
basename "$from" > "$2"`;
const told = (key: string, value: string) => `echo '{ "Path": "a", "${key}": "${value}" }'`;
/** A `go` whose install is refused, and whose download of the module says this. */
const goThatSays = (line: string) =>
  `${REFUSED_INSTALL}\nif [ "$1" = mod ]; then ${line}; exit; fi\n${BUILD}`;
const GO = goThatSays(told("Error", "no list\\\\nno module"));
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
  assert.equal(await Deno.readTextFile(program), "source\n");
});

Deno.test("where only the list of versions is refused, the module is built where it was downloaded", async () => {
  await using place = await folderWith({ go: goThatSays(told("Dir", "/cache/centrifugo@v6")) });
  const program = await buildCentrifugo(place.out, place.env);
  assert.equal(await Deno.readTextFile(program), "centrifugo@v6\n");
});

Deno.test("where nothing works, all reasons are told, and what to do", async () => {
  const git = "echo 'fatal: could not resolve host' >&2; exit 128";
  await using place = await folderWith({ go: GO, git });
  const said = await refusalOf(buildCentrifugo(place.out, place.env));
  assert.ok(said.includes(`go install: ${PROXY}`), said);
  assert.match(said, /go mod download: no module/);
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
