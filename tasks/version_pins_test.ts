/** A tool's version is the same in all files that name it. */
import assert from "node:assert/strict";
import { listFiles, ROOT } from "./checkout/source_files.ts";

const read = (path: string) => Deno.readTextFile(ROOT + path);

/** All captures of a pattern in a file. */
async function pins(path: string, pattern: RegExp): Promise<string[]> {
  return [...(await read(path)).matchAll(pattern)].map(([, version = ""]) => version);
}

async function workflows(): Promise<string[]> {
  const names = await Array.fromAsync(Deno.readDir(`${ROOT}.github/workflows`));
  return names.map(({ name }) => `.github/workflows/${name}`);
}

Deno.test("Deno is the same in CI, in the dev container and in the Python tests", async () => {
  const [wanted] = await pins(".ci/run", /^DENO_PACKAGE="deno@(\S+)"$/gm);
  assert(wanted !== undefined);
  const places: [string, RegExp][] = [
    [".devcontainer/Dockerfile", /denoland\/deno:bin-(\S+)/g],
    ["sdk/python/tests/bus.py", /^DENO_PACKAGE = "deno@(\S+)"$/gm],
  ];
  for (const [path, pattern] of places) assert.deepEqual(await pins(path, pattern), [wanted], path);
  const found = await Promise.all(
    (await workflows()).map((path) => pins(path, /deno-version: (\S+)/g)),
  );
  assert.deepEqual([...new Set(found.flat())], [wanted]);
});

Deno.test("deno.lock pins the packages of deno.json, and no leftovers of a trial", async () => {
  const { imports } = JSON.parse(await read("deno.json")) as { imports: Record<string, string> };
  const { specifiers } = JSON.parse(await read("deno.lock")) as { specifiers: object };
  const asked = new Set(
    Object.values(imports).flatMap((target) => /^npm:(?:@[^/]+\/)?[^/]+/.exec(target) ?? []),
  );
  assert.deepEqual(Object.keys(specifiers).filter((one) => !asked.has(one)), []);
});

/** Markdown for people, including generated pages; measurements keep the measured version. */
async function documents(): Promise<string[]> {
  const files = await listFiles([".md"]);
  return files.filter((path) =>
    !/^(?:CHANGELOG|bench\/|docs\/(?:performance|reliability))/.test(path)
  );
}

Deno.test("NATS is the same in tests, containers, dev container and documents", async () => {
  const [wanted] = await pins("tasks/nats_server.ts", /^const VERSION = "(\S+)";$/gm);
  assert(wanted !== undefined);
  const image = /\bnats:(\d[\w.]*)-alpine\b/g;
  const places: [string, RegExp][] = [
    ["compose.yaml", image],
    ["deploy/kubernetes/nats.yaml", image],
    ["deploy/helm/arqonbus/values.yaml", image],
    [".devcontainer/Dockerfile", /NATS_VERSION=(\S+)/g],
  ];
  for (const [path, pattern] of places) assert.deepEqual(await pins(path, pattern), [wanted], path);
  // In a server's output ("127.0.0.1:4222 2.15.2"), as an image, or as "nats-server 2.15.2".
  const named = /(?::4222 |\bnats:|nats-server v?)(\d+\.\d+\.\d+)/g;
  for (const path of await documents()) {
    for (const version of await pins(path, named)) assert.equal(version, wanted, path);
  }
});

