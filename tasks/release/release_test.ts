/** `deno task release` on copies of a small checkout under git: its refusals and the files that it writes. */
import assert from "node:assert/strict";
import { parseAllDocuments } from "yaml";
import { ROOT } from "../checkout/source_files.ts";
import { DIGEST_FILES } from "./release.ts";

const CHANGELOG = "# Changes\n\n## 0.1.0 (2026-11-20)\n\n- First,\n  [here](a.md).\n";
/** Replaces `deno task gen`, which is another program with its own tests. */
const GEN = `if (Deno.args.includes("--check") && Deno.statSync("deno.json").size > 300) {
  console.error("stale: a.ts"); Deno.exit(1);
}`;
const FILES = [
  "checkout/programs.ts",
  "checkout/source_files.ts",
  "gen/gen_version.ts",
  "release/release.ts",
];

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A folder with the task's own files in a separate repository, all committed. */
class Checkout implements AsyncDisposable {
  constructor(readonly root: string) {}

  async run(program: string, ...args: string[]): Promise<Ended> {
    // A git hook that runs the tests passes on its variables.
    const { code, stdout, stderr } = await new Deno.Command(program, {
      args,
      cwd: this.root,
      clearEnv: true,
      env: { HOME: this.root, PATH: "/usr/local/bin:/usr/bin:/bin", GIT_CONFIG_NOSYSTEM: "1" },
    }).output();
    const decoder = new TextDecoder();
    return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
  }

  async release(...args: string[]): Promise<string> {
    const flags = ["run", "--quiet", "--no-check", "--allow-read", "--allow-write", "--allow-run"];
    const { code, stdout, stderr } = await this.run(
      Deno.execPath(),
      ...flags,
      "tasks/release/release.ts",
      ...args,
    );
    return `${code}: ${stdout}${stderr}`;
  }

  write(path: string, text: string): Promise<void> {
    return Deno.writeTextFile(`${this.root}/${path}`, text);
  }

  read(path: string): Promise<string> {
    return Deno.readTextFile(`${this.root}/${path}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.root, { recursive: true });
  }
}

async function checkout(): Promise<Checkout> {
  const made = new Checkout(await Deno.makeTempDir());
  for (const name of FILES) {
    await Deno.mkdir(`${made.root}/tasks/${name.split("/", 1)[0]}`, { recursive: true });
    await Deno.copyFile(`${ROOT}tasks/${name}`, `${made.root}/tasks/${name}`);
  }
  const manifest = {
    version: "0.1.0",
    workspace: [],
    tasks: { gen: "deno run --allow-read tasks/gen/gen.ts" },
  };
  await made.write("deno.json", `${JSON.stringify(manifest, null, 2)}\n`);
  await made.write("tasks/gen/gen.ts", GEN);
  await made.write("CHANGELOG.md", CHANGELOG);
  // HOME is also this folder.
  await made.write(".gitignore", ".cache/\n");
  for (const args of [["init", "--quiet"], ["add", "."]]) {
    assert.equal((await made.run("git", ...args)).code, 0);
  }
  const who = ["-c", "user.name=t", "-c", "user.email=t@example.com"];
  assert.equal((await made.run("git", ...who, "commit", "--quiet", "-m", "x")).code, 0);
  return made;
}

Deno.test("a clean checkout of that version is ready", async () => {
  await using made = await checkout();
  assert.equal(await made.release("check", "v0.1.0"), "0: ready for v0.1.0\n");
  assert.equal(await made.release("notes", "0.1.0"), "0: - First, [here](a.md).\n");
  const notes = await made.release("notes", "0.1.0", "https://h/t/");
  assert.equal(notes, "0: - First, [here](https://h/t/a.md).\n");
});

Deno.test("every reason against a release is reported in one run, one sentence each", async () => {
  await using made = await checkout();
  const manifest = await made.read("deno.json");
  await made.write("deno.json", `${manifest.trimEnd()}${" ".repeat(300)}\n`);
  assert.equal(
    await made.release("check", "v0.2.0"),
    `1: v0.2.0 is not the version 0.1.0 of deno.json: deno task release set 0.2.0
CHANGELOG.md has no section "## 0.2.0 (YYYY-MM-DD)": write it
not committed: deno.json; commit or remove it
generated files are not current: stale: a.ts
`,
  );
});

Deno.test("set writes the version and adds a section", async () => {
  await using made = await checkout();
  assert.match(await made.release("set", "0.2.0"), /^0: version 0\.2\.0;/);
  assert.equal(JSON.parse(await made.read("deno.json")).version, "0.2.0");
  assert((await made.read("CHANGELOG.md")).includes("## 0.2.0 (not yet released)\n\n## 0.1.0"));
  const verdict = await made.release("check", "v0.2.0");
  assert.match(verdict, /^1: CHANGELOG\.md says "0\.2\.0 \(not yet released\)": put the day/);
  assert.match(verdict, /^not committed: CHANGELOG\.md and 1 more;/m);
});

Deno.test("digests are filled in where the manifests and the chart name our images", async () => {
  await using made = await checkout();
  const digestOf = (name: string) => `sha256:${name.length.toString(16).repeat(64).slice(0, 64)}`;
  const names = ["arqon", "arqon-brain", "arqon-shield"];
  await Deno.mkdir(`${made.root}/digests`);
  for (const name of names) await made.write(`digests/${name}`, `${digestOf(name)}\n`);
  const paths = Object.keys(DIGEST_FILES);
  for (const path of paths) {
    await Deno.mkdir(`${made.root}/${path.slice(0, path.lastIndexOf("/"))}`, { recursive: true });
    await Deno.copyFile(ROOT + path, `${made.root}/${path}`);
  }
  assert.match(await made.release("digests", "digests"), /^0: 3 digests in /);
  const [kustomization, restore, standby, values] = await Promise.all(
    paths.map(async (path) => parseAllDocuments(await made.read(path)).map((one) => one.toJS())),
  );
  assert.deepEqual(
    kustomization![0].images.map(({ name, digest }: Record<string, string>) => [name, digest]),
    ["arqon-shield", "arqon-brain", "arqon"].map((
      name,
    ) => [`ghcr.io/novelbytelabs/${name}`, digestOf(name)]),
  );
  const image = new RegExp(`/arqon:\\S+@${digestOf("arqon")}"`);
  for (const one of [restore, standby]) assert.match(JSON.stringify(one), image);
  assert.deepEqual(
    values![0].image.digests,
    Object.fromEntries(names.map((name) => [name, digestOf(name)])),
  );
  assert.match(await made.release("digests", "digests"), /^1: \S+ has no place for the digest/);
  await made.write("digests/arqon", "latest");
  assert.match(await made.release("digests", "digests"), /^1: the digest of arqon is "latest"/);
});

Deno.test("an invalid command line changes nothing and shows the usage", async () => {
  await using made = await checkout();
  for (
    const [args, message] of [
      [[], "what to do is missing"],
      [["publish"], 'no "publish"'],
      [["set"], "the version is missing: X.Y.Z or X.Y.Z-rc.N"],
      [["set", "1.0"], '"1.0" is no version: X.Y.Z or X.Y.Z-rc.N'],
      [["set", "1.0.0", "now"], '"now" is too much'],
      [["check"], "the tag is missing"],
      [["notes", "0.1.0", "here"], '"here" is no address of a folder: https://…/ with the slash'],
    ] as const
  ) {
    const ended = await made.release(...args);
    assert(ended.startsWith(`2: ${message}\nUsage: deno task release check`), ended);
  }
  const bad_tag = await made.release("check", "0.1.0");
  assert.match(bad_tag, /^1: "0\.1\.0" is no tag of a release: it must be v and then X\.Y\.Z/);
  assert.match(
    await made.release("notes", "9.9.9"),
    /^1: CHANGELOG\.md has no section "## 9\.9\.9/,
  );
  assert.equal((await made.run("git", "status", "--porcelain")).stdout, "");
});