Deno.test("the oldest NATS and Go are the same wherever they are named", async () => {
  const [oldest = ""] = await pins("tasks/nats_server.ts", /^const OLDEST = \[(\d+, \d+)\]/gm);
  const [go] = await pins(".devcontainer/Dockerfile", /golang:(\d+\.\d+)-/g);
  const sources = [
    "tasks/nats_server.ts",
    "tasks/checkout/programs.ts",
    "tasks/workflows/workflows.ts",
  ];
  const texts = [
    "arq/program/groups/dev.ts",
    "arq/init/templates.ts",
    "shared/spine/nats/connection/nats_connect.ts",
  ];
  const found = { nats: new Set<string>(), go: new Set<string>() };
  for (const path of [...await documents(), ...sources, ...texts]) {
    const text = (await read(path)).replaceAll(/[\n*`]+/g, " ");
    for (const [, version = ""] of text.matchAll(/(\d\.\d+) +or +newer +with +JetStream/g)) {
      found.nats.add(version);
    }
    for (const [, version = ""] of text.matchAll(/\bGo (1\.\d+)\b/g)) found.go.add(version);
  }
  assert.deepEqual([...found.nats], [oldest.replace(", ", ".")]);
  assert.deepEqual([...found.go], [go]);
});

Deno.test("the dev container forwards the ports of the servers and the compose stack", async () => {
  const { build, features, forwardPorts, portsAttributes } = JSON.parse(
    await read(".devcontainer/devcontainer.json"),
  );
  await read(`.devcontainer/${build.dockerfile}`);
  const own = (await pins("compose.yaml", /"(?:127\.0\.0\.1:)?\$\{ARQON_\w+:-(\d+)\}:\d+"/g)).map(
    Number,
  );
  assert.equal(own.length, 6);
  for (const port of [...own, 4101, 4102]) assert(forwardPorts.includes(port), String(port));
  // The folders that compose.yaml mounts are the container's, so the daemon must also be in it.
  const docker = Object.keys(features).filter((name) => name.includes("/docker-"));
  assert.match(docker.join(), /^[^,]*\/docker-in-docker:\d+\.\d+\.\d+$/);
  assert.deepEqual(Object.keys(portsAttributes).sort(), forwardPorts.map(String).sort());
});

Deno.test("an action has one commit in all workflows", async () => {
  const commits = new Map<string, string>();
  for (const path of await workflows()) {
    for (
      const [, name = "", pin = ""] of (await read(path)).matchAll(/uses: ([\w.-]+\/[\w.-]+)@(.*)/g)
    ) {
      assert.equal(pin, commits.get(name) ?? pin, `${path}: ${name}`);
      commits.set(name, pin);
    }
  }
  assert(commits.size >= 8);
});

Deno.test("the repository has one address, and image names are valid for a registry", async () => {
  const found = new Set<string>();
  const files = await listFiles([".md", ".ts", ".json", ".toml", ".yml", ".yaml", ".mjs"]);
  for (const path of [...files, ...await workflows(), "compose.yaml"]) {
    const text = await read(path);
    for (const [, name = ""] of text.matchAll(/github\.com\/(novelbytelabs\/[\w-]+)/gi)) {
      found.add(name);
    }
    for (const [, name = ""] of text.matchAll(/--repo (novelbytelabs\/[\w-]+)/gi)) found.add(name);
    for (const [image] of text.matchAll(/ghcr\.io\/novelbytelabs\/[\w-]+/gi)) {
      assert.equal(image, image.toLowerCase(), path);
    }
  }
  assert.deepEqual([...found], ["novelbytelabs/arqonbus"]);
  assert.match(await read("sdk/python/pyproject.toml"), /^\[project\.urls\]\nHomepage = /m);
});

Deno.test("the documents list exactly the images that the workflow pushes", async () => {
  const path = ".github/workflows/images.yml";
  const pushed = await pins(path, /- \{ image: ([\w-]+), dockerfile: \w+/g);
  const built = await pins(path, /- \{ image: [\w-]+, dockerfile: (\w+)/g);
  assert.equal(pushed.length, 4);
  for (const name of built) await read(`deploy/docker/${name}.Dockerfile`);
  const text = await read("docs/deploy.md");
  const section = /^## Images\n([^]*?)^## /m.exec(text)?.[1] ?? "";
  const listed = [...section.matchAll(/^\| `([\w-]+)` +\|/gm)].map(([, name = ""]) => name);
  assert.deepEqual(listed.toSorted(), pushed.toSorted());
  // The images of compose.yaml and the manifests are among them.
  const places = ["compose.yaml", "deploy/kubernetes/shield.yaml", "deploy/kubernetes/brain.yaml"];
  for (const place of places) {
    for (const name of await pins(place, /ghcr\.io\/novelbytelabs\/([\w-]+)/g)) {
      assert(pushed.includes(name), `${place}: ${name}`);
    }
  }
});
